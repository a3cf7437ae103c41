"""Insert or update one Sovrn transaction with explicit fields, for the admin API."""

from __future__ import annotations

import re
from typing import Any

from ..clock import parse_instant
from .state import Sovrn
from .store import Campaign
from .transactions import COMMON, UTM_FIELDS, RowFormat, SovrnRow, SovrnState, money

_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}")
_NOON = 12 * 3600  # a date without a time is noon UTC: the same day in both zones of the switch
_BLOCKS = ("account", "commission", "click", "merchant")
_OWN = (
    "revenueId", "commissionId", "clickId", "cuid", "programType", "clickDate", "commissionDate", "updateDate",
    "orderValue", "publisherNetRevenue",
)  # fmt: skip
_NO_UTM = dict.fromkeys(UTM_FIELDS, "")
DEFAULTS: dict[str, Any] = {
    "accountId": 1234,
    "campaignId": 1,
    "campaignName": "Example Site 1",
    "linkUtmInfo": _NO_UTM,
    "pageUtmInfo": _NO_UTM,
    "pageUrl": "www.site-1.example/post",
    "linkUrl": "click.example/abc123?campaignid=1",
    "sovrnProduct": "Link",
    "country": "us",
    "device": "Mobile",
    "merchantGroupId": 56789,
    "merchantGroupName": "Example Merchant 1",
    "network": "Sovrn",
    "product": [],
}


def _instant(value: Any) -> int:
    """Parse an instant, or a day as its noon."""
    if isinstance(value, str) and _DATE_ONLY.fullmatch(value):
        return parse_instant(value) + _NOON
    return parse_instant(value)


def _leaves(row: dict[str, Any]) -> dict[str, Any]:
    """Flatten the vendor's nested shape, its fields alone, or a mixture; ValueError for an unknown field."""
    leaves = {name: value for name, value in row.items() if name not in _BLOCKS}
    for block in _BLOCKS:
        leaves.update(row.get(block, {}))
    if unknown := leaves.keys() - {*COMMON, *_OWN}:
        raise ValueError(f"a Sovrn row has no {sorted(unknown)}; it has {', '.join((*_OWN, *COMMON))}")
    return leaves


def upsert(state: Sovrn, fields: dict[str, Any], at: int) -> dict[str, Any]:
    """Write one row, visible from `at` on; a missing field keeps its value or takes a default.

    Unless given, `updateDate` becomes the day of `at`: every change moves it (docs/vendors/sovrn.md B6). A click field
    given as None is left out of the response. Returns the row as now visible, in its nested shape.
    """
    leaves = _leaves(fields)
    if "revenueId" not in leaves:
        raise ValueError("a row needs a revenueId")
    revenue_id = str(leaves["revenueId"])
    commission_id = str(leaves.get("commissionId", f"c{revenue_id}"))
    store = state.store
    row = store.find(revenue_id, commission_id)
    common = {**(DEFAULTS if row is None else row.common), **{n: v for n, v in leaves.items() if n in COMMON}}
    common = {name: value for name, value in common.items() if value is not None}
    if common["campaignId"] not in store.campaigns:
        store.add_campaigns([Campaign(common["campaignId"], common["campaignName"])])
    committed_at = _instant(leaves.get("commissionDate", at if row is None else row.committed_at))
    before = None if row is None else row.state_at(at)
    if row is None:
        row = SovrnRow(revenue_id, commission_id, f"k{revenue_id}", "", "cpa", committed_at, committed_at, common)
    row.common, row.committed_at = common, committed_at
    row.click_id = str(leaves.get("clickId", row.click_id))
    row.cuid = str(leaves.get("cuid", row.cuid))
    row.program_type = str(leaves.get("programType", row.program_type))
    row.clicked_at = _instant(leaves.get("clickDate", row.clicked_at))
    store.refresh()
    new = SovrnState(
        at,
        _instant(leaves.get("updateDate", at)),
        money(leaves.get("orderValue", before.order_value if before else "0")),
        money(leaves.get("publisherNetRevenue", before.revenue if before else "0")),
    )
    store.write(row, new)
    return served(state, row)


def served(state: Sovrn, row: SovrnRow) -> dict[str, Any]:
    """Return a row in its nested shape with amounts as text, or only its key while it is not visible."""
    if row.current is None:
        return {"commission": {"revenueId": row.revenue_id, "commissionId": row.commission_id}}
    fields = row.nested(RowFormat(zone=state.switches["sovrn.day_zone"]))
    fields["commission"] |= {"orderValue": row.current.order_value, "publisherNetRevenue": row.current.revenue}
    return fields
