"""The transactions that wecantrack holds, as far as they have happened, indexed by every date one may ask for."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .transactions import State, Transaction

DATE_TYPES = ("order_date", "modified_date", "click_date", "validation_date", "last_wct_update")
_SHIFT = 24  # 16 million rows share one integer with their date, which sorts and bisects without tuples
_MASK = (1 << _SHIFT) - 1
_ANSWERS = 200  # windows remembered between two changes; a read asks for the pages of one window in a row
_BULK = 2000  # from here on, sorting everything once is cheaper than moving keys one by one


class DateIndex:
    """Which rows carry which date, sorted, so that a window is two bisections."""

    def __init__(self) -> None:
        self._keys: list[int] = []

    def rebuild(self, dated: Iterable[tuple[int, int]]) -> None:
        """Start again from (date, row) pairs."""
        self._keys = sorted((date << _SHIFT) | row for date, row in dated)

    def move(self, row: int, old: int | None, new: int | None) -> None:
        """Follow one row from one date to another."""
        if old is not None:
            del self._keys[bisect_left(self._keys, (old << _SHIFT) | row)]
        if new is not None:
            insort(self._keys, (new << _SHIFT) | row)

    def between(self, start: int, end: int) -> list[int]:
        """Return the rows from `start` to `end`, both included, by date and then by id."""
        low, high = bisect_left(self._keys, start << _SHIFT), bisect_left(self._keys, (end + 1) << _SHIFT)
        return [key & _MASK for key in self._keys[low:high]]


@dataclass(frozen=True)
class Query:
    """What one request asks for; the key of the cache of answers."""

    date_type: str
    start: int
    end: int
    statuses: frozenset[str] | None = None
    accounts: frozenset[int] | None = None
    website_id: int | None = None
    order: str = "id"


class TransactionStore:
    """All lives, and what of them is visible now. A row's id is its place in the list, as an auto-increment is."""

    def __init__(self) -> None:
        self.load([])

    def load(self, transactions: list[Transaction]) -> None:
        """Replace everything; nothing is visible until `advance`."""
        self.transactions = transactions
        self._ids = {(life.account_id, life.transaction_id): row for row, life in enumerate(transactions)}
        self._indexes = {date_type: DateIndex() for date_type in DATE_TYPES}
        self._answers: dict[Query, list[int]] = {}
        self._pending: list[int] = sorted(
            (state.visible_at << _SHIFT) | row for row, life in enumerate(transactions) for state in life.states
        )
        self._now = 0
        self.visible = 0
        self.revision = 0

    def advance(self, now: int) -> None:
        """Let everything scripted up to `now` happen; when the clock went back, let it un-happen."""
        if now == self._now:
            return
        if now < self._now:
            due: set[int] | range = range(len(self.transactions))
        else:
            first, last = (bisect_left(self._pending, (instant + 1) << _SHIFT) for instant in (self._now, now))
            due = {key & _MASK for key in self._pending[first:last]}
        self._now = now
        self._show(due)

    def _show(self, rows: Iterable[int]) -> None:
        rows = list(rows)
        if not rows:
            return
        self.revision += 1
        self._answers.clear()
        if len(rows) > _BULK:
            for row in rows:
                life = self.transactions[row]
                life.show(life.state_at(self._now))
            self._rebuild()
            return
        for row in rows:
            life = self.transactions[row]
            before = life.dates() if life.shown else dict.fromkeys(DATE_TYPES)
            self.visible -= life.shown is not None
            life.show(life.state_at(self._now))
            after = life.dates() if life.shown else dict.fromkeys(DATE_TYPES)
            self.visible += life.shown is not None
            for date_type, index in self._indexes.items():
                if before[date_type] != after[date_type]:
                    index.move(row, before[date_type], after[date_type])

    def _rebuild(self) -> None:
        dates = [(row, life.dates()) for row, life in enumerate(self.transactions) if life.shown]
        self.visible = len(dates)
        for date_type, index in self._indexes.items():
            index.rebuild((date, row) for row, all_dates in dates if (date := all_dates[date_type]) is not None)

    def select(self, query: Query) -> list[int]:
        """Return the ids of all visible rows that match, in page order; the same list until something changes."""
        answer = self._answers.get(query)
        if answer is None:
            rows = self._indexes[query.date_type].between(query.start, query.end)
            if (query.statuses, query.accounts, query.website_id) != (None, None, None):
                rows = list(self._filtered(rows, query))
            if len(self._answers) >= _ANSWERS:
                self._answers.clear()
            answer = self._answers[query] = self._ordered(rows, query.order)
        return answer

    def _filtered(self, rows: Iterable[int], query: Query) -> Iterator[int]:
        for row in rows:
            life = self.transactions[row]
            assert life.shown is not None
            if query.statuses is not None and life.shown.status not in query.statuses:
                continue
            if query.accounts is not None and life.account_id not in query.accounts:
                continue
            if query.website_id is None or life.website_id == query.website_id:
                yield row

    def _ordered(self, rows: list[int], order: str) -> list[int]:
        if order == "id":
            rows.sort()
        elif order == "unordered":
            # stable while nothing changes, and somewhere else after any change: the worst a database may do
            rows.sort(key=lambda row: (row + self.revision) * 2654435761 & 0xFFFFFFFF)
        return rows

    def find(self, account_id: int, transaction_id: str) -> int | None:
        """Return the id of a row by its natural key, or None."""
        return self._ids.get((account_id, transaction_id))

    def append(self, life: Transaction) -> int:
        """Add a row; it shows itself when its first state comes into force."""
        row = len(self.transactions)
        self.transactions.append(life)
        self._ids[life.account_id, life.transaction_id] = row
        self._note(row, life.states)
        return row

    def write(self, row: int, state: State) -> None:
        """Add a state to an existing row."""
        self.transactions[row].add(state)
        self._note(row, [state])

    def refresh(self, row: int) -> None:
        """Serve a row's facts anew after they were edited."""
        self._rebuild()
        self.transactions[row].show(self.transactions[row].shown)
        self.revision += 1
        self._answers.clear()

    def _note(self, row: int, states: list[State]) -> None:
        for state in states:
            insort(self._pending, (state.visible_at << _SHIFT) | row)
        if any(state.visible_at <= self._now for state in states):
            self._show([row])

    def to_come(self) -> int:
        """Count the scripted states that have not come into force yet."""
        return len(self._pending) - bisect_left(self._pending, (self._now + 1) << _SHIFT)
