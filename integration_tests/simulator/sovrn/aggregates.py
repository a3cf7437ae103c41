"""Sovrn's aggregates: sums over the rows that the transactions report serves (docs/vendors/sovrn.md B4, B9, [spec])."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from .transactions import SovrnRow, day_of

_CLICKS_PER_SALE = 20  # [guess]; clicks without a sale are in no row, this makes the numbers plausible
_VIEWS_PER_CLICK = 25  # [guess]
#: the error in one sum when the switch `sovrn.aggregates` is `mismatch`
MISMATCH = Decimal("1.25")


@dataclass(frozen=True)
class Grouping:
    """One aggregate: the noun in its 404, its key fields, and (key field, total that counts its values) pairs."""

    noun: str
    keys: Callable[[SovrnRow, str], dict[str, Any]]
    counted: tuple[tuple[str, str], ...] = ()
    views: bool = False


def _merchant(row: SovrnRow, _zone: str) -> dict[str, Any]:
    return {name: row.common[name] for name in ("merchantGroupId", "merchantGroupName")}


def _merchant_by_date(row: SovrnRow, zone: str) -> dict[str, Any]:
    return {"date": day_of(row.clicked_at, zone), **_merchant(row, zone)}


_MERCHANT_COUNTS = (("merchantGroupId", "merchantGroupIdsTotal"), ("merchantGroupName", "merchantGroupNameTotal"))
#: only merchantsbydate has a date; the key fields of links, networks and cuids are named as in B5 [guess]
GROUPINGS: dict[str, Grouping] = {
    "merchantsbydate": Grouping("Merchant", _merchant_by_date, _MERCHANT_COUNTS),
    "merchants": Grouping("Merchant", _merchant, _MERCHANT_COUNTS),
    "links": Grouping("Link", lambda row, _zone: {"linkUrl": row.common.get("linkUrl", "")}),
    "pages": Grouping(
        "Page", lambda row, _zone: {"pageUrl": row.common.get("pageUrl", "")}, (("pageUrl", "pageUrlTotal"),), True
    ),
    "networks": Grouping("Network", lambda row, _zone: {"networkName": row.common["network"]}),
    "cuids": Grouping("Cuid", lambda row, _zone: {"cuid": row.cuid}),
}


@dataclass
class _Sum:
    revenue: Decimal = Decimal(0)
    clicks: int = 0
    sales: int = 0
    actions: int = 0

    def add(self, row: SovrnRow) -> None:
        assert row.current is not None
        self.revenue += Decimal(row.current.revenue)
        if row.program_type.lower() == "cpc":
            self.clicks += 1
        elif Decimal(row.current.revenue) > 0:
            self.clicks += _CLICKS_PER_SALE
            self.sales += 1
            self.actions += 1

    def include(self, other: _Sum) -> None:
        self.revenue += other.revenue
        self.clicks += other.clicks
        self.sales += other.sales
        self.actions += other.actions

    def as_json(self, *, views: bool) -> dict[str, Any]:
        clicks = Decimal(max(self.clicks, 1))
        fields: dict[str, Any] = {
            "revenue": _plain(self.revenue),
            "clicks": self.clicks,
            "sales": self.sales,
            "actions": self.actions,
            "conversionRate": _plain(round(self.sales / clicks, 4)),
            "epc": _plain(round(self.revenue / clicks, 4)),
        }
        if views:
            fields["pageviews"] = self.clicks * _VIEWS_PER_CLICK
            fields["rpm"] = _plain(round(self.revenue * 1000 / (clicks * _VIEWS_PER_CLICK), 4))
        return fields


def _plain(number: Decimal) -> orjson.Fragment:
    return orjson.Fragment(format(number, "f"))


def aggregate(grouping: Grouping, rows: Sequence[SovrnRow], zone: str, mismatch_seed: int | None) -> dict[str, Any]:
    """Sum up rows by the grouping's keys; with `mismatch_seed`, which picks it, one sum is off by `MISMATCH`."""
    sums: dict[tuple[Any, ...], _Sum] = {}
    keys: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        fields = grouping.keys(row, zone)
        key = tuple(fields.values())
        keys.setdefault(key, fields)
        sums.setdefault(key, _Sum()).add(row)
    if sums and mismatch_seed is not None:
        sums[sorted(sums, key=repr)[mismatch_seed % len(sums)]].revenue += MISMATCH
    total = _Sum()
    for part in sums.values():
        total.include(part)
    totals = {f"{name}Total": value for name, value in total.as_json(views=grouping.views).items()}
    for name, counted in grouping.counted:
        totals[counted] = len({fields[name] for fields in keys.values()})
    return {
        "data": [{**keys[key], **sums[key].as_json(views=grouping.views)} for key in sorted(sums, key=repr)],
        "totals": totals,
    }
