"""Reads a ledger without changing it: rows sent by day, stream and endpoint, and the history of one key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, String, func, literal, or_, select, union_all

from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.ledger.reading import open_snapshot
from destination_wicked_reports.ledger.schema import sale_events, sales, sent, sent_before

_DAY = 86_400
#: Replaces the key's separator in output and input: SOURCE SYSTEM/ID.
SLASH = "/"


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
        """Yield `day` (UTC), `stream`, `endpoint`, `status` (accepted or in_doubt) and `rows`, sorted by the first.

        A row that was sent more than once counts on the day it was last sent.
        """
        day = (sent.c.sent_at // _DAY).label("day")
        names = (day, sent.c.stream, sent.c.endpoint, sent.c.status)
        query = select(*names, func.count().label("rows")).where(sent.c.store == self.store)
        for row in self.connection.execute(query.group_by(*names).order_by(*names)):
            yield {**row._asdict(), "day": _timestamp(row.day * _DAY)[:10]}

    def sendings(self, key: str) -> list[dict[str, Any]]:
        """Return every time a row or the rows of an order were sent, oldest first; `key` is an id or SOURCE SYSTEM/ID.

        Each has `at` (UTC), `endpoint`, `key`, `stream`, `status` (accepted or in_doubt) and `digest` (of the content);
        rows of a sale also have `payments`, each with the `number` of its order, its `status` and `amount` (text).
        """
        key = self._sale_name(key)
        found = [dict(row) for row in self.connection.execute(union_all(*self._queries(key))).mappings()]
        events = self._events(key)
        for sending in found:
            sending["at"] = _timestamp(sending.pop("sent_at"))
            sending["digest"] = bytes(sending["digest"]).hex()
            payments = events.get((sending["endpoint"], sending["key"]))
            if payments is not None:
                sending["payments"] = payments
            sending["key"] = display_key(sending["key"])
        rank = {endpoint: number for number, endpoint in enumerate(("products", "contacts", "orders", "order_items"))}
        return sorted(found, key=lambda s: (s["at"], rank.get(s["endpoint"], len(rank)), s["key"]))

    def sales(self, key: str) -> list[dict[str, Any]]:
        """Return the present state of the sales with this id: the fields of `SaleState`, and `key`."""
        name = self._sale_name(key)
        query = select(sales.c.key, sales.c.state).where(sales.c.store == self.store, _matches(sales.c.key, name))
        return [{"key": display_key(row.key), **orjson.loads(row.state)} for row in self.connection.execute(query)]

    def _sale_name(self, key: str) -> str:
        """Return the id of the sale if `key` is the id of one of its further orders, else `key`."""
        name, mark, number = key.rpartition("~")
        if not mark or not number.isdecimal():
            return key
        query = select(literal(1)).where(sales.c.store == self.store)
        own, sale = (self.connection.scalar(query.where(_is_named(sales.c.key, each)).limit(1)) for each in (key, name))
        return name if sale and not own else key

    def _queries(self, key: str) -> Iterator[Select[Any]]:
        names = ("sent_at", "endpoint", "key", "stream", "status", "digest")
        for table in (sent, sent_before):
            yield select(*(table.c[name] for name in names)).where(
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


def display_key(key: str) -> str:
    """Return a key as it is displayed and entered."""
    return key.replace(SEPARATOR, SLASH)


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


def _timestamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
