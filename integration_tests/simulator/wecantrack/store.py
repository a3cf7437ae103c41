"""wecantrack's transactions, indexed by every date that a request may name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..date_index import DateIndex
from ..scripted_store import ScriptedStore
from .transactions import State, Transaction

DATE_TYPES = ("order_date", "modified_date", "click_date", "validation_date", "last_wct_update")
_CACHED_QUERIES = 200  # a reader requests the pages of one window in a row
_BULK = 2000  # from this many changed rows on, sorting everything once is cheaper than moving single keys


@dataclass(frozen=True)
class Query:
    """One request's filters and order, both bounds included; the key of the result cache."""

    date_type: str
    start: int
    end: int
    statuses: frozenset[str] | None = None
    accounts: frozenset[int] | None = None
    website_id: int | None = None
    order: str = "id"


class TransactionStore(ScriptedStore):
    """All transactions with their scripted states. A row's number is its position, like an auto-increment id."""

    def __init__(self) -> None:
        self.load([])

    def load(self, transactions: list[Transaction]) -> None:
        """Replace everything; nothing is visible until `advance`."""
        self.transactions = transactions
        self._numbers = {(row.account_id, row.transaction_id): number for number, row in enumerate(transactions)}
        self._indexes = {date_type: DateIndex() for date_type in DATE_TYPES}
        self._results: dict[Query, list[int]] = {}
        script = ((state.visible_at, number) for number, row in enumerate(transactions) for state in row.states)
        self._start(transactions, script)

    def _update(self, numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        if not numbers:
            return
        self.revision += 1
        self._results.clear()
        if len(numbers) > _BULK:
            for number in numbers:
                row = self.transactions[number]
                row.set_current(row.state_at(self._now))
            self._rebuild()
            return
        for number in numbers:
            row = self.transactions[number]
            before = row.dates() if row.current else dict.fromkeys(DATE_TYPES)
            self.visible -= row.current is not None
            row.set_current(row.state_at(self._now))
            after = row.dates() if row.current else dict.fromkeys(DATE_TYPES)
            self.visible += row.current is not None
            for date_type, index in self._indexes.items():
                if before[date_type] != after[date_type]:
                    index.move(number, before[date_type], after[date_type])

    def _rebuild(self) -> None:
        dates = [(number, row.dates()) for number, row in enumerate(self.transactions) if row.current]
        self.visible = len(dates)
        for date_type, index in self._indexes.items():
            index.rebuild((date, number) for number, of_row in dates if (date := of_row[date_type]) is not None)

    def select(self, query: Query) -> list[int]:
        """Return the numbers of all visible rows that match, in page order; the same list until something changes."""
        result = self._results.get(query)
        if result is None:
            numbers = self._indexes[query.date_type].between(query.start, query.end)
            if (query.statuses, query.accounts, query.website_id) != (None, None, None):
                numbers = list(self._filtered(numbers, query))
            if len(self._results) >= _CACHED_QUERIES:
                self._results.clear()
            result = self._results[query] = self._ordered(numbers, query.order)
        return result

    def _filtered(self, numbers: Iterable[int], query: Query) -> Iterator[int]:
        for number in numbers:
            row = self.transactions[number]
            assert row.current is not None
            if query.statuses is not None and row.current.status not in query.statuses:
                continue
            if query.accounts is not None and row.account_id not in query.accounts:
                continue
            if query.website_id is None or row.website_id == query.website_id:
                yield number

    def _ordered(self, numbers: list[int], order: str) -> list[int]:
        if order == "id":
            numbers.sort()
        elif order == "unordered":
            # stable while nothing changes, and different after any change: the worst that a database may do
            numbers.sort(key=lambda number: (number + self.revision) * 2654435761 & 0xFFFFFFFF)
        return numbers

    def find(self, account_id: int, transaction_id: str) -> int | None:
        """Return the number of a row by its natural key, or None."""
        return self._numbers.get((account_id, transaction_id))

    def append(self, row: Transaction) -> int:
        """Add a row, visible from its first state on; return its number."""
        number = len(self.transactions)
        self.transactions.append(row)
        self._numbers[row.account_id, row.transaction_id] = number
        self._add_to_script(number, row.states)
        return number

    def write(self, number: int, state: State) -> None:
        """Add a state to an existing row."""
        self.transactions[number].add(state)
        self._add_to_script(number, [state])

    def refresh(self, number: int) -> None:
        """Serve a row again after its fixed fields were edited."""
        self._rebuild()
        self.transactions[number].set_current(self.transactions[number].current)
        self.revision += 1
        self._results.clear()

    def _add_to_script(self, number: int, states: list[State]) -> None:
        for state in states:
            self._script.add(number, state.visible_at)
        if any(state.visible_at <= self._now for state in states):
            self._update([number])
