"""Sovrn rows written by hand: insert or update one transaction with explicit fields (admin API)."""

from __future__ import annotations

import re
from typing import Any

from ..clock import parse_instant
from ..world import World
from .store import Campaign
from .transactions import COMMON, UTM_FIELDS, SovrnRow, SovrnState, Wire, money

_DATE_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}")
_NOON = 12 * 3600  # a date without a time is noon UTC, which is the same day in both zones of the switch
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
    """Read an instant, or a day as its noon."""
    if isinstance(value, str) and _DATE_ONLY.fullmatch(value):
        return parse_instant(value) + _NOON
    return parse_instant(value)


def _leaves(row: dict[str, Any]) -> dict[str, Any]:
    """Take the vendor's nested shape, its leaves alone, or a mixture; refuse what is neither."""
    leaves = {name: value for name, value in row.items() if name not in _BLOCKS}
    for block in _BLOCKS:
        leaves.update(row.get(block, {}))
    if unknown := leaves.keys() - {*COMMON, *_OWN}:
        raise ValueError(f"a Sovrn row has no {sorted(unknown)}; it has {', '.join((*_OWN, *COMMON))}")
    return leaves


def upsert(world: World, row: dict[str, Any], at: int) -> dict[str, Any]:
    """Write one row so that it is visible from `at` on; what is not given stays, or takes a plain default.

    Unless the row says otherwise its `updateDate` is the day of `at`: a change moves it (B6). A click field that is
    given as None is missing on the wire. Returns the row in its nested shape, as it is visible now.
    """
    leaves = _leaves(row)
    if "revenueId" not in leaves:
        raise ValueError("a row needs a revenueId")
    revenue_id = str(leaves["revenueId"])
    commission_id = str(leaves.get("commissionId", f"c{revenue_id}"))
    store = world.sovrn
    life = store.find(revenue_id, commission_id)
    common = {**(DEFAULTS if life is None else life.common), **{n: v for n, v in leaves.items() if n in COMMON}}
    common = {name: value for name, value in common.items() if value is not None}
    if common["campaignId"] not in store.campaigns:
        store.add_campaigns([Campaign(common["campaignId"], common["campaignName"])])
    committed_at = _instant(leaves.get("commissionDate", at if life is None else life.committed_at))
    before = None if life is None else life.state_at(at)
    if life is None:
        life = SovrnRow(revenue_id, commission_id, f"k{revenue_id}", "", "cpa", committed_at, committed_at, common)
    life.common, life.committed_at = common, committed_at
    life.click_id = str(leaves.get("clickId", life.click_id))
    life.cuid = str(leaves.get("cuid", life.cuid))
    life.program_type = str(leaves.get("programType", life.program_type))
    life.clicked_at = _instant(leaves.get("clickDate", life.clicked_at))
    store.refresh()
    state = SovrnState(
        at,
        _instant(leaves.get("updateDate", at)),
        money(leaves.get("orderValue", before.order_value if before else "0")),
        money(leaves.get("publisherNetRevenue", before.revenue if before else "0")),
    )
    store.write(life, state)
    return shown(world, life)


def shown(world: World, life: SovrnRow) -> dict[str, Any]:
    """Return a row in its nested shape with amounts as text, or, while it is not visible, only its key."""
    if life.shown is None:
        return {"commission": {"revenueId": life.revenue_id, "commissionId": life.commission_id}}
    fields = life.nested(Wire(zone=world.switches["sovrn.day_zone"]))
    fields["commission"] |= {"orderValue": life.shown.order_value, "publisherNetRevenue": life.shown.revenue}
    return fields
