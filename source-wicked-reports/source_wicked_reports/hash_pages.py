"""Reads the pages of one window by the vendor's hash, and detects a list that changes during the read.

In the vendor's samples, page 1 of 1 has a `next`, and request and response have the same hash; so neither a missing nor
an unchanged hash means anything (docs/vendors/wicked-reports.md 5.4). A list ends at `page >= totalPages` or at an
empty page. Rows are emitted as they arrive. If a pass missed rows, the window is read again, and only new rows are
emitted.

Clicks have no id. Two equal clicks on one page are two clicks. On two pages they may be one click that moved, so they
are emitted only if a second pass finds the same number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .base.errors import transient_error
from .base.rate_limit import LOGGER

Row = dict[str, Any]

#: How often a window is read before the run fails.
MAX_PASSES = 5


class PageOrderError(Exception):
    """A page that cannot follow the previous one: the server has lost our position in the list.

    `rejection` is the error to raise if the last pass ends with this.
    """

    def __init__(self, message: str, rejection: Exception | None = None) -> None:
        super().__init__(message)
        self.rejection = rejection


class UnstableListError(AirbyteTracedException):
    """The list changed in every pass."""


@dataclass(frozen=True)
class Page:
    """One response: page number, number of pages, number of rows, hash of the next page, and rows."""

    number: int
    last: int
    total: int
    next: str | None
    rows: list[Row]


class SeenRows:
    """Hashes of the rows emitted in the current window and the one before: windows overlap."""

    def __init__(self) -> None:
        self._previous: set[int] = set()
        self._current: set[int] = set()

    def next_window(self) -> None:
        """Start the next window."""
        self._previous, self._current = self._current, set()

    def add(self, row_hash: int) -> bool:
        """Add a row; return whether it is new."""
        is_new = row_hash not in self._current and row_hash not in self._previous
        self._current.add(row_hash)
        return is_new


@dataclass
class Pass:
    """Counts of one pass over a window. Keys are hashes of the rows' identities."""

    first_total: int = -1
    total: int = 0
    max_total: int = 0
    shrank: bool = False
    rows: int = 0
    #: Identity -> the most rows of it on one page; `distinct_rows` is the sum.
    counts: dict[int, int] = field(default_factory=dict)
    distinct_rows: int = 0
    #: Identity -> hash of its last content.
    contents: dict[int, int] = field(default_factory=dict)
    #: Identity -> rows that repeat a row of an earlier page.
    repeats: dict[int, list[Row]] = field(default_factory=dict)
    #: Repeats whose content differs from the row before.
    differing: int = 0

    def count(self, page: Page) -> None:
        """Count a page."""
        if self.first_total < 0:
            self.first_total = page.total
        self.shrank = self.shrank or page.total < self.total
        self.total, self.max_total = page.total, max(self.max_total, page.total)
        self.rows += len(page.rows)

    @property
    def complete(self) -> bool:
        """Return whether every row was seen: as many as the largest total, and none left."""
        return not self.shrank and self.distinct_rows >= self.max_total

    @property
    def complete_but_grew(self) -> bool:
        """Return whether rows entered, none left, and as many rows were seen as there were at first.

        The rows of the start can only have moved to later pages, so all of them were seen; the next sync reads the new
        ones.
        """
        return not self.shrank and self.total > self.first_total and self.distinct_rows >= self.first_total

    @property
    def complete_with_repeats(self) -> bool:
        """Return whether the total was constant and as many rows arrived, some of them repeats."""
        return self.constant_total and self.rows >= self.total

    @property
    def constant_total(self) -> bool:
        """Return whether the total was the same on every page."""
        return not self.shrank and self.total == self.first_total

    def same_repeats(self, other: Pass | None) -> bool:
        """Return whether another pass repeated the same identities, each as often."""
        return other is not None and _sizes(self.repeats) == _sizes(other.repeats)


