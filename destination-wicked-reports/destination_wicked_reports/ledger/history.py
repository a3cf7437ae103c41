"""Reads a ledger without changing it: rows sent by day, stream and endpoint, and the history of one key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, String, func, literal, or_, select, union_all

from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.ledger.order_documents import documents
from destination_wicked_reports.ledger.reading import open_snapshot
from destination_wicked_reports.ledger.sale_json import decode_sale, sale_facts
from destination_wicked_reports.ledger.sale_totals import sale_totals
from destination_wicked_reports.ledger.schema import outbox, sale_aliases, sale_events, sales, sent, sent_before
from destination_wicked_reports.ledger.sql import has_table
from destination_wicked_reports.model import IN_DOUBT

_DAY = 86_400
#: Replaces the key's separator in output and input: SOURCE SYSTEM/ID.
SLASH = "/"
_SENDING = ("sent_at", "endpoint", "key", "stream", "status", "digest")
#: Where sales and orders are that may have something to send.
_WAITING = (sale_totals, documents)


@contextlib.contextmanager
def open_history(config: Config) -> Iterator[History]:
    """Open the configured ledger for reading. Raises LedgerError if there is none."""
    with open_snapshot(config) as snapshot:
        yield History(snapshot.connection, snapshot.store)


class History:
    """The contents of one store of a ledger."""

    def __init__(self, connection: Connection, store: str):
        self.connection = connection
        self.store = store

    def totals(self) -> Iterator[dict[str, Any]]:
        """Yield `day` (UTC), `stream`, `endpoint`, `status` and `rows`, sorted by the first.

        `status` is accepted, in_doubt or dismissed.

        A row that was sent more than once counts on the day it was last sent.
        """
        day = (sent.c.sent_at // _DAY).label("day")
        names = (day, sent.c.stream, sent.c.endpoint, sent.c.status)
        query = select(*names, func.count().label("rows")).where(sent.c.store == self.store)
        for row in self.connection.execute(query.group_by(*names).order_by(*names)):
            yield {**row._asdict(), "day": timestamp(row.day * _DAY)[:10]}

    def sendings(self, key: str) -> list[dict[str, Any]]:
        """Return every time a row or the rows of an order were sent, oldest first; `key` is an id or SOURCE SYSTEM/ID.

        Each has `at` (UTC), `endpoint`, `key`, `stream`, `status` (as in `totals`) and `digest` (of the content); rows
        of a sale also have `payments`, each with the `number` of its order, its `status` and `amount` (text).
        """
        key = self._sale_name(key)
        events = self._events(key)
        rows = self.connection.execute(union_all(*self._queries(key))).mappings()
        found = [_shown(dict(row), events) for row in rows]
        rank = {endpoint: number for number, endpoint in enumerate(("products", "contacts", "orders", "order_items"))}
        return sorted(found, key=lambda s: (s["at"], rank.get(s["endpoint"], len(rank)), s["key"]))

    def search(self, part: str, limit: int) -> list[dict[str, Any]]:
        """Return, as `sendings` does, at most so many rows whose key has this part, or whose sale has such an alias."""
        sale_keys = self._sale_keys(part, limit)
        found: list[dict[str, Any]] = []
        for table in (sent, sent_before):
            of_sale = [_matches(table.c.key, key) for key in sale_keys]
            query = select(*(table.c[name] for name in _SENDING)).where(
                table.c.store == self.store, or_(_contains(table.c.key, part), *of_sale)
            )
            found += map(dict, self.connection.execute(query.limit(limit)).mappings())
        payments: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for key in sale_keys:
            payments |= self._events(key)
        return sorted((_shown(each, payments) for each in found), key=lambda each: (each["at"], each["key"]))[:limit]

    def sales_like(self, part: str, limit: int) -> list[dict[str, Any]]:
        """Return, as `sales` does, the sales that `search` finds."""
        keys = self._sale_keys(part, limit)
        return self._sales(sales.c.key.in_(keys))

    def waiting_like(self, part: str, limit: int) -> list[str]:
        """Return the keys, with this part, of sales and orders that wait and have sent nothing yet."""
        return [
            display_key(key)
            for table in _WAITING
            if has_table(self.connection, table)
            for key in self.connection.scalars(
                select(table.c.key)
                .where(table.c.store == self.store, _contains(table.c.key, part))
                .where(table.c.key.not_in(select(sales.c.key).where(sales.c.store == self.store)))
                .limit(limit)
            )
        ]

    def _sale_keys(self, part: str, limit: int) -> list[str]:
        name = self._sale_name(part)
        wanted = _contains(sales.c.key, part) if name == part else _is_named(sales.c.key, name)
        by_key = select(sales.c.key).where(sales.c.store == self.store, wanted).limit(limit)
        by_alias = select(sale_aliases.c.sale_key).where(
            sale_aliases.c.store == self.store, _contains(sale_aliases.c.alias, part)
        )
        found = [*self.connection.scalars(by_key), *self.connection.scalars(by_alias.limit(limit))]
        return list(dict.fromkeys(found))[:limit]

    def facts(self) -> dict[str, Any]:
        """Return how many rows were sent and are in doubt, by endpoint, how many requests are in flight, and `waiting`.

        What waits is a sale or an order with something still to send.
        """
        query = select(sent.c.endpoint, sent.c.status, func.count().label("rows")).where(sent.c.store == self.store)
        found: dict[str, Any] = {"sent": {}, "in_doubt": {}}
        for row in self.connection.execute(query.group_by(sent.c.endpoint, sent.c.status)):
            found["in_doubt" if row.status == IN_DOUBT else "sent"][row.endpoint] = row.rows
        in_flight = select(func.count()).select_from(outbox).where(outbox.c.store == self.store)
        waiting = (
            select(func.count()).select_from(table).where(table.c.store == self.store, table.c.pending != "")
            for table in _WAITING
            if has_table(self.connection, table)
        )
        counts = (self.connection.scalar(query) or 0 for query in waiting)
        return {**found, "in_flight": self.connection.scalar(in_flight), "waiting": sum(counts)}

    def everything(self) -> Iterator[dict[str, Any]]:
        """Yield every time a row was sent: earlier versions first, then the last ones, each with its payments."""
        for table in (sent_before, sent):
            event = (
                (sale_events.c.store == table.c.store)
                & (sale_events.c.endpoint == table.c.endpoint)
                & (sale_events.c.key == table.c.key)
            )
            query = select(*(table.c[name] for name in _SENDING), sale_events.c.currency, sale_events.c.payments)
            query = query.select_from(table.outerjoin(sale_events, event)).where(table.c.store == self.store)
            with self.connection.execute(query.execution_options(yield_per=1000)) as rows:
                for row in rows:
                    yield {
                        "sent_at": timestamp(row.sent_at),
                        "endpoint": row.endpoint,
                        "key": display_key(row.key),
                        "stream": row.stream,
                        "status": row.status,
                        "digest": bytes(row.digest).hex(),
                        "currency": row.currency or "",
                        "payments": row.payments or "",
                    }

    def sales(self, key: str) -> list[dict[str, Any]]:
        """Return the present state of the sales with this id: the fields of `SaleState`, and `key`."""
        name = self._sale_name(key)
        return self._sales(_matches(sales.c.key, name))

    def _sales(self, condition: ColumnElement[bool]) -> list[dict[str, Any]]:
        query = select(sales.c.key, sales.c.state).where(sales.c.store == self.store, condition)
        return [
            {"key": display_key(row.key), **sale_facts(decode_sale(row.state))}
            for row in self.connection.execute(query)
        ]

    def _sale_name(self, key: str) -> str:
        """Return the id of the sale if `key` is the id of one of its further orders, else `key`."""
        name, mark, number = key.rpartition("~")
        if not mark or not number.isdecimal():
            return key
        query = select(literal(1)).where(sales.c.store == self.store)
        own, sale = (self.connection.scalar(query.where(_is_named(sales.c.key, each)).limit(1)) for each in (key, name))
        return name if sale and not own else key

    def _queries(self, key: str) -> Iterator[Select[Any]]:
        for table in (sent, sent_before):
            yield select(*(table.c[name] for name in _SENDING)).where(
                table.c.store == self.store, _matches(table.c.key, key)
            )

    def _events(self, key: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
        query = select(sale_events.c.endpoint, sale_events.c.key, sale_events.c.payments)
        query = query.where(sale_events.c.store == self.store, _matches(sale_events.c.sale_key, key))
        names = ("number", "status", "amount")
        return {
            (row.endpoint, row.key): [dict(zip(names, payment, strict=True)) for payment in orjson.loads(row.payments)]
            for row in self.connection.execute(query)
        }


def _shown(sending: dict[str, Any], events: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """Return a row of the ledger as it is shown, with its payments if it has any."""
    payments = events.get((sending["endpoint"], sending["key"]))
    shown = {**sending, "at": timestamp(sending["sent_at"]), "digest": bytes(sending["digest"]).hex()}
    del shown["sent_at"]
    if payments is not None:
        shown["payments"] = payments
    return {**shown, "key": display_key(sending["key"])}


def display_key(key: str) -> str:
    """Return a key as it is displayed and entered."""
    return key.replace(SEPARATOR, SLASH)


def _contains(column: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """Return the condition that a key has this part, whatever the case, given as it is displayed."""
    return _displayed(column).icontains(part.replace(SEPARATOR, SLASH), autoescape=True)


def _matches(column: ColumnElement[str], key: str) -> ColumnElement[bool]:
    """Return the condition that a row has this key, or belongs to the order that has it: `key#2`, `key~2`, a line."""
    name, wanted = _displayed(column), key.replace(SEPARATOR, SLASH)
    prefixes = [wanted + mark for mark in ("#", "~", SLASH)]
    return or_(
        _is_named(column, key),
        *(name.startswith(prefix, autoescape=True) for prefix in prefixes),
        *(name.contains(SLASH + prefix, autoescape=True) for prefix in prefixes),
    )


def _is_named(column: ColumnElement[str], key: str) -> ColumnElement[bool]:
    """Return the condition that a row has exactly this key, given as an id or SOURCE SYSTEM/ID."""
    name, wanted = _displayed(column), key.replace(SEPARATOR, SLASH)
    return or_(name == wanted, name.endswith(SLASH + wanted, autoescape=True))


def _displayed(column: ColumnElement[str]) -> ColumnElement[str]:
    return func.replace(column, SEPARATOR, SLASH, type_=String())


def timestamp(seconds: int) -> str:
    """Return UNIX seconds as they are displayed, `YYYY-MM-DDTHH:MM:SSZ`."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
