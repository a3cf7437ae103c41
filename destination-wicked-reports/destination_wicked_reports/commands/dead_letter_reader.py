"""Parses lines of the dead-letter file, possibly edited by hand, into records and rows."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ENDPOINTS, ORDERS
from destination_wicked_reports.api.json_text import read_json
from destination_wicked_reports.api.rows import SEPARATOR, FieldChecker, RowMaker
from destination_wicked_reports.delivery.dead_letters import FACTS, RECORD, REJECTED, ROW, line_id, payments_of
from destination_wicked_reports.errors import FieldError, ReplayError
from destination_wicked_reports.ledger.outbox import decode_payments
from destination_wicked_reports.ledger.sale_json import sale_of_facts
from destination_wicked_reports.mappings.revenue import order_name
from destination_wicked_reports.model import IN_DOUBT, Record, Row, SaleState

_NAMES = frozenset(
    {"outcome", "id", "reason", "field", "endpoint", "stream", "at", "form", "key", "digest", "hash", "row"}
    | {"sale_key", "sale", "payments"}
)


@dataclass(slots=True, frozen=True)
class DeadLetter:
    """One line: a record for the mapping, or a row that was checked against its endpoint's fields. `id` names it."""

    in_doubt: bool
    record: Record | None = None
    row: Row | None = None
    fields: dict[str, Any] | None = None
    id: str = ""


