"""Looking at a ledger without touching it: what was sent by stream, day and endpoint, and what became of one key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    String,
    Table,
    func,
    inspect,
    or_,
    select,
    union_all,
)
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.paths import ledger_path
from destination_wicked_reports.config.spec import Config, PostgresLedger
from destination_wicked_reports.errors import LedgerError
from destination_wicked_reports.ledger.engines import postgresql_engine, refusal, sqlite_reader
from destination_wicked_reports.ledger.schema import VERSION, former, order_events, orders, sent, version

_DAY = 86_400
#: How a key is shown and asked for: SOURCE SYSTEM/ID.
SLASH = "/"


@contextlib.contextmanager
def reading(config: Config) -> Iterator[History]:
    """Open the configured ledger for reading; LedgerError if there is none, or a run holds its file."""
    engine, description = _reader(config)
    try:
        with engine.connect() as connection, connection.begin():
            found = version(connection)
            if found is None:
                raise LedgerError(f"{description} is empty: nothing was sent yet with this configuration.")
            if not 1 <= found <= VERSION:
                raise LedgerError(
                    f"{description} has schema version {found}; this release knows {VERSION}. Use the release that "
                    "wrote it, or a newer one."
                )
            yield History(connection, "test" if config.test_mode else "live")
    except DBAPIError as error:
        raise refusal(error, description) from None
    finally:
        engine.dispose()


def _reader(config: Config) -> tuple[Engine, str]:
    if isinstance(config.ledger, PostgresLedger):
        engine, description = postgresql_engine(config.ledger.url, config.ledger.schema_name)
        return engine.execution_options(postgresql_readonly=True), description
    path = ledger_path(config)
    if path is None:
        raise LedgerError("This configuration has no ledger (`none`), so nothing is known of what was sent.")
    if not path.is_file():
        raise LedgerError(f"There is no ledger at {path}: nothing was sent yet with this configuration, or not here.")
    return sqlite_reader(path), f"The ledger {path}"


class History:
    """What one store of a ledger remembers."""

    def __init__(self, connection: Connection, store: str):
        self.connection = connection
        self.store = store
        #: A ledger that no run of this release has opened yet has only the first tables.
        self._whole = inspect(connection).has_table(order_events.name)

    def totals(self) -> Iterator[dict[str, Any]]:
        """Yield `day` (UTC), `stream`, `endpoint`, `status` (accepted or held) and `rows`, by day, stream, endpoint.

        A row that was sent again counts on the day on which it was sent last.
        """
        day = (sent.c.sent_at // _DAY).label("day")
        names = (day, sent.c.stream, sent.c.endpoint, sent.c.status)
        query = select(*names, func.count().label("rows")).where(sent.c.store == self.store)
        for row in self.connection.execute(query.group_by(*names).order_by(*names)):
            yield {**row._asdict(), "day": _moment(row.day * _DAY)[:10]}

    def of(self, key: str) -> list[dict[str, Any]]:
        """Return every sending of a row or an order, oldest first; `key` is an id, or SOURCE SYSTEM/ID.

        Each has `at` (UTC), `endpoint`, `key`, `stream`, `status` (accepted or held) and `digest` (of the content);
        those of an affiliate order also `order`: what Wicked had been told of it by then.
        """
        tables = [sent, former] if self._whole else [sent]
        found = [dict(row) for row in self.connection.execute(union_all(*self._sendings(tables, key))).mappings()]
        told = self._told(key) if self._whole else {}
        for sending in found:
            sending["at"] = _moment(sending.pop("sent_at"))
            sending["digest"] = bytes(sending["digest"]).hex()
            order = told.get((sending["endpoint"], sending["key"]))
            if order is not None:
                sending["order"] = order
            sending["key"] = shown(sending["key"])
        place = {endpoint: number for number, endpoint in enumerate(("products", "contacts", "orders", "order_items"))}
        return sorted(found, key=lambda s: (s["at"], place.get(s["endpoint"], len(place)), s["key"]))

    def orders(self, key: str) -> list[dict[str, Any]]:
        """Return how the affiliate orders of this id stand now: what Wicked was told in all."""
        query = select(orders).where(orders.c.store == self.store, _named(orders.c.key, key))
        return [
            {**{name: value for name, value in row.items() if name != "store"}, "key": shown(row["key"])}
            for row in self.connection.execute(query).mappings()
        ]

    def _sendings(self, tables: list[Table], key: str) -> Iterator[Select[Any]]:
        names = ("sent_at", "endpoint", "key", "stream", "status", "digest")
        for table in tables:
            yield select(*(table.c[name] for name in names)).where(
                table.c.store == self.store, _named(table.c.key, key)
            )

    def _told(self, key: str) -> dict[tuple[str, str], dict[str, Any]]:
        names = ("revision", "payments", "status", "total", "approved", "refunded")
        query = select(order_events).where(order_events.c.store == self.store)
        query = query.where(_named(order_events.c.order_key, key))
        return {
            (row["endpoint"], row["key"]): {name: row[name] for name in names}
            for row in self.connection.execute(query).mappings()
        }


def shown(key: str) -> str:
    """Return a key as people read and write it."""
    return key.replace(SEPARATOR, SLASH)


def _named(column: ColumnElement[str], key: str) -> ColumnElement[bool]:
    """Return the condition that a row is called `key`, or belongs to the order that is: `key#2`, `key-r2`, a line."""
    name = func.replace(column, SEPARATOR, SLASH, type_=String())
    wanted = key.replace(SEPARATOR, SLASH)
    exact = name == wanted
    beginnings = [wanted + mark for mark in ("#", "-r", SLASH)]
    return or_(
        exact,
        name.endswith(SLASH + wanted, autoescape=True),
        *(name.startswith(beginning, autoescape=True) for beginning in beginnings),
        *(name.contains(SLASH + beginning, autoescape=True) for beginning in beginnings),
    )


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
