"""Adds up Sovrn's CPC rows, which pay fractions of a cent per click, to one order per group and day.

A group is account, campaign, page UTMs and merchant. Amounts are added exactly and rounded once
(docs/guides/affiliate-revenue.md CPC rollups). Sovrn's revenue is usually complete after five days
(docs/vendors/sovrn.md B7), so an order is sent once its day is older than that. Rows that arrive or change later
change the sum, and the difference is sent as for any sale: a refund or a further order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

import orjson

from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.mappings import ROLLUP_PREFIX

WAIT_DAYS = 5
CPC_SKIPPED = "CPC row, excluded by configuration"
CPC_WAITING = f"CPC row, waiting in the ledger until its day is more than {WAIT_DAYS} days old"

_DIGEST_SIZE = 12
#: Sovrn's UTM names, and the field names of Wicked Reports.
UTMS = {"source": "Source", "medium": "Medium", "campaign": "Campaign", "content": "Content", "term": "Term"}
#: The fields that all rows of a group share; the group's order is made from them.
SHARED_FIELDS = (
    "account_id",
    "campaign_id",
    "merchant_group_id",
    "merchant_group_name",
    "program_type",
    "page_utm",
    *(f"page_utm_{name}" for name in UTMS),
)


def read_utms(data: Mapping[str, Any], side: str) -> dict[str, str]:
    """Return the UTMs of one side, `page` or `link`, by Wicked Reports field name.

    They arrive either as columns or as one object.
    """
    utms = {}
    nested = decode_json_text(data.get(f"{side}_utm"))
    for name, field in UTMS.items():
        value = data.get(f"{side}_utm_{name}")
        if not value and isinstance(nested, dict):
            value = nested.get(name) or nested.get(f"utm_{name}") or nested.get(f"utm{name.capitalize()}")
        if isinstance(value, str) and value:
            utms[field] = value
    return utms


def rollup_id(data: Mapping[str, Any], account: str, day: str) -> str:
    """Return the SourceID of the order to which a CPC row contributes."""
    page = read_utms(data, "page")
    group = [account, data.get("campaign_id"), data.get("merchant_group_id"), *map(page.get, UTMS.values())]
    encoded = orjson.dumps(["" if value is None else str(value) for value in group])
    return f"{ROLLUP_PREFIX}{account}-{day}-{blake2b(encoded, digest_size=_DIGEST_SIZE).hexdigest()}"


def is_rollup(key: str) -> bool:
    """Return whether this is the ledger key of a CPC order."""
    return key.partition(SEPARATOR)[2].startswith(ROLLUP_PREFIX)


def last_complete_day(today: date) -> str:
    """Return the last day that is more than `WAIT_DAYS` days old."""
    return (today - timedelta(days=WAIT_DAYS + 1)).isoformat()
