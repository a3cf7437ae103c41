"""Lines of the dead-letter file, as a person may have mended them, read back into records and rows."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ENDPOINTS, ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.rows import FieldChecker, RowMaker
from destination_wicked_reports.delivery.dead_letters import FACTS, HELD, RECORD, REJECTED, ROW
from destination_wicked_reports.errors import FieldError, ReplayError
from destination_wicked_reports.ledger.outbox import revived
from destination_wicked_reports.mappings.payments_and_refunds import apply_payment
from destination_wicked_reports.model import OrderState, Record, Row

_NAMES = frozenset(
    {"outcome", "reason", "field", "endpoint", "stream", "at", "form", "key", "digest", "order_key", "order", "row"}
)


@dataclass(slots=True, frozen=True)
class DeadLetter:
    """One line: a record for the mapping, or a row, checked against its endpoint's table."""

    held: bool
    record: Record | None = None
    row: Row | None = None
    fields: dict[str, Any] | None = None


class DeadLetterReader:
    """Reads lines of the dead-letter file; `streams` are those that the configured mapping takes."""

    def __init__(self, streams: Collection[str], *, native: bool) -> None:
        self._streams = streams
        self._native = native
        self._makers = {name: RowMaker(endpoint) for name, endpoint in ENDPOINTS.items()}
        self._nested = {name: FieldChecker(fields) for name, fields in ORDERS.nested.items()}

    def read(self, line: bytes) -> DeadLetter:
        """Return what a line holds; ReplayError if it may not be sent."""
        try:
            letter = json.loads(line, parse_float=_as_written)
        except (ValueError, RecursionError):
            raise ReplayError("is not JSON: each line must stay one whole object") from None
        if not isinstance(letter, dict) or not isinstance(letter.get("row"), dict):
            raise ReplayError("is not a line of a dead-letter file: it has no `row`")
        strange = sorted(letter.keys() - _NAMES)
        if strange:
            raise ReplayError(f"has unknown fields ({', '.join(strange)}): what is sent belongs inside `row`")
        outcome, form = letter.get("outcome", REJECTED), letter.get("form", RECORD if self._native else None)
        if outcome not in (REJECTED, HELD):
            raise ReplayError("has an `outcome` that is neither rejected nor held")
        if str(letter.get("endpoint")) not in ENDPOINTS:
            raise ReplayError(f"has an `endpoint` that is none of {', '.join(ENDPOINTS)}")
        if form == RECORD:
            return self._record(letter, json.loads(line)["row"], held=outcome == HELD)
        if form == FACTS:
            raise ReplayError(
                "shows what the ledger keeps of an order, from which no row can be made here: remove the line, mend "
                "the order at its source or change the mapping, and run a sync"
            )
        if form == ROW:
            return self._row(letter, held=outcome == HELD)
        raise ReplayError("does not say what its row is: `form` must be record (the source's) or row (the endpoint's)")

    def _record(self, letter: dict[str, Any], data: dict[str, Any], *, held: bool) -> DeadLetter:
        stream = letter.get("stream")
        if held:
            raise ReplayError("is a record and held, which cannot be: only rows that were sent are held")
        if not isinstance(stream, str) or stream not in self._streams:
            raise ReplayError("has a `stream` that the configured mapping does not take")
        return DeadLetter(False, record=Record(stream, data))

    def _row(self, letter: dict[str, Any], *, held: bool) -> DeadLetter:
        endpoint = letter["endpoint"]
        try:
            fields = self._check(endpoint, letter["row"])
            row = self._makers[endpoint].encode(fields, str(letter.get("stream") or endpoint), 0)
        except FieldError as error:
            raise ReplayError(f"may not be sent: {error.field}: {error.reason}") from None
        key, digest = letter.get("key"), letter.get("digest")
        if not isinstance(key, str) or not isinstance(digest, str):
            raise ReplayError("lacks the row's `key` or `digest`, so that nobody could tell whether it was sent")
        if held and row.digest.hex() != digest:
            raise ReplayError(
                "is held and was edited: Wicked may have the row as it was. Send it as it was, or look into Wicked"
            )
        if letter.get("order_key") is not None:
            self._join_order(row, letter, key)
        elif not ENDPOINTS[endpoint].key:
            # Rows without an id are named by their content, the second of two equal ones with `#2` behind it, or have
            # a name of the mapping's own. The others are named by their id, which may be what was mended.
            row.key = row.key + key.removeprefix(digest) if key.startswith(digest) else key
        return DeadLetter(held, row=row, fields=fields)

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

    def _join_order(self, row: Row, letter: dict[str, Any], key: str) -> None:
        try:
            row.order_key, row.order = str(letter["order_key"]), revived(letter["order"])
        except (KeyError, TypeError, ValueError, ArithmeticError):
            raise ReplayError("lacks a whole `order`, of which its row is a part") from None
        if row.endpoint == ORDERS.name and row.key != key:
            raise ReplayError("is an affiliate's order, of which SourceSystem and SourceID may not be edited")
        row.key = key


def joined(letter: DeadLetter, known: OrderState | None) -> Row | None:
    """Return a row with what its order comes to once it is told; None if the order was told otherwise since.

    The amounts are those of the row as it is now, so that the next sync tells what is missing and no more.
    """
    row = letter.row
    if row is None or row.order is None or letter.held or letter.fields is None:
        return row
    order, fields = row.order, letter.fields
    if row.endpoint == ORDERS.name:
        told = [(str(p["Status"]), _decimal(p["Amount"])) for p in fields.get("OrderPayments", ())]
        # A sale's first order may hold any number of payments; one that is told anew, at most one.
        before = 0 if order.revision == 1 else order.payments - (1 if order.status else 0)
        if (known.place if known else (0, 0)) != (order.revision - 1, before):
            return None
        state = OrderState(_decimal(fields["OrderTotal"]), payments=before, revision=order.revision)
    elif row.endpoint == ORDER_PAYMENTS.name:
        if known is None or known.place != (order.revision, order.payments - 1):
            return None
        told, state = [(str(fields["Status"]), _decimal(fields["Amount"]))], known
    else:
        return row
    for status, amount in told:
        state = apply_payment(state, status, amount)
    return replace(row, order=replace(state, currency=order.currency, changed=order.changed))


def _decimal(value: Any) -> Decimal:
    """Return a checked amount, which is a number or the text of one that is written as it is."""
    return Decimal(orjson.dumps(value).decode())


def _as_written(number: str) -> str:
    return number