class CombinedPasses:
    """Rows seen by all passes since the total became constant: if rows swap places, a single pass may miss some."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = -1

    def add(self, current: Pass) -> None:
        """Add a pass; start over if its total is different or changed during it."""
        if not current.constant_total or current.total != self._total:
            self._counts, self._total = {}, current.total if current.constant_total else -1
        for identity, count in current.counts.items() if current.constant_total else ():
            self._counts[identity] = max(count, self._counts.get(identity, 0))

    @property
    def distinct_rows(self) -> int:
        """Return the number of rows seen."""
        return sum(self._counts.values())

    @property
    def complete(self) -> bool:
        """Return whether all rows were seen."""
        return 0 <= self._total <= self.distinct_rows


class HashedPages:
    """The rows of one window: each at least once, and only once while it does not change.

    `fetch` returns the first page for None, otherwise the page of a hash. `identity` returns what identifies a row.
    `set_key` is for rows without an id: it receives the number (0, 1, …) of a row among equal ones. Without it, the
    identity is an id.
    """

    def __init__(
        self,
        fetch: Callable[[str | None], Page],
        identity: Callable[[Row], str],
        seen: SeenRows,
        *,
        set_key: Callable[[Row, str, int], None] | None = None,
        max_passes: int = MAX_PASSES,
    ) -> None:
        self._fetch, self._identity, self._seen, self._set_key = fetch, identity, seen, set_key
        self._max_passes = max_passes

    def rows(self, first: Page | None = None) -> Iterator[Row]:
        """Yield the rows, starting with the page `first` if it was already fetched.

        Raises `UnstableListError` if no pass is complete, and a transient error if the list has no end.
        """
        previous: Pass | None = None
        combined = CombinedPasses()
        rejection: Exception | None = None
        for number in range(1, self._max_passes + 1):
            current = Pass()
            try:
                yield from self._pass(first or self._fetch(None), current)
            except PageOrderError as error:
                problem, previous, rejection = str(error), None, error.rejection
            else:
                combined.add(current)
                if current.complete or combined.complete or (current.complete_but_grew and number > 1):
                    return
                confirmed = (
                    current.complete_with_repeats
                    and current.same_repeats(previous)
                    and combined.distinct_rows == current.distinct_rows
                )
                if confirmed and (self._set_key or current.differing):
                    yield from self._repeats(current)
                    return
                problem = f"{current.distinct_rows} of {current.max_total} rows were seen while they moved"
                previous, rejection = current, None
            first = None
            LOGGER.info("Pass %s over this window: %s; reading it again.", number, problem)
        if rejection is not None:
            raise rejection
        message = (
            f"Wicked Reports' list kept changing in {self._max_passes} passes over one window ({problem}). Run again; "
            "the state stays before this window."
        )
        raise UnstableListError(message, message, FailureType.transient_error)

    def _pass(self, page: Page, current: Pass) -> Iterator[Row]:
        number, next_hash, seen, max_pages = 1, None, set(), 2 * page.last + 100
        while True:
            if page.number != number:
                raise PageOrderError(f"page {page.number} came in place of page {number}")
            contents = [hash(orjson.dumps(row)) for row in page.rows]
            identities = [self._identity(row) for row in page.rows]
            page_hash = hash(tuple(contents))
            if page_hash in seen and (self._set_key is None or len(set(identities)) > 1):
                raise PageOrderError(f"page {number} is the same as an earlier one")
            seen.add(page_hash)
            current.count(page)
            yield from self._new_rows(page, identities, contents, current)
            if page.number >= page.last or not page.rows:
                return
            if number >= max_pages:
                raise transient_error(
                    f"Wicked Reports' list has no end: page {number} announces more, but at first there were "
                    f"{(max_pages - 100) // 2} pages. Run again; if this recurs, report it to Wicked Reports."
                )
            next_hash = page.next or next_hash
            page, number = self._fetch(next_hash), number + 1

    def _new_rows(self, page: Page, identities: list[str], contents: list[int], current: Pass) -> Iterator[Row]:
        on_page: dict[int, int] = {}
        for row, identity, content in zip(page.rows, identities, contents, strict=True):
            key = hash(identity)
            ordinal = on_page[key] = on_page.get(key, -1) + 1
            if ordinal < current.counts.get(key, 0):
                current.repeats.setdefault(key, []).append(row)
                if self._set_key is not None:
                    continue
                current.differing += current.contents[key] != content
            if self._set_key is None:
                current.contents[key] = content
            yield from self._emit(row, identity, ordinal, content)
        for key, ordinal in on_page.items():
            more = ordinal + 1 - current.counts.get(key, 0)
            if more > 0:
                current.counts[key] = ordinal + 1
                current.distinct_rows += more

    def _repeats(self, current: Pass) -> Iterator[Row]:
        """Yield the rows without an id that two passes found on more than one page; only warn about rows with one."""
        count = sum(map(len, current.repeats.values()))
        if self._set_key is None:
            LOGGER.warning(
                "%s rows of this window have the same id as another one. A destination that deduplicates keeps one.",
                count,
            )
            return
        for key, rows in current.repeats.items():
            for ordinal, row in enumerate(rows, current.counts[key]):
                yield from self._emit(row, self._identity(row), ordinal, hash(orjson.dumps(row)))

    def _emit(self, row: Row, identity: str, ordinal: int, content: int) -> Iterator[Row]:
        if self._seen.add(hash((identity, ordinal if self._set_key else 0, content))):
            if self._set_key is not None:
                self._set_key(row, identity, ordinal)
            yield row


def _sizes(repeats: dict[int, list[Row]]) -> dict[int, int]:
    return {key: len(rows) for key, rows in repeats.items()}
