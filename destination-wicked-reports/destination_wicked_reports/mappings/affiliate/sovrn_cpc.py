"""Clicks that are paid by the click: rows of fractions of a cent, which count only together.

They are added up per day, campaign, page UTM and merchant before anything is rounded, and each sum is one order
(`apis/affiliate-facts.md` D5). Sovrn's revenue is usually complete after five days (B7), so a day is told when it is
older than that. What comes later moves the sum, and the difference becomes a payment as it does for any sale.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

import orjson

from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.mappings.affiliate.contacts import unpacked

CPC_SKIPPED = "CPC row, left out by configuration"
CPC_WAITING = "CPC row that waits in the ledger until its day is older than 5 days"
WAIT_DAYS = 5

_START = "sovrn-cpc-"
_DIGEST_SIZE = 12
UTMS = {"source": "Source", "medium": "Medium", "campaign": "Campaign", "content": "Content", "term": "Term"}
#: What all rows of one sum have in common, and so what its order can tell.
SHARED = (
    "account_id",
    "campaign_id",
    "merchant_group_id",
    "merchant_group_name",
    "program_type",
    "page_utm",
    *(f"page_utm_{name}" for name in UTMS),
)


def utms(data: Mapping[str, Any], side: str) -> dict[str, str]:
    """Return the UTMs of one side, `page` or `link`, in Wicked's names: from columns, or from one object."""
    found = {}
    kept = unpacked(data.get(f"{side}_utm"))
    for name, field in UTMS.items():
        value = data.get(f"{side}_utm_{name}")
        if not value and isinstance(kept, dict):
            value = kept.get(name) or kept.get(f"utm_{name}") or kept.get(f"utm{name.capitalize()}")
        if isinstance(value, str) and value:
            found[field] = value
    return found


def rollup_id(data: Mapping[str, Any], account: str, day: str) -> str:
    """Return the SourceID of the order that a CPC row counts for."""
    page = utms(data, "page")
    group = [account, data.get("campaign_id"), data.get("merchant_group_id"), *map(page.get, UTMS.values())]
    named = orjson.dumps(["" if part is None else str(part) for part in group])
    return f"{_START}{account}-{day}-{blake2b(named, digest_size=_DIGEST_SIZE).hexdigest()}"


def is_rollup(key: str) -> bool:
    """Tell whether this is the key of a rolled-up order."""
    return key.partition(SEPARATOR)[2].startswith(_START)


def last_complete_day(today: date) -> str:
    """Return the last day that is older than five days."""
    return (today - timedelta(days=WAIT_DAYS + 1)).isoformat()
