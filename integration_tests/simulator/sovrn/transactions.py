"""A Sovrn transaction: fixed fields, and states that take effect at scripted instants.

Sovrn edits a row in place or adds another one (docs/vendors/sovrn.md B6, B7). An edit moves `updateDate`, so a row is
found only on its latest one. Rows hold instants; the zone decides the day.
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
_QUARTER = 900  # seconds; time zones of the United States change their offset on a quarter of an hour
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
    after = (start.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=tz)  # local time: a day may have 23 hours
    return int(start.timestamp()), int(after.timestamp()) - 1


def money(amount: Any) -> str:
    """Return an amount as plain decimal text, exact to the last digit; ValueError if it is not a number."""
    try:
        number = Decimal(str(amount))
    except InvalidOperation:
        raise ValueError(f"{amount!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{amount!r} is not a number")
    return format(number, "f")


@dataclass(slots=True)
class SovrnState:
    """The changing fields from `visible_at` on; amounts are decimal text."""

    visible_at: int
    updated_at: int
    order_value: str
    revenue: str


@dataclass(frozen=True, slots=True)
class RowFormat:
    """The switches that decide how rows are written (B5: the page's example and schema contradict each other)."""

    shape: str = "nested"
    ids: str = "string"
    numbers: str = "plain"
    zone: str = "utc"

    def number(self, text: str) -> Any:
        """Write an amount; Java writes a double below a thousandth as 7.5E-4 [guess: so may Sovrn]."""
        if self.numbers == "exponent" and 0 < abs(Decimal(text)) < Decimal("0.001"):
            mantissa, exponent = f"{Decimal(text).normalize():E}".split("E")
            text = f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"
        return orjson.Fragment(text)

    def revenue_id(self, text: str) -> Any:
        """Write the revenue id, which is text in the example and a number in the schema."""
        return int(text) if self.ids == "number" and text.isdigit() else text


@dataclass(slots=True)
class SovrnRow:
    """One row. `common` holds the fixed fields by the nested shape's names; rows may share it.

    A field missing from `common` is left out of the response, as `device`, `pageUrl` and others sometimes are.
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
    current: SovrnState | None = None

    @property
    def account_id(self) -> int:
        """The publisher's account."""
        return int(self.common["accountId"])

    def state_at(self, instant: int) -> SovrnState | None:
        """Return the state in force at `instant`, or None when the row does not exist yet."""
        position = bisect_right(self.states, instant, key=lambda state: state.visible_at)
        return self.states[position - 1] if position else None

    def add(self, state: SovrnState) -> None:
        """Insert a state by time; of two for one instant the later added wins."""
        self.states.insert(bisect_right(self.states, state.visible_at, key=lambda other: other.visible_at), state)

    def instants(self) -> tuple[int, int, int]:
        """Return the current click, commission and update instants, in the order of `store.DATES`."""
        assert self.current is not None
        return self.clicked_at, self.committed_at, self.current.updated_at

    def encoded(self, row_format: RowFormat) -> bytes:
        """Return the visible row as JSON; with `mixed`, the revenue id decides the row's shape."""
        shape = row_format.shape
        flat = shape == "flat" or (shape == "mixed" and zlib.crc32(self.revenue_id.encode()) & 1)
        return orjson.dumps(self._flat(row_format) if flat else self.nested(row_format))

    def nested(self, row_format: RowFormat) -> dict[str, Any]:
        """Return the shape of the vendor's example (B5, left column)."""
        assert self.current is not None
        common = self.common
        click: dict[str, Any] = {
            "clickId": self.click_id,
            "clickDate": day_of(self.clicked_at, row_format.zone),
            "cuid": self.cuid,
            **{name: common[name] for name in _CLICK if name in common},
        }
        return {
            "account": {name: common[name] for name in _ACCOUNT},
            "commission": {
                "revenueId": row_format.revenue_id(self.revenue_id),
                "commissionId": self.commission_id,
                "commissionDate": day_of(self.committed_at, row_format.zone),
                "updateDate": day_of(self.current.updated_at, row_format.zone),
                "orderValue": row_format.number(self.current.order_value),
                "publisherNetRevenue": row_format.number(self.current.revenue),
                "programType": self.program_type,
            },
            "click": click,
            "merchant": {name: common[name] for name in _MERCHANT},
            "product": common["product"],
        }

    def _flat(self, row_format: RowFormat) -> dict[str, Any]:
        """Return the shape of the vendor's schema (B5, middle column): other names, codes for product and device."""
        assert self.current is not None
        common = self.common
        row: dict[str, Any] = {
            "revenueId": row_format.revenue_id(self.revenue_id),
            "clickSid": self.click_id,
            "accountId": common["accountId"],
            "commissionId": self.commission_id,
            "merchantGroupId": common["merchantGroupId"],
            "merchantGroupName": common["merchantGroupName"],
            "campaignId": common["campaignId"],
            "campaignName": common["campaignName"],
            "clickDate": day_of(self.clicked_at, row_format.zone),
            "commissionDate": day_of(self.committed_at, row_format.zone),
            "updateDate": day_of(self.current.updated_at, row_format.zone),
            "publisherRevenue": row_format.number(self.current.revenue),
            "orderValue": row_format.number(self.current.order_value),
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
