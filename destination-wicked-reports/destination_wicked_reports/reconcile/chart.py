"""Geometry of the chart of net by orders, per day: a bar for the reported amount, a line across it for the sent one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal
from itertools import groupby

from destination_wicked_reports.reconcile.comparison import Comparison, Day
from destination_wicked_reports.reconcile.orders import ZERO

WIDTH, HEIGHT = 960, 280
LEFT, RIGHT, TOP, BOTTOM = 84, 36, 18, 34
#: More days than this are drawn by month.
MAX_DAYS = 200
_LABELS = 8
_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


@dataclass(slots=True, frozen=True)
class Bar:
    """One day or month, in pixels, with its tooltip. `sent_y` is None if the sent amount is unknown."""

    x: float
    width: float
    y: float
    height: float
    sent_y: float | None
    verdict: str
    text: str


@dataclass(slots=True, frozen=True)
class Mark:
    """A label on an axis and its position."""

    at: float
    text: str


@dataclass(slots=True, frozen=True)
class Chart:
    """The chart of one currency; `text` describes it for screen readers."""

    currency: str
    unit: str
    zero: float
    bars: Sequence[Bar]
    amounts: Sequence[Mark]
    dates: Sequence[Mark]
    text: str


@dataclass(slots=True)
class _Bucket:
    name: str
    sent: Decimal
    reported: Decimal
    known: bool
    verdicts: set[str]

    @property
    def verdict(self) -> str:
        return next((word for word in ("differs", "waits", "unknown") if word in self.verdicts), "equal")


def charts(comparison: Comparison) -> list[Chart]:
    """Return a chart for each currency that has dated orders."""
    dated = sorted((day for day in comparison.days if day.day[:1].isdigit()), key=lambda day: (day.currency, day.day))
    return [_chart(currency, list(days)) for currency, days in groupby(dated, key=lambda day: day.currency)]


def _chart(currency: str, days: list[Day]) -> Chart:
    names = _calendar(days)
    unit, length = ("month", 7) if len(names) > MAX_DAYS else ("day", 10)
    found = {name: list(group) for name, group in groupby(days, key=lambda day: day.day[:length])}
    buckets = [_bucket(name, found.get(name, [])) for name in dict.fromkeys(name[:length] for name in names)]
    ticks = _ticks(min(min(b.sent, b.reported) for b in buckets), max(max(b.sent, b.reported) for b in buckets))
    low, high = ticks[0], ticks[-1]

    def y(amount: Decimal) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * float((high - amount) / (high - low)), 1)

    step = (WIDTH - LEFT - RIGHT) / len(buckets)
    width = round(min(step * 0.7, 40), 2)
    zero, bars = y(Decimal(0)), []
    for index, bucket in enumerate(buckets):
        if bucket.name not in found:
            continue
        top = y(max(bucket.reported, Decimal(0)))
        sent_text = f"sent {bucket.sent:,} {currency}" if bucket.known else "sent: unknown"
        bars.append(
            Bar(
                round(LEFT + step * (index + 0.5) - width / 2, 2),
                width,
                top,
                round(y(min(bucket.reported, Decimal(0))) - top, 1),
                y(bucket.sent) if bucket.known else None,
                bucket.verdict,
                f"{bucket.name}: {sent_text}, Wicked Reports {bucket.reported:,} {currency}, {bucket.verdict}",
            )
        )
    every = -(-len(buckets) // _LABELS)
    dates = [
        Mark(round(LEFT + step * (index + 0.5), 1), bucket.name)
        for index, bucket in enumerate(buckets)
        if index % every == 0
    ]
    differing = sum(bucket.verdict == "differs" for bucket in buckets)
    sent = sum((bucket.sent for bucket in buckets), ZERO)
    reported = sum((bucket.reported for bucket in buckets), ZERO)
    text = (
        f"Net revenue, by orders, per {unit} in {currency or 'the currency of the account'}, {buckets[0].name} to "
        f"{buckets[-1].name}: sent {sent:,}, Wicked Reports reports {reported:,}; {differing} of "
        f"{len(buckets)} {unit}s differ."
    )
    return Chart(currency, unit, zero, bars, [Mark(y(tick), f"{tick:,f}") for tick in ticks], dates, text)


def _calendar(days: list[Day]) -> list[str]:
    """Return every day from the first to the last; a day without orders is a gap in the chart."""
    first, last = (date.fromisoformat(day.day) for day in (days[0], days[-1]))
    return [(first + timedelta(number)).isoformat() for number in range((last - first).days + 1)]


def _bucket(name: str, days: Sequence[Day]) -> _Bucket:
    return _Bucket(
        name,
        sum((day.sent.net_by_orders for day in days), ZERO),
        sum((day.reported.net_by_orders for day in days), ZERO),
        all(day.sent.known for day in days),
        {day.verdict for day in days},
    )


def _ticks(low: Decimal, high: Decimal) -> list[Decimal]:
    """Return four to seven round amounts that cover `low`, 0 and `high`."""
    low, high = min(low, Decimal(0)), max(high, Decimal(0))
    if low == high:
        high = Decimal(1)
    rough = (high - low) / 4
    power = Decimal(10) ** rough.adjusted()
    step = next(power * factor for factor in _STEPS if power * factor >= rough)
    ticks = [(low / step).to_integral_value(ROUND_FLOOR) * step]
    while ticks[-1] < high:
        ticks.append(ticks[-1] + step)
    return ticks
