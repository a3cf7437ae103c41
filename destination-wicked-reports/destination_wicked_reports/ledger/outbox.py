"""Rows that travel in one request, and the form in which the ledger keeps them while they are under way."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import orjson

from destination_wicked_reports.model import OrderState, Row


@dataclass(slots=True, eq=False)
class Batch:
    """Rows for one endpoint that travel in one request; `mark` is their line in the outbox, 0 before there is one.

    `kept` says that the outbox holds the rows themselves: a later run must send the same bytes again or report them.
    Other rows come again from the source, whose STATE does not leave before they are settled.
    """

    endpoint: str
    rows: list[Row]
    kept: bool = True
    mark: int = 0
    #: Wicked may have some of it from an attempt whose outcome nobody knows.
    unsure: bool = False
    sequence: int = field(init=False)
    #: what no two rows under way may share
    names: frozenset[str] = field(init=False)
    _body: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        self.sequence = min([row.sequence for row in self.rows], default=0)
        self.names = frozenset([row.identity for row in self.rows])

    @property
    def body(self) -> bytes:
        """The request body: a JSON array of rows that were encoded when they were made."""
        if not self._body:
            self._body = b"[" + b",".join([row.body for row in self.rows]) + b"]"
        return self._body

    def without(self, orders: Collection[str]) -> Batch | None:
        """Return the batch less the rows of these orders, or None if nothing is left."""
        rows = [row for row in self.rows if row.order_key not in orders]
        return self.of(rows) if rows else None

    def of(self, rows: list[Row]) -> Batch:
        """Return a batch of some of these rows, not marked yet."""
        return Batch(self.endpoint, rows, self.kept, unsure=self.unsure)


def dump(rows: Sequence[Row]) -> bytes:
    """Encode everything about rows but their bodies, of which only the lengths are kept."""
    return orjson.dumps(
        [(row.key, row.digest.hex(), row.stream, row.order_key, row.order, len(row.body)) for row in rows], default=str
    )


def load(endpoint: str, body: bytes, dumped: bytes) -> list[Row]:
    """Return the rows of a request body, given what `dump` said of them."""
    rows, start = [], len(b"[")
    for key, digest, stream, order_key, order, size in orjson.loads(dumped):
        row = Row(endpoint, key, body[start : start + size], bytes.fromhex(digest), stream)
        row.order_key, row.order = order_key, None if order is None else revived(order)
        rows.append(row)
        start += size + len(b",")
    return rows


def revived(order: dict[str, str]) -> OrderState:
    """Return the state of an order from its JSON form, in which money is text."""
    amounts = {name: Decimal(order[name]) for name in ("total", "approved", "refunded")}
    return OrderState(**order | amounts)  # type: ignore[arg-type]
