"""What Wicked's answer to a POST says about each row.

A 2xx is not yet a yes. The one published reader of these replies finds `errors: [{"error", "item"}]`, `records` and
`totalRecords` in them (wicked-facts.md section 2.1, seen in 2019); the SDK's tests find a text in `success`. Whatever
says less than that proves nothing, and is not taken for a yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import orjson

from destination_wicked_reports.normalizers.base import Row

#: A JSON object with one of these, and no error in it, is a receipt.
RECEIPT_KEYS = frozenset({"success", "records", "totalRecords", "status", "message"})


class Outcome(Enum):
    """What became of a request's rows."""

    ACCEPTED = "all stored, but for the rows named"
    REFUSED = "nothing stored"
    UNCLEAR = "some stored, and the reply does not say which"
    UNKNOWN = "nobody knows"


@dataclass(slots=True, frozen=True)
class Verdict:
    """The outcome of one request; `rejected` maps the places of refused rows to Wicked's reasons."""

    outcome: Outcome
    rejected: dict[int, str]
    reason: str = ""


def read_reply(status: int, body: bytes, rows: Sequence[Row]) -> Verdict:
    """Judge one reply. `reason` never quotes the reply: error texts can hold a customer's data."""
    if not 200 <= status < 300:
        return Verdict(Outcome.REFUSED, {}, f"Wicked Reports refused the request with status {status}.")
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Verdict(Outcome.UNKNOWN, {}, f"Wicked Reports answered {status} without JSON.")
    if not isinstance(reply, dict) or not reply.keys() & (RECEIPT_KEYS | {"errors", "error"}):
        return Verdict(Outcome.UNKNOWN, {}, f"Wicked Reports answered {status} without a receipt.")
    if _says_error(reply):
        return Verdict(Outcome.REFUSED, {}, _text(reply.get("message") or reply.get("error")))
    stored, total = reply.get("records"), reply.get("totalRecords")
    errors = reply.get("errors")
    if errors:
        rejected = _match(errors, rows) if isinstance(errors, list) else None
        if rejected is not None:
            return Verdict(Outcome.ACCEPTED, rejected)
        reason = "Wicked Reports named errors that match no row."
    elif isinstance(stored, int) and isinstance(total, int) and stored < total:
        reason = "Wicked Reports stored fewer rows than it was sent and did not say which it refused."
    else:
        return Verdict(Outcome.ACCEPTED, {})
    return Verdict(Outcome.REFUSED if stored == 0 else Outcome.UNCLEAR, {}, reason)


def _says_error(reply: dict[str, Any]) -> bool:
    return str(reply.get("status", "")).lower() == "error" or (
        bool(reply.get("error")) and not reply.get("success") and not reply.get("errors")
    )


def _text(value: Any) -> str:
    return str(value) if value else "Wicked Reports refused it without a reason."


def _match(errors: list[Any], rows: Sequence[Row]) -> dict[int, str] | None:
    """Map each error to the row it names, or return None if one names none."""
    sent = [orjson.loads(row.body) for row in rows]
    by_id: dict[Any, list[int]] = {}
    for place, fields in enumerate(sent):
        by_id.setdefault(fields.get("SourceID"), []).append(place)
    rejected: dict[int, str] = {}
    for error in errors:
        item = error.get("item") if isinstance(error, dict) else None
        if not isinstance(item, dict) or not item:
            return None
        candidates = (
            by_id.get(str(item["SourceID"]), []) if item.get("SourceID") not in (None, "") else range(len(sent))
        )
        exact = (place for place in candidates if place not in rejected and _is_echo(item, sent[place]))
        # A server may tidy a row before it quotes it; its id alone still names it, if only one row has that id.
        only = [place for place in candidates if place not in rejected] if len(candidates) == 1 else []
        named = [*exact, *only]
        if not named:
            return None
        rejected[named[0]] = _text(error.get("error"))
    return rejected


def _is_echo(item: dict[str, Any], fields: dict[str, Any]) -> bool:
    shared = item.keys() & fields.keys()
    return bool(shared) and all(_same(item[name], fields[name]) for name in shared)


def _same(echoed: Any, sent: Any) -> bool:
    if echoed == sent or str(echoed) == str(sent) or (echoed in (None, "") and sent in (None, "")):
        return True
    try:
        return Decimal(str(echoed)) == Decimal(str(sent))
    except InvalidOperation:
        return False