class DeadLetterReader:
    """Reads lines of the dead-letter file; `streams` are those of the configured mapping."""

    def __init__(self, streams: Collection[str], *, native: bool) -> None:
        self._streams = streams
        self._native = native
        self._makers = {name: RowMaker(endpoint, strict=True) for name, endpoint in ENDPOINTS.items()}
        self._nested = {name: FieldChecker(fields, strict=True) for name, fields in ORDERS.nested.items()}

    def read(self, line: bytes) -> DeadLetter:
        """Return the content of a line. Raises ReplayError if it cannot be sent."""
        try:
            dead_letter = json.loads(line, parse_float=_as_written)
        except (ValueError, RecursionError):
            raise ReplayError("is not JSON: each line must be one complete object") from None
        if not isinstance(dead_letter, dict) or not isinstance(dead_letter.get("row"), dict):
            raise ReplayError("is not a line of a dead-letter file: it has no `row`")
        unknown = sorted(dead_letter.keys() - _NAMES)
        if unknown:
            raise ReplayError(f"has unknown fields ({', '.join(unknown)}): fields to send belong inside `row`")
        outcome, form = dead_letter.get("outcome", REJECTED), dead_letter.get("form", RECORD if self._native else None)
        if outcome not in (REJECTED, IN_DOUBT):
            raise ReplayError("has an `outcome` other than rejected and in_doubt")
        if str(dead_letter.get("endpoint")) not in ENDPOINTS:
            raise ReplayError(f"has an `endpoint` other than {', '.join(ENDPOINTS)}")
        if form == RECORD:
            data = read_json(line)[0]["row"]
            return replace(self._record(dead_letter, data, in_doubt=outcome == IN_DOUBT), id=line_id(line))
        if form == FACTS:
            raise ReplayError(
                "shows what the ledger stores about an order, from which no row can be made here: remove the line, fix "
                "the order at its source or change the mapping, and run a sync"
            )
        if form == ROW:
            return replace(self._row(dead_letter, in_doubt=outcome == IN_DOUBT), id=line_id(line))
        raise ReplayError("has a `form` other than record (the source's record) and row (the endpoint's row)")

    def _record(self, dead_letter: dict[str, Any], data: dict[str, Any], *, in_doubt: bool) -> DeadLetter:
        stream = dead_letter.get("stream")
        if in_doubt:
            raise ReplayError("is a record and in doubt: only rows that were sent can be in doubt")
        if not isinstance(stream, str) or stream not in self._streams:
            raise ReplayError("has a `stream` that the configured mapping does not take")
        return DeadLetter(False, record=Record(stream, data))

    def _row(self, dead_letter: dict[str, Any], *, in_doubt: bool) -> DeadLetter:
        endpoint = dead_letter["endpoint"]
        try:
            fields = self._check(endpoint, dead_letter["row"])
            row = self._makers[endpoint].encode(fields, str(dead_letter.get("stream") or endpoint), 0)
        except FieldError as error:
            raise ReplayError(f"cannot be sent: {error.field}: {error.reason}") from None
        key, digest = dead_letter.get("key"), dead_letter.get("digest")
        if not isinstance(key, str) or not isinstance(digest, str):
            raise ReplayError("lacks the row's `key` or `digest`, which show whether it was sent")
        if in_doubt and row.digest.hex() != digest:
            raise ReplayError("is in doubt and was edited: Wicked may have the original row. Undo the edit")
        if dead_letter.get("sale_key") is not None:
            self._set_sale(row, fields, dead_letter, key)
        elif not ENDPOINTS[endpoint].key:
            # The key of a row without an id is the digest of its content, with `#2` for the second of two equal rows,
            # or was set by the mapping. Other rows are identified by their id, which may be what was fixed.
            row.key = row.key + key.removeprefix(digest) if key.startswith(digest) else key
        return DeadLetter(in_doubt, row=row, fields=fields)

    def _check(self, endpoint: str, data: dict[str, Any]) -> dict[str, Any]:
        maker = self._makers[endpoint]
        maker.fields.unknown.clear()
        fields = maker.check(data)
        unknown = set(maker.fields.unknown)
        for name, checker in self._nested.items() if endpoint == ORDERS.name else ():
            if name in data:
                if not isinstance(data[name], list) or not all(isinstance(child, dict) for child in data[name]):
                    raise FieldError(name, "not a list of objects")
                checker.unknown.clear()
                fields[name] = [checker.check(child) for child in data[name]]
                unknown |= checker.unknown
        if unknown:
            raise FieldError(", ".join(sorted(unknown)), f"not a field of {endpoint}")
        return fields

    def _set_sale(self, row: Row, fields: dict[str, Any], dead_letter: dict[str, Any], key: str) -> None:
        """Make the row one of its sale again. What the sale's state was computed from must be unedited."""
        try:
            sale = sale_of_facts(dead_letter["sale"])
            row.sale_key = str(dead_letter["sale_key"])
            row.payments = decode_payments([payment[:3] for payment in dead_letter["payments"]])
            payments = [(status, Decimal(amount), date) for _, status, amount, date in dead_letter["payments"]]
            number = row.payments[0].number
        except (KeyError, IndexError, TypeError, ValueError, ArithmeticError):
            raise ReplayError("lacks a complete `sale`, which its row is a part of") from None
        system, _, source_id = row.sale_key.partition(SEPARATOR)
        name = fields.get("SourceID" if row.endpoint == ORDERS.name else "OrderID")
        if (fields.get("SourceSystem"), name) != (system, order_name(source_id, number)):
            raise ReplayError("belongs to an affiliate or shop order, whose SourceSystem and id cannot be edited")
        unedited = payments == [
            (payment.get("Status"), _decimal(payment.get("Amount")), payment.get("PaymentDate"))
            for payment in payments_of(row.endpoint, fields)
        ]
        if row.endpoint == ORDERS.name:
            total, currency, created = (fields.get(each) for each in ("OrderTotal", "OrderCurrency", "CreateDate"))
            expected = payments[0][1], sale.currency, sale.ordered_at
            unedited = unedited and (_decimal(total), currency or "", created) == expected
            # Further orders repeat the contact, so a fixed one has to be stored.
            sale = sale._replace(contact_id=fields["ContactID"], contact_email=fields["ContactEmail"])
        if not unedited:
            raise ReplayError(
                "belongs to an affiliate or shop order, whose amounts, currency, status and dates cannot be edited: "
                "undo that edit, or remove the line and run a sync that reads the order again"
            )
        row.sale, row.key = sale, key


def is_current(row: Row, known: SaleState | None) -> bool:
    """Tell whether a row of a sale still follows on what was sent of the sale; True for other rows."""
    if row.sale is None:
        return True
    return (known.version if known else 0) == row.sale.version - len(row.payments)


def _decimal(value: Any) -> Decimal:
    """Return a checked amount, which is a number or an `orjson.Fragment`, as a decimal."""
    return Decimal(orjson.dumps(value or 0).decode())


def _as_written(number: str) -> str:
    return number
