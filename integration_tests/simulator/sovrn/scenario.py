"""Made-up months of Sovrn commissions, the same for the same seed: rows that appear, and what becomes of them.

The shapes are those of affiliate-facts B5, the lives those of B6 and B7: rows are edited in place or followed by a
negative row, mostly within weeks, sometimes after 76 to 100 days. Names and people are obviously invented. How often
each outcome occurs is a [guess]; that each occurs is the point.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from ..clock import iso
from .samples import CAMPAIGNS, Pool
from .store import Campaign
from .transactions import SovrnRow, SovrnState

DAY = 86400
LATE_DAYS = (76, 100)
#: what becomes of a sale, with its share among those that change
OUTCOMES: tuple[tuple[int, str], ...] = (
    (22, "lower"),
    (14, "higher"),
    (22, "zero"),
    (6, "lower_then_zero"),
    (14, "negative"),  # a new pair of ids, the same click and merchant: the whole amount
    (10, "negative_part"),
    (6, "negative_same_commission"),  # a new revenueId under the old commissionId
    (6, "negative_orphan"),  # another sale's return, whose own row nobody ever saw
)
_OUTCOME_ENDS = list(accumulate(share for share, _name in OUTCOMES))


@dataclass(frozen=True)
class SovrnSettings:
    """How much happens. `start` None lets the first period end now.

    `transactions` appear in the first `days`, and at the same rate in the `later_days` after them. `cpc` is the share
    paid by the click, `identified` the share whose cuid starts with a user id, `changing` the share of sales that do
    not stay as they are, `late` the share of those changes that come 76 to 100 days after the commission.
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
    turn: int
    rows: list[SovrnRow] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def campaigns(self) -> list[Campaign]:
        """The sites behind the rows."""
        return [Campaign(number, name) for number, name in CAMPAIGNS]

    def summary(self) -> dict[str, Any]:
        """Say what was made, for the admin API."""
        return {
            "start": iso(self.start),
            "first_period_ends": iso(self.turn),
            "transactions": len(self.rows),
            "states": sum(len(row.states) for row in self.rows),
            "outcomes": dict(sorted(self.outcomes.items())),
        }


def build_scenario(settings: SovrnSettings, now: int) -> SovrnScenario:
    """Generate all lives, in the order in which their rows appear; `settings.transactions` counts no adjustments."""
    start = now - settings.days * DAY if settings.start is None else settings.start
    turn = start + settings.days * DAY
    scenario = SovrnScenario(start, turn)
    generator = _Generator(settings, scenario)
    later = settings.transactions * settings.later_days // max(settings.days, 1)
    appearances = [generator.chance.randrange(start, turn) for _ in range(settings.transactions)]
    appearances += [generator.chance.randrange(turn + 1, turn + 1 + settings.later_days * DAY) for _ in range(later)]
    for appears_at in sorted(appearances):
        generator.live(appears_at)
    scenario.rows.sort(key=lambda row: row.states[0].visible_at)
    return scenario


