"""Maps streams that already use the field names of Wicked Reports: one stream per inbound endpoint.

OrderItems and OrderPayments nested in an order become rows of their own, for /orderitems and /orderpayments. An order
is sent only once, so a payment that is nested in it on a later read could not be sent otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from destination_wicked_reports.api.deletion_marks import Marks, find_marks, is_deleted
from destination_wicked_reports.api.endpoints import ENDPOINTS, ORDER_ITEMS, ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.json_text import parse_text
from destination_wicked_reports.api.rows import FieldChecker, RowMaker, find_column, fold
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.mappings.payment_checks import PaymentChecks
from destination_wicked_reports.model import Deleted, Record, Reject, Row, Skip

_CHILDREN = {"OrderItems": ORDER_ITEMS.name, "OrderPayments": ORDER_PAYMENTS.name}
_ENDPOINTS_BY_STREAM = {fold(name): name for name in ENDPOINTS}
#: Fields of standalone rows that integrations repeat in nested ones, where they are redundant
#: (docs/vendors/wicked-reports.md 2.1).
_INHERITED = ("SourceSystem", "OrderID", "SourceID")
_INHERITED_FOLDED = frozenset(fold(name) for name in _INHERITED)
_LINE_ID = fold("OrderItemID")
_MAX_SHAPES = 64


class NativeNormalizer(Normalizer):
    """Validates records that already use the field names of Wicked Reports.

    `unknown_fields` collects, per stream, the names of undocumented fields; they are not sent.
    """

    streams = frozenset(ENDPOINTS)

    def __init__(self) -> None:
        self._makers = {name: RowMaker(endpoint) for name, endpoint in ENDPOINTS.items()}
        self.unknown_fields: dict[str, set[str]] = {name: maker.fields.unknown for name, maker in self._makers.items()}
        self._children = {
            name: FieldChecker(fields, _INHERITED, self.unknown_fields[ORDERS.name], f"{name}.")
            for name, fields in ORDERS.nested.items()
        }
        self._nested: dict[tuple[str, ...], dict[str, str]] = {}
        self._payment_checks = PaymentChecks()

    def route(self, stream: str, namespace: str = "", object_name: str = "") -> str | None:
        """Return the endpoint that the catalog requests, else the one with the stream's name, in any spelling."""
        return _ENDPOINTS_BY_STREAM.get(fold(object_name or stream))

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield one row per record, plus one per item and payment nested in an order."""
        makers, names, nested = self._makers, None, dict[str, str]()
        marks: Marks = ()
        for record in records:
            stream, data = record.stream, record.data
            maker = makers[stream]
            try:
                fields = maker.check(data)
                row: Row | Reject = maker.encode(fields, stream, record.sequence)
            except FieldError as error:
                row = Reject(error.reason, error.field, stream, stream, data, record.sequence)
            if maker.fields.names is not names:
                names = maker.fields.names or ()
                nested = self._nested_columns(names) if stream == ORDERS.name else {}
                marks = find_marks(names)
            if marks and is_deleted(data, marks):  # a delete may have its key only, so ask also if it made no row
                yield Deleted("marked as deleted", record.sequence, stream)
                continue
            yield row
            if isinstance(row, Reject):
                continue
            if stream == ORDERS.name:
                self._payment_checks.add_order(row.key, fields["OrderTotal"])
            elif stream == ORDER_PAYMENTS.name:
                self._payment_checks.add_payment(fields, row.key)
            if nested:
                inherited = {"SourceSystem": fields["SourceSystem"], "OrderID": fields["SourceID"]}
                for name, column in nested.items():
                    if data[column]:
                        yield from self._explode(name, data[column], inherited, record)

    def notes(self) -> Iterator[str]:
        """Yield the undocumented fields of each stream, which were not sent, and orders that may be counted wrong."""
        for stream, names in self.unknown_fields.items():
            if names:
                yield f"{stream}: fields unknown to Wicked Reports were not sent: {', '.join(sorted(names))}"
        yield from self._payment_checks.notes()

    def _nested_columns(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return the columns that hold nested rows, by their Wicked Reports name; cached per set of columns."""
        nested = self._nested.get(names)
        if nested is None:
            if len(self._nested) >= _MAX_SHAPES:
                self._nested.clear()
            found = {name: find_column(name, names) for name in _CHILDREN}
            nested = self._nested[names] = {name: column for name, column in found.items() if column is not None}
        return nested

    def _explode(self, name: str, nested: Any, inherited: dict[str, str], record: Record) -> Iterator[Row | Reject]:
        """Yield the items or payments of one order. An invalid one is rejected without its order."""
        maker = self._makers[_CHILDREN[name]]
        seen: Counter[str] = Counter()
        for child in _listed(nested):
            standalone = _standalone(inherited, child)
            try:
                if not isinstance(child, dict):
                    raise FieldError(name, "not a list of objects")
                fields = _standalone(inherited, self._children[name].check(child))
                row = maker.encode(fields, record.stream, record.sequence)
            except FieldError as error:
                # Write the standalone form to the dead-letter file, so that the row can be fixed and replayed.
                yield Reject(error.reason, error.field, maker.endpoint, maker.endpoint, standalone, record.sequence)
                continue
            # Payments have no id. Equal payments in one list are separate payments, and reading the list again repeats
            # them, so the position among equals completes the key.
            seen[row.key] += 1
            if name == "OrderPayments":
                if seen[row.key] > 1:
                    row.key = f"{row.key}#{seen[row.key]}"
                self._payment_checks.add_payment(fields, row.key)
            yield row


def _listed(nested: Any) -> list[Any]:
    """Return the nested rows as a list, which a warehouse may have stored as JSON text."""
    if isinstance(nested, str):
        nested = parse_text(nested, nested)
    return nested if isinstance(nested, list) else [nested]


def _standalone(inherited: dict[str, Any], child: Any) -> dict[str, Any]:
    """Return a nested row in the form of its own endpoint, where OrderItemID is called SourceID.

    See docs/vendors/wicked-reports.md 2.4.
    """
    if not isinstance(child, dict):
        return {**inherited, "value": child}
    row = dict(inherited)
    for name, value in child.items():
        folded = fold(name)
        if folded == _LINE_ID:
            row["SourceID"] = value
        elif folded not in _INHERITED_FOLDED:
            row[name] = value
    return row
