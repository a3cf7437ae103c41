"""Rows as the vendor sends them, made safe to store: no text "null" for a date, no time without a zone called UTC.

Everything else stays as it came, under the vendor's names. Added are `click_key`, because clicks have no id, and
`dateUtc` beside the dates of payments and attributions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timezone, tzinfo
from functools import lru_cache
from typing import Any

import orjson

from .base.errors import BadReplyError

Row = dict[str, Any]
_UTM = ("source", "medium", "campaign", "content", "term")
_OF_CONTACT = ("firstClick", "firstOptin", "reOptin")


def contact(row: Row) -> Row:
    """Clean a contact; it must have its id."""
    _require_id(row, "contact")
    _no_null_text(row, "createDate")
    for name in _OF_CONTACT:
        _no_null_text(row.get(name), "date")
    return row


def order(row: Row, zone: tzinfo) -> Row:
    """Clean an order; it must have its id.

    `date` comes with a zone, the dates of payments and attributions come without one: in the reference's sample they
    lie four hours before the order's, which is US Eastern summer time [guess]. `dateUtc` is such a date read in `zone`.
    """
    _require_id(row, "order")
    _no_null_text(row, "date")
    attributions, payments = row.get("attributions"), row.get("payments")
    inner: list[Any] = [*attributions.values()] if isinstance(attributions, dict) else []
    inner += payments if isinstance(payments, list) else []
    for part in _objects(inner):
        _no_null_text(part, "date")
        if "date" in part:
            part["dateUtc"] = _in_utc(part["date"], zone) if isinstance(part["date"], str) else None
    return row


def click(row: Row) -> Row:
    """Clean a click."""
    _no_null_text(row, "date")
    return row


def click_identity(row: Row) -> str:
    """Return a digest of what a click is: contact, instant, UTMs, tracking URL and source.

    The four flags stay out, because they change as later clicks come; so do e-mail and source id, which may be
    corrected. A missing value and an empty one are the same.
    """
    utms = row.get("utms")
    utms = utms if isinstance(utms, dict) else {}
    parts = [row.get("contactId"), row.get("date"), *map(utms.get, _UTM), row.get("trackingUrl"), row.get("source")]
    return hashlib.sha256(orjson.dumps(["" if part is None else str(part) for part in parts])).hexdigest()[:40]


def mark_click(row: Row, identity: str, ordinal: int) -> None:
    """Set `click_key`: the digest, and for the second of several alike and any further one its number."""
    row["click_key"] = f"{identity}-{ordinal}" if ordinal else identity


def row_id(row: Row) -> str:
    """Return the id of a contact or an order."""
    return str(row["id"])


def _require_id(row: Row, kind: str) -> None:
    if row.get("id") in (None, ""):
        raise BadReplyError(f"a row that should be a{'n' * (kind[0] == 'o')} {kind} comes without its id")
    if type(row["id"]) not in (str, int):  # a longer whole number was parsed as a fraction, the same as its neighbours
        raise BadReplyError(f"a row's id is neither text nor a whole number of 64 bits ({kind})")
    row["id"] = str(row["id"])


def _no_null_text(part: Any, name: str) -> None:
    """The schema's default for dates is the text "null"."""
    if isinstance(part, dict) and part.get(name) in ("null", ""):
        part[name] = None


def _objects(parts: Iterable[Any]) -> Iterable[Row]:
    return (part for part in parts if isinstance(part, dict))


@lru_cache(maxsize=4096)
def _in_utc(text: str, zone: tzinfo) -> str | None:
    """Read a date in `zone`, unless it names its own; the hour that comes twice in autumn is taken as the first."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return f"{moment.replace(tzinfo=moment.tzinfo or zone).astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError):
        return None
