"""Random lives of sales, for any mapping: whole runs, refused rows and lost replies.

Once nothing is refused, in doubt or waiting, the net of a sale's orders is what the sale is worth, under both readings
of Wicked's net (docs/vendors/wicked-reports.md 10.1), and reading its records again sends nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any

import pytest
from destination_wicked_reports.mappings.base import Normalizer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from builders.wicked import Connection

Record = tuple[str, dict[str, Any]]
#: What the sales are worth that are worth something, by sale and currency.
Worth = dict[tuple[str, str], Decimal]

#: Few amounts, so that they often cancel each other.
AMOUNTS = st.one_of(st.sampled_from([400, 1000, 1400]), st.integers(0, 3000)).map(lambda number: Decimal(number) / 100)
#: Enough to find what is common, and what `make campaign` runs.
_FEW = settings(max_examples=15, stateful_step_count=25, deadline=None)
_MANY = settings(_FEW, max_examples=2000)


def few(machine: type[RuleBasedStateMachine]) -> type:
    """Return the test case of a state machine for `make test`."""
    case: type = machine.TestCase
    case.settings = _FEW
    return case


def many(machine: type[RuleBasedStateMachine]) -> type:
    """Return the test case of a state machine for `make campaign`."""
    case: type = type(f"Many{machine.__name__}", (machine,), {}).TestCase
    case.settings = _MANY
    return pytest.mark.campaign(pytest.mark.timeout(3600)(case))


class SaleLives(RuleBasedStateMachine):
    """A subclass makes the records, and knows what the sales are worth after those that `note` was given."""

    #: Differences below it may wait.
    smallest_change = Decimal(0)

    def __init__(self) -> None:
        super().__init__()
        self.connection = Connection(self.make_normalizer)
        self.unread: list[Record] = []
        #: Whether the last run got to its end, and whether no row was refused since all was read.
        self.ended = self.complete = True

    def teardown(self) -> None:
        """Close the life's ledger; a campaign has thousands in one test."""
        self.connection.ledger.close()

    @abstractmethod
    def make_normalizer(self) -> Normalizer:
        """Return a normalizer for one run."""

    @abstractmethod
    def note(self, record: Record) -> None:
        """Take notice of a record that was read."""

    @abstractmethod
    def worth(self) -> Worth | None:
        """Return what the sales are worth; None while something waits by a setting."""

    @abstractmethod
    def everything(self, *, settled: bool) -> list[Record]:
        """Return the latest record of everything; with `settled`, later ones in which nothing is pending."""

    @property
    @abstractmethod
    def sale_keys(self) -> Collection[str]:
        """The ledger's keys of all sales."""

    # -- runs -------------------------------------------------------------------------------------------------------

    def read(self, records: Iterable[Record], **trouble: Any) -> int:
        """Run once; return how many rows were refused."""
        records = list(records)
        refused, self.ended = self.connection.run(records, **trouble)
        if self.ended:
            for record in records:
                self.note(record)
            self.unread = []
            self.complete = self.complete and not refused
        return refused

    @rule(twice=st.booleans(), whole=st.booleans(), batch_rows=st.sampled_from([1, 2, 1000]))
    def run_to_the_end(self, twice: bool, whole: bool, batch_rows: int) -> None:
        records = self.unread * (1 + twice) if whole else [r for r in self.unread for _ in range(1 + twice)]
        self.read(records, batch_rows=batch_rows)

    @rule(refused=st.sets(st.integers(1, 4), min_size=1, max_size=2), batch_rows=st.sampled_from([1, 2, 1000]))
    def run_with_refused_rows(self, refused: set[int], batch_rows: int) -> None:
        self.read(self.unread, batch_rows=batch_rows, refused=refused)

    @rule(lost=st.integers(1, 5), arrives=st.booleans(), batch_rows=st.sampled_from([1, 2, 1000]))
    def run_that_is_killed(self, lost: int, arrives: bool, batch_rows: int) -> None:
        self.read(self.unread, batch_rows=batch_rows, lost=lost, arrives=arrives)

    @rule()
    def all_is_settled(self) -> None:
        self.read([*self.unread, *self.everything(settled=True)])
        self.complete = True

    @rule()
    def nothing_is_sent_again(self) -> None:
        if self.ended and self.complete and not self.unread:
            self.read(self.everything(settled=False))
            assert self.connection.rows == 0

    # -- invariants -------------------------------------------------------------------------------------------------

    @invariant()
    def both_nets_are_what_the_ledger_says(self) -> None:
        if self.ended:
            states = self.connection.ledger.sales(list(self.sale_keys))
            known = {(key.partition("\x1f")[2], state.currency): state.net for key, state in states.items()}
            nets = self.connection.wicked.sale_nets()
            assert nets == {sale: (net, net) for sale, net in known.items() if net}

    @invariant()
    def both_nets_are_what_the_sales_are_worth(self) -> None:
        worth = self.worth() if self.ended and self.complete and not self.unread else None
        if worth is not None:
            nets = {sale: by_orders for sale, (by_orders, _) in self.connection.wicked.sale_nets().items()}
            if self.smallest_change:
                assert nets.keys() == worth.keys()
                assert all(abs(nets[sale] - worth[sale]) < self.smallest_change for sale in worth)
            else:
                assert nets == worth
