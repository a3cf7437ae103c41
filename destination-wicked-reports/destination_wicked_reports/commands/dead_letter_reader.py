"""Parses lines of the dead-letter file, possibly edited by hand, into records and rows."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ENDPOINTS, ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.json_text import read_json
from destination_wicked_reports.api.rows import FieldChecker, RowMaker
from destination_wicked_reports.delivery.dead_letters import FACTS, RECORD, REJECTED, ROW, line_id
from destination_wicked_reports.errors import FieldError, ReplayError
from destination_wicked_reports.ledger.outbox import decode_order_state
from destination_wicked_reports.mappings.payments_and_refunds import apply_payment
from destination_wicked_reports.model import IN_DOUBT, OrderState, Record, Row

_NAMES = frozenset(
    {"outcome", "id", "reason", "field", "endpoint", "stream", "at", "form", "key", "digest", "order_key", "order"}
) | {"row"}


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
        if dead_letter.get("order_key") is not None:
            self._set_order(row, dead_letter, key)
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

    def _set_order(self, row: Row, dead_letter: dict[str, Any], key: str) -> None:
        try:
            row.order_key, row.order = str(dead_letter["order_key"]), decode_order_state(dead_letter["order"])
        except (KeyError, TypeError, ValueError, ArithmeticError):
            raise ReplayError("lacks a complete `order`, which its row is a part of") from None
        if row.endpoint == ORDERS.name and row.key != key:
            raise ReplayError("is an affiliate or shop order, whose SourceSystem and SourceID cannot be edited")
        row.key = key


def rebase(dead_letter: DeadLetter, known: OrderState | None) -> Row | None:
    """Return a row with its order's state after the row; None if the order has changed since the row was made.

    The state is computed from the row's amounts as edited, so that the next sync sends exactly the difference.
    """
    row = dead_letter.row
    if row is None or row.order is None or dead_letter.in_doubt or dead_letter.fields is None:
        return row
    order, fields = row.order, dead_letter.fields
    if row.endpoint == ORDERS.name:
        payments = [(str(p["Status"]), _decimal(p["Amount"])) for p in fields.get("OrderPayments", ())]
        # The first order of a sale may have any number of payments; a further one has at most one.
        before = 0 if order.revision == 1 else order.payments - (1 if order.status else 0)
        if (known.version if known else (0, 0)) != (order.revision - 1, before):
            return None
        state = OrderState(_decimal(fields["OrderTotal"]), payments=before, revision=order.revision)
    elif row.endpoint == ORDER_PAYMENTS.name:
        if known is None or known.version != (order.revision, order.payments - 1):
            return None
        payments, state = [(str(fields["Status"]), _decimal(fields["Amount"]))], known
    else:
        return row
    for status, amount in payments:
        state = apply_payment(state, status, amount)
    return replace(row, order=replace(state, currency=order.currency, source_updated_at=order.source_updated_at))


def _decimal(value: Any) -> Decimal:
    """Return a checked amount, which is a number or an `orjson.Fragment`, as a decimal."""
    return Decimal(orjson.dumps(value).decode())


def _as_written(number: str) -> str:
    return number
