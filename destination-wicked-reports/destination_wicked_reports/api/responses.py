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

from destination_wicked_reports.model import Row


class Outcome(Enum):
    """What became of a request's rows."""

    ACCEPTED = "all stored, but for the rows named"
    REFUSED = "nothing stored"
    UNCLEAR = "some stored, and the reply does not say which"
    UNKNOWN = "nobody knows"


@dataclass(slots=True, frozen=True)
class PostResult:
    """The outcome of one request; `rejected` maps the places of refused rows to Wicked's reasons."""

    outcome: Outcome
    rejected: dict[int, str]
    reason: str = ""


def parse_response(status: int, body: bytes, rows: Sequence[Row]) -> PostResult:
    """Judge one reply. `reason` never quotes the reply: error texts can hold a customer's data."""
    if not 200 <= status < 300:
        return PostResult(Outcome.REFUSED, {}, f"Wicked Reports refused the request with status {status}.")
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports answered {status} without JSON.")
    if not isinstance(reply, dict):
        return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports answered {status} without a receipt.")
    if _says_error(reply):
        return PostResult(Outcome.REFUSED, {}, _text(reply.get("message") or reply.get("error")))
    stored, total = _count(reply.get("records")), _count(reply.get("totalRecords"))
    errors = reply.get("errors")
    if errors:
        rejected = _match(errors, rows) if isinstance(errors, list) else None
        if rejected is None:
            reason = "Wicked Reports named errors that match no row."
        elif stored is None or stored + len(rejected) >= len(rows):
            return PostResult(Outcome.ACCEPTED, rejected)
        else:
            reason = "Wicked Reports stored fewer rows than it left unnamed."
    elif stored is not None and stored < max(total or 0, len(rows)):
        reason = "Wicked Reports stored fewer rows than it was sent and did not say which it refused."
    elif stored is not None or _says_success(reply):
        return PostResult(Outcome.ACCEPTED, {})
    else:
        return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports answered {status} without a receipt.")
    return PostResult(Outcome.REFUSED if stored == 0 else Outcome.UNCLEAR, {}, reason)


def _count(value: Any) -> int | None:
    """Return a count, also one that comes as text."""
    if isinstance(value, str) and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)
    return value if type(value) is int else None


def _says_success(reply: dict[str, Any]) -> bool:
    """Tell whether the reply says in so many words that the rows were taken ("Successfully …", "success")."""
    said = (reply.get("success"), reply.get("status"), reply.get("message"))
    return reply.get("success") is True or any(isinstance(text, str) and "success" in text.lower() for text in said)


def _says_error(reply: dict[str, Any]) -> bool:
    """Tell whether the reply says that nothing was taken."""
    if str(reply.get("status", "")).lower() in ("error", "fail", "failed") or reply.get("success") is False:
        return True
    return bool(reply.get("error")) and not reply.get("success") and not reply.get("errors")


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
            again = next((place for place in candidates if place in rejected and _is_echo(item, sent[place])), None)
            if again is None:
                return None
            rejected[again] += f" {_text(error.get('error'))}"  # one entry for each bad field of a row
            continue
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