def build_big_day(day_start: int, transactions: int, seed: int) -> list[SovrnRow]:
    """Generate one day of very many sales, all committed, updated and visible on that day."""
    chance = random.Random(seed)
    pool = Pool(chance)
    commons = [pool.common(cpc=False) for _ in range(400)]
    states = [pool.state(day_start + number * DAY // 2000, cpc=False) for number in range(2000)]
    rows = []
    for number in range(transactions):
        state = states[number * 2000 // transactions]
        rows.append(
            SovrnRow(
                revenue_id=f"8{number:09d}",
                commission_id=f"b{number:08x}",
                click_id=f"{chance.getrandbits(64):016x}",
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
    """Draws one life after the other from one seeded stream of chance."""

    def __init__(self, settings: SovrnSettings, scenario: SovrnScenario) -> None:
        self._settings = settings
        self._scenario = scenario
        self.chance = random.Random(settings.seed)
        self._pool = Pool(self.chance)
        self._people = max(10, settings.transactions // 3)
        self._next_id = 70_000_000

    def live(self, appears_at: int) -> None:
        """Generate what begins with one row that Sovrn first shows at `appears_at`."""
        chance, settings = self.chance, self._settings
        cpc = chance.random() < settings.cpc
        # revenue shows two to five days after the sale; travel commissions long after the click (B7)
        committed_at = appears_at if cpc else appears_at - chance.randrange(DAY // 4, 5 * DAY)
        travel = not cpc and chance.random() < 0.05
        clicked_at = committed_at - (chance.randrange(20 * DAY, 90 * DAY) if travel else chance.randrange(60, 2 * DAY))
        row = self._row(appears_at, clicked_at, committed_at, cpc=cpc)
        self._scenario.rows.append(row)
        if cpc:
            row.click_id = row.commission_id  # the report's transaction id is the click id there (B6)
            self._scenario.outcomes["cpc"] += 1
        elif chance.random() < settings.changing:
            self._change(row, appears_at)
        else:
            self._scenario.outcomes["stays"] += 1

    def _row(self, appears_at: int, clicked_at: int, committed_at: int, *, cpc: bool) -> SovrnRow:
        state = self._pool.state(appears_at, cpc=cpc)
        return SovrnRow(
            revenue_id=self._revenue_id(),
            commission_id=f"{self.chance.getrandbits(40):010x}",
            click_id=f"{self.chance.getrandbits(64):016x}",
            cuid=self._cuid(),
            program_type="cpc" if cpc else "cpa",
            clicked_at=clicked_at,
            committed_at=committed_at,
            common=self._pool.common(cpc=cpc, sale=state.order_value),
            states=[state],
        )

    def _revenue_id(self) -> str:
        self._next_id += self.chance.randrange(1, 40)
        return str(self._next_id)

    def _cuid(self) -> str:
        """Draw a custom id in the alphabet that is safe in every document, `[A-Za-z0-9_-]`, at most 32 (B10)."""
        kind, share = self.chance.random(), self._settings.identified
        if kind < share:
            return f"U{self.chance.randrange(self._people):05d}_{self.chance.choice(('top', 'side', 'mail-2'))}"
        return "" if kind < share + (1 - share) / 2 else f"widget-{self.chance.randrange(20)}"

    def _change(self, row: SovrnRow, appears_at: int) -> None:
        chance = self.chance
        outcome = OUTCOMES[bisect_right(_OUTCOME_ENDS, chance.randrange(_OUTCOME_ENDS[-1]))][1]
        if chance.random() < self._settings.late:
            at = row.committed_at + chance.randrange(LATE_DAYS[0] * DAY, LATE_DAYS[1] * DAY)
            self._scenario.outcomes["late"] += 1
        else:
            at = appears_at + chance.randrange(2 * DAY, 60 * DAY)
        self._scenario.outcomes[outcome] += 1
        first = row.states[0]
        if outcome.startswith("negative"):
            self._scenario.rows.append(self._negative(row, at, outcome))
        elif outcome == "zero":
            row.add(SovrnState(at, at, "0", "0"))
        else:
            percent = chance.randrange(105, 150) if outcome == "higher" else chance.randrange(30, 90)
            row.add(SovrnState(at, at, *Pool.scaled(first, percent)))
        if outcome == "lower_then_zero":
            at += chance.randrange(2 * DAY, 20 * DAY)
            row.add(SovrnState(at, at, "0", "0"))

    def _negative(self, row: SovrnRow, at: int, outcome: str) -> SovrnRow:
        """Make the separate row of a return: "a new separate transaction" (FAQ); its dates are a [guess]."""
        chance = self.chance
        percent = chance.randrange(20, 80) if outcome == "negative_part" else 100
        sale, revenue = Pool.scaled(row.states[0], percent)
        same_commission = outcome == "negative_same_commission"
        orphan = outcome == "negative_orphan"
        return SovrnRow(
            revenue_id=self._revenue_id(),
            commission_id=row.commission_id if same_commission else f"{chance.getrandbits(40):010x}",
            click_id=f"{chance.getrandbits(64):016x}" if orphan else row.click_id,
            cuid=row.cuid,
            program_type="cpa",
            clicked_at=row.clicked_at,
            committed_at=at,
            common={**row.common, "product": []},
            states=[SovrnState(at, at, f"-{sale}", f"-{revenue}")],
        )
