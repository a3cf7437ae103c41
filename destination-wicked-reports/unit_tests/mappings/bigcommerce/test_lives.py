"""Shops: any life of two orders, over any runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

from builders.bigcommerce import CHANGES, TODAY, Life
from builders.lives import Record, SaleLives, Worth, few, many
from destination_wicked_reports.config.mappings import BigcommerceMapping
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.mappings.bigcommerce.normalizer import BigcommerceNormalizer
from hypothesis import strategies as st
from hypothesis.stateful import rule

NUMBERS = (100, 200)


class Lives(SaleLives):
    """Two orders. A run reads the latest version of everything: each stream repeats what changed on its last day."""

    def __init__(self) -> None:
        super().__init__()
        self.lives = {number: Life(number) for number in NUMBERS}
        self.seen: set[int] = set()
        self.counted: dict[int, int | None] = {}

    def make_normalizer(self) -> Normalizer:
        return BigcommerceNormalizer(BigcommerceMapping(), today=lambda: TODAY)

    @property
    def sale_keys(self) -> Collection[str]:
        return [f"BigCommerce\x1f{number}" for number in NUMBERS]

    @rule(number=st.sampled_from(NUMBERS), change=st.one_of(CHANGES, st.just(("currency", 0))))
    def order_changes(self, number: int, change: tuple[str, int]) -> None:
        self.unread.append(self.lives[number].step(*change))
        self.seen.add(number)

    def read(self, records: Iterable[Record], **trouble: Any) -> int:
        states = self.connection.ledger.sales(list(self.sale_keys))
        before: dict[int, int | None] = {}
        for number, key in zip(NUMBERS, self.sale_keys, strict=True):
            state = states.get(key)
            same = state is not None and state.currency == self.lives[number].currency
            before[number] = None if state is None else int(state.net * 100) if same else 0
        given = [*self.everything(settled=False), *records, *self.everything(settled=False)]
        refused = super().read(given, **trouble)
        if not self.ended:
            refused = super().read(given)
        self.complete = not refused  # an order stays due until it was accepted
        self.counted = {number: self.lives[number].expected(before[number]) for number in self.seen}
        return refused

    def note(self, record: Record) -> None:
        """Do nothing: the lives are as they were read."""

    def everything(self, *, settled: bool) -> list[Record]:
        return [record for number in sorted(self.seen) for record in self.lives[number].everything()]

    def worth(self) -> Worth | None:
        return {
            (str(number), self.lives[number].currency): Decimal(cents) / 100
            for number, cents in self.counted.items()
            if cents
        }


TestLives = few(Lives)
TestManyLives = many(Lives)
