"""Generates months of Sovrn commissions and their later changes, reproducibly from a seed.

Shapes and changes follow docs/vendors/sovrn.md B5, B6 and B7: rows are edited in place or followed by a negative row,
mostly within weeks, sometimes after 76 to 100 days. Names and people are invented. The shares of the outcomes are a
[guess]; every outcome occurs.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ..clock import iso
from .samples import CAMPAIGNS, Samples
from .store import Campaign
from .transactions import SovrnRow, SovrnState

DAY = 86400
LATE_DAYS = (76, 100)
#: share among the sales that change, and the change
OUTCOMES: tuple[tuple[int, str], ...] = (
    (22, "lower"),
    (14, "higher"),
    (22, "zero"),
    (6, "lower_then_zero"),
    (5, "higher_then_lower"),  # the fall is smaller than the rise
    (5, "zero_then_back"),
    (14, "negative"),  # a new pair of ids, the same click and merchant, the whole amount
    (10, "negative_part"),
    (6, "negative_same_commission"),  # a new revenueId under the old commissionId
    (6, "negative_orphan"),  # the return of a sale that is not in the data
)
_OUTCOME_ENDS = list(accumulate(share for share, _name in OUTCOMES))


@dataclass(frozen=True)
class SovrnSettings:
    """Size and shares of a scenario; without `start`, the first period ends now.

    `transactions` appear in the first `days`, then more at the same rate in the `later_days` after them. `cpc` is the
    share paid by the click, `identified` the share whose cuid starts with a user id, `changing` the share of sales that
    change later, `late` the share of those changes that come 76 to 100 days after the commission.
    """

    seed: int = 7
    transactions: int = 5_000
    days: int = 90
    later_days: int = 45
    start: int | None = None
    cpc: float = 0.3
    identified: float = 0.6
    changing: float = 0.35
    late: float = 0.25


@dataclass
class SovrnScenario:
    """What was generated."""

    start: int
    first_period_ends: int
    rows: list[SovrnRow] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def campaigns(self) -> list[Campaign]:
        """The sites behind the rows."""
        return [Campaign(number, name) for number, name in CAMPAIGNS]

    def summary(self) -> dict[str, Any]:
        """Return the periods and counts for the admin API."""
        return {
            "start": iso(self.start),
            "first_period_ends": iso(self.first_period_ends),
            "transactions": len(self.rows),
            "states": sum(len(row.states) for row in self.rows),
            "outcomes": dict(sorted(self.outcomes.items())),
        }


def build_scenario(settings: SovrnSettings, now: int) -> SovrnScenario:
    """Generate all rows in the order in which they appear; `settings.transactions` does not count returns."""
    start = now - settings.days * DAY if settings.start is None else settings.start
    first_period_ends = start + settings.days * DAY
    scenario = SovrnScenario(start, first_period_ends)
    generator = _Generator(settings, scenario)
    rng = generator.rng
    later = settings.transactions * settings.later_days // max(settings.days, 1)
    appearances = [rng.randrange(start, first_period_ends) for _ in range(settings.transactions)]
    later_start = first_period_ends + 1
    appearances += [rng.randrange(later_start, later_start + settings.later_days * DAY) for _ in range(later)]
    for appears_at in sorted(appearances):
        generator.add(appears_at)
    scenario.rows.sort(key=lambda row: row.states[0].visible_at)
    return scenario


def build_big_day(day_start: int, transactions: int, seed: int) -> list[SovrnRow]:
    """Generate one day of very many sales, all committed, updated and visible on that day."""
    rng = random.Random(seed)
    samples = Samples(rng)
    commons = [samples.common(cpc=False) for _ in range(400)]
    states = [samples.state(day_start + number * DAY // 2000, cpc=False) for number in range(2000)]
    rows = []
    for number in range(transactions):
        state = states[number * 2000 // transactions]
        rows.append(
            SovrnRow(
                revenue_id=f"8{number:09d}",
                commission_id=f"b{number:08x}",
                click_id=f"{rng.getrandbits(64):016x}",
                cuid=f"U{number % 50_000:05d}_{number % 97:02d}" if number % 5 < 3 else "",
                program_type="cpa",
                clicked_at=state.visible_at - (number % 3) * DAY,
                committed_at=state.visible_at,
                common=commons[number % len(commons)],
                states=[state],
            )
        )
    return rows


class _Generator:
    """Draws rows one by one from one seeded generator."""

    def __init__(self, settings: SovrnSettings, scenario: SovrnScenario) -> None:
        self._settings = settings
        self._scenario = scenario
        self.rng = random.Random(settings.seed)
        self._samples = Samples(self.rng)
        self._people = max(10, settings.transactions // 3)
        self._next_id = 70_000_000

    def add(self, appears_at: int) -> None:
        """Generate one row that becomes visible at `appears_at`, and its later change."""
        rng, settings = self.rng, self._settings
        cpc = rng.random() < settings.cpc
        # revenue appears two to five days after the sale, travel commissions long after the click (B7)
        committed_at = appears_at if cpc else appears_at - rng.randrange(DAY // 4, 5 * DAY)
        travel = not cpc and rng.random() < 0.05
        clicked_at = committed_at - (rng.randrange(20 * DAY, 90 * DAY) if travel else rng.randrange(60, 2 * DAY))
        row = self._row(appears_at, clicked_at, committed_at, cpc=cpc)
        self._scenario.rows.append(row)
        if cpc:
            row.click_id = row.commission_id  # for CPC the report's transaction id is the click id (B6)
            self._scenario.outcomes["cpc"] += 1
        elif rng.random() < settings.changing:
            self._change(row, appears_at)
        else:
            self._scenario.outcomes["stays"] += 1

    def _row(self, appears_at: int, clicked_at: int, committed_at: int, *, cpc: bool) -> SovrnRow:
        state = self._samples.state(appears_at, cpc=cpc)
        return SovrnRow(
            revenue_id=self._revenue_id(),
            commission_id=f"{self.rng.getrandbits(40):010x}",
            click_id=f"{self.rng.getrandbits(64):016x}",
            cuid=self._cuid(),
            program_type="cpc" if cpc else "cpa",
            clicked_at=clicked_at,
            committed_at=committed_at,
            common=self._samples.common(cpc=cpc, sale=state.order_value),
            states=[state],
        )

    def _revenue_id(self) -> str:
        self._next_id += self.rng.randrange(1, 40)
        return str(self._next_id)

    def _cuid(self) -> str:
        """Draw a custom id of at most 32 characters, `[A-Za-z0-9_-]`, which every document allows (B10)."""
        kind, share = self.rng.random(), self._settings.identified
        if kind < share:
            return f"U{self.rng.randrange(self._people):05d}_{self.rng.choice(('top', 'side', 'mail-2'))}"
        return "" if kind < share + (1 - share) / 2 else f"widget-{self.rng.randrange(20)}"

    def _change(self, row: SovrnRow, appears_at: int) -> None:
        rng = self.rng
        outcome = OUTCOMES[bisect_right(_OUTCOME_ENDS, rng.randrange(_OUTCOME_ENDS[-1]))][1]
        if rng.random() < self._settings.late:
            at = row.committed_at + rng.randrange(LATE_DAYS[0] * DAY, LATE_DAYS[1] * DAY)
            self._scenario.outcomes["late"] += 1
        else:
            at = appears_at + rng.randrange(2 * DAY, 60 * DAY)
        self._scenario.outcomes[outcome] += 1
        first = row.states[0]
        if outcome.startswith("negative"):
            self._scenario.rows.append(self._negative(row, at, outcome))
        elif outcome in ("zero", "zero_then_back"):
            row.add(SovrnState(at, at, "0", "0"))
        elif outcome == "higher_then_lower":
            row.add(SovrnState(at, at, *Samples.scaled(first, rng.randrange(130, 150))))
        else:
            percent = rng.randrange(105, 150) if outcome == "higher" else rng.randrange(30, 90)
            row.add(SovrnState(at, at, *Samples.scaled(first, percent)))
        if "_then_" in outcome:
            at += rng.randrange(2 * DAY, 20 * DAY)
            row.add(SovrnState(at, at, *self._second(first, outcome)))

    def _second(self, first: SovrnState, outcome: str) -> tuple[str, str]:
        """Draw sale and revenue after the second of two changes."""
        if outcome == "lower_then_zero":
            return "0", "0"
        if outcome == "zero_then_back":
            return Samples.scaled(first, self.rng.randrange(50, 95))
        return Samples.scaled(first, self.rng.randrange(105, 112))

    def _negative(self, row: SovrnRow, at: int, outcome: str) -> SovrnRow:
        """Return the separate row of a return (B6); its dates are a [guess]."""
        rng = self.rng
        percent = rng.randrange(20, 80) if outcome == "negative_part" else 100
        sale, revenue = Samples.scaled(row.states[0], percent)
        same_commission = outcome == "negative_same_commission"
        orphan = outcome == "negative_orphan"
        return SovrnRow(
            revenue_id=self._revenue_id(),
            commission_id=row.commission_id if same_commission else f"{rng.getrandbits(40):010x}",
            click_id=f"{rng.getrandbits(64):016x}" if orphan else row.click_id,
            cuid=row.cuid,
            program_type="cpa",
            clicked_at=row.clicked_at,
            committed_at=at,
            common={**row.common, "product": []},
            states=[SovrnState(at, at, f"-{sale}", f"-{revenue}")],
        )
