"""A batch of rows that travels in one request, and how the outbox stores it while it is in flight."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from destination_wicked_reports.ledger.sale_json import encode_sale, sale_of_array
from destination_wicked_reports.model import Row, SalePayment


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

    def without_sales(self, sale_keys: Collection[str]) -> Batch | None:
        """Return the batch without the rows of these sales, or None if nothing is left."""
        rows = [row for row in self.rows if row.sale_key not in sale_keys]
        return self.with_rows(rows) if rows else None

    def with_rows(self, rows: list[Row]) -> Batch:
        """Return a batch of some of these rows that is not in the outbox yet."""
        return Batch(self.endpoint, rows, self.keep_rows, maybe_stored=self.maybe_stored)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """Encode everything about rows except their bodies, of which only the lengths are stored."""
    encoded = [
        (
            row.key,
            row.digest.hex(),
            row.stream,
            row.sale_key,
            None if row.sale is None else orjson.Fragment(stored_sale(row)),
            plain_payments(row.payments),
            len(row.body),
        )
        for row in rows
    ]
    return orjson.dumps(encoded)


def stored_sale(row: Row) -> str:
    """Return the sale of a row as JSON; it is encoded once, for the outbox and for the table of sales."""
    if not row.sale_json and row.sale is not None:
        row.sale_json = encode_sale(row.sale)
    return row.sale_json


def plain_payments(payments: Sequence[SalePayment]) -> list[tuple[int, str, str]]:
    """Return payments for JSON; amounts become text."""
    return [(payment.number, payment.status, str(payment.amount)) for payment in payments]


def decode_rows(endpoint: str, body: bytes, encoded: bytes) -> list[Row]:
    """Return the rows of a request body, given the result of `encode_rows`."""
    rows, start = [], len(b"[")
    for key, digest, stream, sale_key, sale, payments, size in orjson.loads(encoded):
        row = Row(endpoint, key, body[start : start + size], bytes.fromhex(digest), stream)
        row.sale_key, row.sale = sale_key, None if sale is None else sale_of_array(sale)
        row.payments = decode_payments(payments)
        rows.append(row)
        start += size + len(b",")
    return rows


def decode_payments(payments: Sequence[Sequence[Any]]) -> tuple[SalePayment, ...]:
    """Return payments from their JSON form, in which amounts are text."""
    return tuple(SalePayment(number, status, Decimal(amount)) for number, status, amount in payments)
