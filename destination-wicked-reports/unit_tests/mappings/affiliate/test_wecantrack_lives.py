"""wecantrack: any life of a sale and of its returns, with every setting that changes what is sent."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from random import Random
from typing import Any, ClassVar

from builders.affiliate import make_normalizer, transaction
from builders.lives import AMOUNTS, Record, SaleLives, Worth, few, many
from destination_wicked_reports.mappings.base import Normalizer
from hypothesis import strategies as st
from hypothesis.stateful import rule

STATUSES = st.sampled_from(["pending", "approved", "declined"])
CURRENCIES = st.sampled_from(["USD", "USD", "USD", "EUR"])
CLICKS = (1, 2)


class Lives(SaleLives):
    """Two sales with a click each, and two returns of each."""

    options: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.clock = 0
        #: By transaction: the latest version that was made, and the latest that was read.
        self.made: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.versions: list[dict[str, Any]] = []

    def make_normalizer(self) -> Normalizer:
        return make_normalizer(**self.options)

    @property
    def sale_keys(self) -> Collection[str]:
        return [f"wecantrack\x1fwct-7-{name}" for name in self.made]

    def change(self, name: str, amount: Decimal, status: str, currency: str) -> None:
        self.clock += 1
        at = f"2024-08-01 {self.clock // 60:02}:{self.clock % 60:02}:00"
        click_id = f"WCT24051413531{name[1]}e7x4d"
        self.made[name] = transaction(
            transaction_id=name,
            reference=click_id,
            sub_ids={"clickRef": f"U42-{click_id}"},
            commission_amount=str(amount),
            currency_id=currency,
            status=status,
            validation_date=at if status == "approved" else None,
            last_wct_update=at,
        )
        self.unread.append(("transactions", self.made[name]))
        self.versions.append(self.made[name])

    @rule(click=st.sampled_from(CLICKS), amount=AMOUNTS, status=STATUSES, currency=CURRENCIES, below=st.booleans())
    def sale_changes(self, click: int, amount: Decimal, status: str, currency: str, below: bool) -> None:
        self.change(f"S{click}", -amount if below and amount < 2 else amount, status, currency)

    @rule(click=st.sampled_from(CLICKS), number=st.integers(1, 2), amount=AMOUNTS, status=STATUSES, currency=CURRENCIES)
    def return_changes(self, click: int, number: int, amount: Decimal, status: str, currency: str) -> None:
        self.change(f"R{click}{number}", -amount or Decimal("-0.01"), status, currency)

    @rule(random=st.randoms(use_true_random=False))
    def an_older_version_comes_late(self, random: Random) -> None:
        if self.versions:
            self.unread.append(("transactions", random.choice(self.versions)))

    def note(self, record: Record) -> None:
        name = record[1]["transaction_id"]
        known = self.seen.get(name)
        if known is None or record[1]["last_wct_update"] >= known["last_wct_update"]:
            self.seen[name] = record[1]

    def everything(self, *, settled: bool) -> list[Record]:
        if not settled:
            return [("transactions", record) for record in self.made.values()]
        unread, self.unread = self.unread, []
        for name, record in self.made.items():
            status = "approved" if record["status"] == "pending" else record["status"]
            self.change(name, Decimal(record["commission_amount"]), status, record["currency_id"])
        records, self.unread = self.unread, unread
        return records

    def worth(self) -> Worth | None:
        waits = self.options.get("recognize") == "approved"
        if waits and any(record["status"] == "pending" for record in self.seen.values()):
            return None
        worth: Worth = {}
        for click in CLICKS:
            sale = self.seen.get(f"S{click}")
            if sale is not None:
                rows = [sale, *(self.seen.get(f"R{click}{number}", {}) for number in (1, 2))]
                left = sum(
                    Decimal(row["commission_amount"])
                    for row in rows
                    if row and row["status"] != "declined" and row["currency_id"] == sale["currency_id"]
                )
                if left > 0:
                    worth[f"wct-7-S{click}", sale["currency_id"]] = Decimal(left)
        return worth


class LivesRecognizedWhenApproved(Lives):
    options: ClassVar[dict[str, Any]] = {"recognize": "approved"}


class LivesWithSmallChanges(Lives):
    smallest_change = Decimal("2.50")
    options: ClassVar[dict[str, Any]] = {"smallest_change": "2.50"}


TestLives = few(Lives)
TestLivesRecognizedWhenApproved = few(LivesRecognizedWhenApproved)
TestLivesWithSmallChanges = few(LivesWithSmallChanges)
TestManyLives = many(Lives)
TestManyLivesRecognizedWhenApproved = many(LivesRecognizedWhenApproved)
TestManyLivesWithSmallChanges = many(LivesWithSmallChanges)
