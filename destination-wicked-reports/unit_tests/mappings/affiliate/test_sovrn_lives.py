"""Sovrn: any life of a sale, of its separate returns and of a CPC group."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from builders.lives import AMOUNTS, Record, SaleLives, Worth, few, many
from builders.sovrn import click, make_normalizer, taken_back, transaction
from destination_wicked_reports.config.mappings import SovrnMapping
from destination_wicked_reports.mappings.affiliate.sovrn_records import SovrnReader, SovrnRow
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.mappings.revenue import cents
from destination_wicked_reports.model import Record as InputRecord
from hypothesis import strategies as st
from hypothesis.stateful import rule

CLICKS = (1, 2)
#: Amounts of CPC rows, of which several are needed for a cent.
FRACTIONS = st.integers(-20, 60).map(lambda number: Decimal(number) / 1000)


class Lives(SaleLives):
    """Two sales with a click each, two returns of each, and a CPC group of three clicks."""

    options: ClassVar[dict[str, Any]] = {"cpc": "rollup", "without_contact": "synthetic", "cpc_smallest_change": "0.01"}

    def __init__(self) -> None:
        super().__init__()
        self.day = date(2024, 6, 1)
        #: By row: the latest version that was made, and the latest that was read.
        self.made: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        row = SovrnReader(SovrnMapping(**self.options)).read(InputRecord("transactions", click(1)))
        assert isinstance(row, SovrnRow)
        self.group = row.contribution.sale_key

    def make_normalizer(self) -> Normalizer:
        return make_normalizer(date(2026, 7, 1), **self.options)

    @property
    def sale_keys(self) -> Collection[str]:
        return [*(f"sovrn\x1fsovrn-1234-{name}-{name}" for name in self.made), self.group]

    def change(self, name: str, data: dict[str, Any], day_passes: bool) -> None:
        self.day += timedelta(days=day_passes)
        self.made[name] = {**data, "update_date": self.day.isoformat()}
        self.unread.append(("transactions", self.made[name]))

    @rule(number=st.sampled_from(CLICKS), amount=AMOUNTS, below=st.booleans(), day_passes=st.booleans())
    def sale_changes(self, number: int, amount: Decimal, below: bool, day_passes: bool) -> None:
        name, amount = f"S{number}", -amount if below and amount < 2 else amount
        ids = {"revenue_id": name, "commission_id": name, "click_id": f"k{number}"}
        self.change(name, transaction(str(amount), **ids), day_passes)

    @rule(number=st.sampled_from(CLICKS), which=st.integers(1, 2), amount=AMOUNTS, day_passes=st.booleans())
    def return_changes(self, number: int, which: int, amount: Decimal, day_passes: bool) -> None:
        name = f"R{number}{which}"
        ids = {"revenue_id": name, "commission_id": name, "click_id": f"k{number}"}
        self.change(name, taken_back(str(-amount or Decimal("-0.01")), **ids), day_passes)

    @rule(number=st.integers(1, 3), amount=FRACTIONS, day_passes=st.booleans())
    def click_changes(self, number: int, amount: Decimal, day_passes: bool) -> None:
        self.change(f"K{number}", click(number, str(amount)), day_passes)

    def note(self, record: Record) -> None:
        name = record[1]["revenue_id"]
        known = self.seen.get(name)
        if known is None or record[1]["update_date"] >= known["update_date"]:
            self.seen[name] = record[1]

    def everything(self, *, settled: bool) -> list[Record]:
        return [("transactions", record) for record in self.made.values()]

    def worth(self) -> Worth | None:
        amounts = {name: Decimal(record["publisher_net_revenue"]) for name, record in self.seen.items()}
        worth: Worth = {}
        for number in CLICKS:
            sale = amounts.get(f"S{number}")
            if sale is not None:
                left = sale + sum(amounts.get(f"R{number}{which}", Decimal(0)) for which in (1, 2))
                if left > 0:
                    worth[f"sovrn-1234-S{number}-S{number}", "USD"] = left
        clicks = cents(sum((amounts.get(f"K{number}", Decimal(0)) for number in (1, 2, 3)), Decimal(0)))
        if clicks > 0:
            worth[self.group.partition("\x1f")[2], "USD"] = clicks
        return worth


class LivesWithSmallChanges(Lives):
    smallest_change = Decimal("2.50")
    options: ClassVar[dict[str, Any]] = {**Lives.options, "smallest_change": "2.50"}


TestLives = few(Lives)
TestLivesWithSmallChanges = few(LivesWithSmallChanges)
TestManyLives = many(Lives)
TestManyLivesWithSmallChanges = many(LivesWithSmallChanges)
