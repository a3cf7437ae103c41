"""Sovrn's aggregates: sums over the very rows that the transactions report serves (affiliate-facts B4, B9, [spec])."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from .transactions import SovrnRow, day_of

_CLICKS_PER_SALE = 20  # [guess]; clicks that led to nothing are in no row, and only make the numbers plausible
_VIEWS_PER_CLICK = 25  # [guess]
#: how much the control total is off in one place when the switch `sovrn.aggregates` says `mismatch`
MISMATCH = Decimal("1.25")


@dataclass(frozen=True)
class Grouping:
    """One aggregate: what a row of it is about, its noun in the 404, and which totals count its keys."""

    noun: str
    keys: Callable[[SovrnRow, str], dict[str, Any]]
    counted: tuple[tuple[str, str], ...] = ()
    views: bool = False


def _merchant(row: SovrnRow, _zone: str) -> dict[str, Any]:
    return {name: row.common[name] for name in ("merchantGroupId", "merchantGroupName")}


def _merchant_by_date(row: SovrnRow, zone: str) -> dict[str, Any]:
    return {"date": day_of(row.clicked_at, zone), **_merchant(row, zone)}


_MERCHANT_COUNTS = (("merchantGroupId", "merchantGroupIdsTotal"), ("merchantGroupName", "merchantGroupNameTotal"))
#: only merchantsbydate has a date; the key fields of links, networks and cuids follow B5's names [guess]
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
        assert row.shown is not None
        self.revenue += Decimal(row.shown.revenue)
        if row.program_type.lower() == "cpc":
            self.clicks += 1
        elif Decimal(row.shown.revenue) > 0:
            self.clicks += _CLICKS_PER_SALE
            self.sales += 1
            self.actions += 1

    def include(self, other: _Sum) -> None:
        self.revenue += other.revenue
        self.clicks += other.clicks
        self.sales += other.sales
        self.actions += other.actions

    def shown(self, *, views: bool) -> dict[str, Any]:
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


def aggregate(grouping: Grouping, rows: Sequence[SovrnRow], zone: str, spoiled: int | None) -> dict[str, Any]:
    """Sum up rows by the grouping's keys; `spoiled` is the seed that picks the one sum that is to be wrong."""
    sums: dict[tuple[Any, ...], _Sum] = {}
    keys: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        fields = grouping.keys(row, zone)
        key = tuple(fields.values())
        keys.setdefault(key, fields)
        sums.setdefault(key, _Sum()).add(row)
    if sums and spoiled is not None:
        sums[sorted(sums, key=repr)[spoiled % len(sums)]].revenue += MISMATCH
    total = _Sum()
    for part in sums.values():
        total.include(part)
    totals = {f"{name}Total": value for name, value in total.shown(views=grouping.views).items()}
    for name, counted in grouping.counted:
        totals[counted] = len({fields[name] for fields in keys.values()})
    return {
        "data": [{**keys[key], **sums[key].shown(views=grouping.views)} for key in sorted(sums, key=repr)],
        "totals": totals,
    }
