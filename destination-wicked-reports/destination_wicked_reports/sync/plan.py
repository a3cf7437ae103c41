"""The command `plan`: how long a run takes at the vendors' rates, what history they have, and what to load first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any

from destination_wicked_reports.sync.progress import as_day, duration
from destination_wicked_reports.sync.state import State, position_of, stream_of


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor's limits and history (docs/vendors). `windows` are the days per request, by stream."""

    requests_per_minute: float
    windows: Mapping[str, int]
    #: days before the state that a stream reads again
    lookback: Mapping[str, int] = field(default_factory=dict)
    rate: str = ""
    history: str = ""


VENDORS = {
    "source-wecantrack": Vendor(
        30,
        {"transactions": 1},
        {"transactions": 1},
        "30 requests a minute, or what the response headers say; a day takes a request per 1,000 rows",
        "wecantrack has about the three months before a network was connected; more is a paid service of theirs.",
    ),
    "source-sovrn": Vendor(
        60 / 61,
        {"transactions": 1, "merchants_by_date": 30},
        {"transactions": 3, "merchants_by_date": 95},
        "one request a minute over all streams, and one day per request of transactions",
        "How far back Sovrn's reports go is not documented; most returns come two to three months after the sale.",
    ),
    "source-wicked-reports": Vendor(
        120,
        {"contacts": 28, "orders": 28, "clicks": 28},
        {"contacts": 30, "orders": 30, "clicks": 30},
        "120 requests a minute over all streams; a window with more rows than a page takes further requests",
        "Wicked Reports shows rows once they are processed, usually the next morning.",
    ),
}
#: What Wicked Reports asks for (docs/vendors/wicked-reports.md 2.1).
ADVICE = (
    "Wicked Reports asks for one initial load of at most the last 365 days, then for new rows only.",
    "Load in this order: products and contacts first, then the shop's orders, then affiliate commissions, so that a "
    "contact is there before its orders.",
)


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream of the next run. `requests` is the least; None if the source's rates are not known."""

    stream: str
    first: date | None
    days: int | None
    requests: int | None
    seconds: float | None


def plan_stream(connector: str, config: Mapping[str, Any], stream: str, states: list[State]) -> StreamPlan:
    """Return what the next run reads of a stream."""
    vendor = VENDORS.get(connector)
    window = vendor.windows.get(stream) if vendor else None
    if vendor is None:
        return StreamPlan(stream, None, None, None, None)
    if window is None:
        return StreamPlan(stream, None, None, 1, _seconds(vendor, config, 1))
    today = datetime.now(timezone.utc).date()
    start, end = (as_day(str(config.get(name) or "")) for name in ("start_date", "end_date"))
    reached = next((as_day(position_of(state)) for state in states if stream_of(state) == stream), None)
    first = start
    if reached:
        lookback = timedelta(days=vendor.lookback.get(stream, 0))
        first = max(start or reached - lookback, reached - lookback)
    if first is None:
        return StreamPlan(stream, None, None, None, None)
    days = max((min(end or today, today) - first).days + 1, 0)
    requests = math.ceil(days / window)
    return StreamPlan(stream, first, days, requests, _seconds(vendor, config, requests))


def _seconds(vendor: Vendor, config: Mapping[str, Any], requests: int) -> float:
    interval = config.get("request_interval_seconds")
    per_minute = config.get("requests_per_minute") or vendor.requests_per_minute
    return requests * float(interval) if interval is not None else requests * 60 / float(per_minute)


def plan_row(plan: StreamPlan) -> tuple[str, str, str, str, str]:
    """Return the cells of the table: stream, first day, days, requests, time."""
    return (
        plan.stream,
        plan.first.isoformat() if plan.first else "-",
        "-" if plan.days is None else f"{plan.days:,}",
        "unknown" if plan.requests is None else f"{plan.requests:,}",
        "unknown" if plan.seconds is None else duration(plan.seconds),
    )
