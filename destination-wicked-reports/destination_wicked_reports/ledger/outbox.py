"""A batch of rows that travels in one request, and how the outbox stores it while it is in flight."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import orjson

from destination_wicked_reports.model import OrderState, Row


@dataclass(slots=True, eq=False)
class Batch:
    """Rows for one endpoint that travel in one request.

    `keep_rows` says that the outbox stores the rows themselves, because a later run has to send the same bytes again
    or report them. Other rows come again from the source, whose STATE is not released before their outcome is known.
    """

    endpoint: str
    rows: list[Row]
    keep_rows: bool = True
    #: id in the outbox; 0 if it is not there yet.
    outbox_id: int = 0
    #: Wicked may have stored some of the rows in an earlier attempt, whose outcome is unknown.
    maybe_stored: bool = False
    sequence: int = field(init=False)
    #: See `Row.identity`.
    identities: frozenset[str] = field(init=False)
    _body: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        self.sequence = min([row.sequence for row in self.rows], default=0)
        self.identities = frozenset([row.identity for row in self.rows])

    @property
    def body(self) -> bytes:
        """The request body: a JSON array of the rows."""
        if not self._body:
            self._body = b"[" + b",".join([row.body for row in self.rows]) + b"]"
        return self._body

    def without_orders(self, order_keys: Collection[str]) -> Batch | None:
        """Return the batch without the rows of these orders, or None if nothing is left."""
        rows = [row for row in self.rows if row.order_key not in order_keys]
        return self.with_rows(rows) if rows else None

    def with_rows(self, rows: list[Row]) -> Batch:
        """Return a batch of some of these rows that is not in the outbox yet."""
        return Batch(self.endpoint, rows, self.keep_rows, maybe_stored=self.maybe_stored)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Encode everything about rows except their bodies, of which only the lengths are stored."""
    return orjson.dumps(
        [(row.key, row.digest.hex(), row.stream, row.order_key, row.order, len(row.body)) for row in rows], default=str
    )


def decode_rows(endpoint: str, body: bytes, encoded: bytes) -> list[Row]:
    """Return the rows of a request body, given the result of `encode_rows`."""
    rows, start = [], len(b"[")
    for key, digest, stream, order_key, order, size in orjson.loads(encoded):
        row = Row(endpoint, key, body[start : start + size], bytes.fromhex(digest), stream)
        row.order_key, row.order = order_key, None if order is None else decode_order_state(order)
        rows.append(row)
        start += size + len(b",")
    return rows


def decode_order_state(order: dict[str, str]) -> OrderState:
    """Return an order's state from its JSON form, in which amounts are text."""
    amounts = {name: Decimal(order[name]) for name in ("total", "approved", "refunded")}
    return OrderState(**order | amounts)  # type: ignore[arg-type]
