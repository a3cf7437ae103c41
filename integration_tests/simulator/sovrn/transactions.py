"""A Sovrn transaction's life: facts that never change, and states that come into force at scripted instants.

Sovrn edits a row in place or adds another one (the FAQ of sovrn-transactions; affiliate-facts B6, B7). An edit moves
`updateDate`, so a row is found only under its latest one. Instants are kept; which day they are is the zone's affair.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from ..clock import stamp

_PACIFIC = ZoneInfo("America/Los_Angeles")
_QUARTER = 900  # seconds; no zone of the United States changes its offset within a quarter of an hour
UTM_FIELDS = ("utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent")
#: display name of the nested shape -> code of the flat one (B5, [code labels])
PRODUCT_CODES = {"Link": "WRA", "JavaScript": "ORG", "Insert": "INS", "Product API": "TPA", "Unknown": "UNK"}
DEVICE_CODES = {"Desktop": "DSK", "Mobile": "MBL", "Tablet": "TBL"}


@lru_cache(maxsize=4096)
def _utc_day(number: int) -> str:
    return stamp(number * 86400)[:10]


@lru_cache(maxsize=65536)
def _pacific_day(quarter: int) -> str:
    return datetime.fromtimestamp(quarter * _QUARTER, tz=_PACIFIC).date().isoformat()


def day_of(instant: int, zone: str) -> str:
    """Return the day of an instant, `YYYY-MM-DD`. The zone of Sovrn's days is undocumented (B7): UTC [guess]."""
    return _utc_day(instant // 86400) if zone == "utc" else _pacific_day(instant // _QUARTER)


def bounds_of(day: str, zone: str) -> tuple[int, int]:
    """Return the first and the last second of a day."""
    tz = timezone.utc if zone == "utc" else _PACIFIC
    start = datetime.fromisoformat(day).replace(tzinfo=tz)
    after = (start.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=tz)  # by the wall: days may have 23 hours
    return int(start.timestamp()), int(after.timestamp()) - 1


def money(amount: Any) -> str:
    """Write an amount as plain decimal text, so that no float ever stands between the script and the wire."""
    try:
        number = Decimal(str(amount))
    except InvalidOperation:
        raise ValueError(f"{amount!r} is no number") from None
    if not number.is_finite():
        raise ValueError(f"{amount!r} is no number")
    return format(number, "f")


@dataclass(slots=True)
class SovrnState:
    """What the row says from `visible_at` on; amounts are decimal text."""

    visible_at: int
    updated_at: int
    order_value: str
    revenue: str


@dataclass(frozen=True, slots=True)
class Wire:
    """How rows are written: the switches that decide it (B5: example and schema of one page contradict each other)."""

    shape: str = "nested"
    ids: str = "string"
    numbers: str = "plain"
    zone: str = "utc"

    def number(self, text: str) -> Any:
        """Write an amount; Java writes a double below a thousandth as 7.5E-4 [guess: that Sovrn ever does]."""
        if self.numbers == "exponent" and 0 < abs(Decimal(text)) < Decimal("0.001"):
            mantissa, exponent = f"{Decimal(text).normalize():E}".split("E")
            text = f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"
        return orjson.Fragment(text)

    def revenue_id(self, text: str) -> Any:
        """Write the one id that is text in the example and a number in the schema."""
        return int(text) if self.ids == "number" and text.isdigit() else text


@dataclass(slots=True)
class SovrnRow:
    """One row. `common` holds the unchanging leaves by the nested shape's names and may be shared between rows.

    A leaf of `common` that is not there is missing on the wire too: `device`, `pageUrl` and others sometimes are.
    """

    revenue_id: str
    commission_id: str
    click_id: str
    cuid: str
    program_type: str
    clicked_at: int
    committed_at: int
    common: dict[str, Any]
    states: list[SovrnState] = field(default_factory=list)
    shown: SovrnState | None = None

    @property
    def account_id(self) -> int:
        """The publisher's account."""
        return int(self.common["accountId"])

    def state_at(self, instant: int) -> SovrnState | None:
        """Return the state in force at `instant`, or None when the row does not exist yet."""
        position = bisect_right(self.states, instant, key=lambda state: state.visible_at)
        return self.states[position - 1] if position else None

    def add(self, state: SovrnState) -> None:
        """Put a state into its place in time; of two for one instant the later added wins."""
        self.states.insert(bisect_right(self.states, state.visible_at, key=lambda other: other.visible_at), state)

    def instants(self) -> tuple[int, int, int]:
        """Return the visible click, commission and update instants, in the order of `sovrn_store.DATES`."""
        assert self.shown is not None
        return self.clicked_at, self.committed_at, self.shown.updated_at

    def encoded(self, wire: Wire) -> bytes:
        """Return the visible row as JSON. `mixed` gives every row one of the two shapes for good."""
        flat = wire.shape == "flat" or (wire.shape == "mixed" and zlib.crc32(self.revenue_id.encode()) & 1)
        return orjson.dumps(self._flat(wire) if flat else self.nested(wire))

    def nested(self, wire: Wire) -> dict[str, Any]:
        """Write the shape of the vendor's example (B5, left column)."""
        assert self.shown is not None
        common = self.common
        click: dict[str, Any] = {
            "clickId": self.click_id,
            "clickDate": day_of(self.clicked_at, wire.zone),
            "cuid": self.cuid,
            **{name: common[name] for name in _CLICK if name in common},
        }
        return {
            "account": {name: common[name] for name in _ACCOUNT},
            "commission": {
                "revenueId": wire.revenue_id(self.revenue_id),
                "commissionId": self.commission_id,
                "commissionDate": day_of(self.committed_at, wire.zone),
                "updateDate": day_of(self.shown.updated_at, wire.zone),
                "orderValue": wire.number(self.shown.order_value),
                "publisherNetRevenue": wire.number(self.shown.revenue),
                "programType": self.program_type,
            },
            "click": click,
            "merchant": {name: common[name] for name in _MERCHANT},
            "product": common["product"],
        }

    def _flat(self, wire: Wire) -> dict[str, Any]:
        """Write the shape of the vendor's schema (B5, middle column): other names, and codes for product and device."""
        assert self.shown is not None
        common = self.common
        row: dict[str, Any] = {
            "revenueId": wire.revenue_id(self.revenue_id),
            "clickSid": self.click_id,
            "accountId": common["accountId"],
            "commissionId": self.commission_id,
            "merchantGroupId": common["merchantGroupId"],
            "merchantGroupName": common["merchantGroupName"],
            "campaignId": common["campaignId"],
            "campaignName": common["campaignName"],
            "clickDate": day_of(self.clicked_at, wire.zone),
            "commissionDate": day_of(self.committed_at, wire.zone),
            "updateDate": day_of(self.shown.updated_at, wire.zone),
            "publisherRevenue": wire.number(self.shown.revenue),
            "orderValue": wire.number(self.shown.order_value),
            "cuid": self.cuid,
            "programType": self.program_type,
            "networkName": common["network"],
            "merchandise": common["product"],
        }
        for name, flat_name in _FLAT_CLICK.items():
            if name in common:
                row[flat_name] = common[name]
        if "sovrnProduct" in common:
            row["affProduct"] = PRODUCT_CODES.get(common["sovrnProduct"], "UNK")
        if "device" in common:
            row["deviceType"] = DEVICE_CODES.get(common["device"], "UKN")
        return row


_ACCOUNT = ("accountId", "campaignId", "campaignName")
_MERCHANT = ("merchantGroupId", "merchantGroupName", "network")
_CLICK = ("linkUtmInfo", "pageUtmInfo", "pageUrl", "linkUrl", "sovrnProduct", "country", "device")
_FLAT_CLICK = {
    "linkUtmInfo": "linkUtmInfo",
    "pageUtmInfo": "pageUtmInfo",
    "linkUrl": "destinationUrl",
    "pageUrl": "pageUrl",
    "country": "country",
}
COMMON = (*_ACCOUNT, *_MERCHANT, *_CLICK, "product")
