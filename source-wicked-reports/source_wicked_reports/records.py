"""Cleans rows for storage: "null" as a date becomes null, and dates without a zone get a UTC date next to them.

Everything else stays as received, under the vendor's names. Added are `click_key`, because clicks have no id, and
`dateUtc` next to the dates of payments and attributions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timezone, tzinfo
from functools import lru_cache
from typing import Any

import orjson

from .base.errors import BadResponseError

Row = dict[str, Any]
_UTM = ("source", "medium", "campaign", "content", "term")
_CONTACT_TOUCHES = ("firstClick", "firstOptin", "reOptin")


def contact(row: Row) -> Row:
    """Clean a contact; raise `BadResponseError` without an id."""
    _require_id(row, "contact")
    _replace_null_text(row, "createDate")
    for name in _CONTACT_TOUCHES:
        _replace_null_text(row.get(name), "date")
    return row


def order(row: Row, zone: tzinfo) -> Row:
    """Clean an order; raise `BadResponseError` without an id.

    `date` has a zone, but the dates of payments and attributions have none (docs/vendors/wicked-reports.md 5.3).
    `dateUtc` is such a date, read in `zone` [guess] and converted to UTC.
    """
    _require_id(row, "order")
    _replace_null_text(row, "date")
    attributions, payments = row.get("attributions"), row.get("payments")
    inner: list[Any] = [*attributions.values()] if isinstance(attributions, dict) else []
    inner += payments if isinstance(payments, list) else []
    for part in _objects(inner):
        _replace_null_text(part, "date")
        if "date" in part:
            part["dateUtc"] = _in_utc(part["date"], zone) if isinstance(part["date"], str) else None
    return row


def click(row: Row) -> Row:
    """Clean a click."""
    _replace_null_text(row, "date")
    return row


def click_identity(row: Row) -> str:
    """Return a hash of what identifies a click: contact, date, UTMs, tracking URL and source.

    Later clicks change the four flags, and email and source id may be corrected, so these do not count. A missing value
    equals an empty one.
    """
    utms = row.get("utms")
    utms = utms if isinstance(utms, dict) else {}
    parts = [row.get("contactId"), row.get("date"), *map(utms.get, _UTM), row.get("trackingUrl"), row.get("source")]
    return hashlib.sha256(orjson.dumps(["" if part is None else str(part) for part in parts])).hexdigest()[:40]


def set_click_key(row: Row, identity: str, ordinal: int) -> None:
    """Set `click_key`: the hash, with -1, -2, … appended for the second and further equal clicks."""
    row["click_key"] = f"{identity}-{ordinal}" if ordinal else identity


def row_id(row: Row) -> str:
    """Return the id of a contact or an order."""
    return str(row["id"])


def _require_id(row: Row, kind: str) -> None:
    if row.get("id") in (None, ""):
        raise BadResponseError(f"a row of {kind}s has no id")
    if type(row["id"]) not in (str, int):
        raise BadResponseError(f"a row of {kind}s has an id that is neither text nor a 64-bit integer")
    row["id"] = str(row["id"])


def _replace_null_text(part: Any, name: str) -> None:
    """Replace the text "null", which is the default for dates in the vendor's schema, and empty text."""
    if isinstance(part, dict) and part.get(name) in ("null", ""):
        part[name] = None


def _objects(parts: Iterable[Any]) -> Iterable[Row]:
    return (part for part in parts if isinstance(part, dict))


@lru_cache(maxsize=4096)
def _in_utc(text: str, zone: tzinfo) -> str | None:
    """Convert a date to UTC; `zone` applies if it has none, and an ambiguous hour in autumn is the earlier one."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return f"{moment.replace(tzinfo=moment.tzinfo or zone).astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError):
        return None
