"""Reads numbered pages of a list that shrinks during the read, without losing a row.

A transaction that changes during the read gets a new `last_wct_update` and leaves the window. Every row behind it then
moves up by one place, perhaps onto a page that was already read (docs/vendors/wecantrack.md 0.2). The read therefore
fetches page 1 for the number of pages, then the last page back to page 2, then page 1 again. Rows that leave only move
others to lower pages, which are read later, so a row that stays in the window cannot be missed. Any other movement
shows in the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from .base.errors import transient_error
from .base.rate_limit import LOGGER
from .row_hashes import RowHashes

Row = dict[str, Any]

#: How often a window is read before the run fails.
MAX_PASSES = 5
#: Most pages of one window: 100 million transactions with the usual 1,000 rows a page.
MAX_PAGES = 100_000


@dataclass(frozen=True)
class Page:
    """One page: the paginator's numbers, and the rows with their keys."""

    last_page: int
    per_page: int
    total: int
    rows: list[tuple[str, Row]]


@dataclass
class Pass:
    """Counts of one pass over a window."""

    number: int
    first_total: int
    total: int = 0
    keys: int = 0
    #: Rows whose key this pass had already seen, not counting the second fetch of page 1.
    repeated: int = 0
    #: Those of `repeated` whose content differs from the row before.
    differing: int = 0
    grew: bool = False

    @property
    def moved(self) -> bool:
        """Return whether rows left or entered the list during the pass."""
        return self.grew or self.total != self.first_total

    @property
    def complete_despite_leaving(self) -> bool:
        """Return whether a pass during which rows left has seen every row that stayed.

        That holds if rows only left and the others kept their order. A row can then repeat only because rows before it
        left, so at most as many rows repeat as left. More repeats mean that the order changes.
        """
        return not self.grew and self.keys >= self.total and self.repeated <= self.first_total - self.total


class ShiftingPages:
    """The rows of one window: each key at least once, and an unchanged row only once.

    `fetch` returns the page of a number. A pass is complete if rows only left during it, or if nothing moved and it saw
    as many keys as `total`. Otherwise the window is read again, at most `max_passes` times. Keys of an earlier pass do
    not count: those rows may have left since, and would make up for others that were missed.
    """

    def __init__(self, fetch: Callable[[int], Page], *, max_passes: int = MAX_PASSES) -> None:
        self._fetch, self._max_passes = fetch, max_passes
        self._seen = RowHashes()

    def rows(self) -> Iterator[Row]:
        """Yield the rows; raise a transient error if no pass is complete."""
        for number in range(1, self._max_passes + 1):
            first = self._fetch(1)
            current = Pass(number, first.total, first.total)
            for page in self._pages(first, current):
                for key, row in page.rows:
                    seen_by, unchanged = self._seen.put(key, orjson.dumps(row), number)
                    if seen_by != number:
                        current.keys += 1
                    else:
                        current.repeated += 1
                        current.differing += not unchanged
                    if not unchanged:
                        yield row
            unmoved_and_complete = not current.moved and current.keys >= current.total - current.differing
            if current.complete_despite_leaving or unmoved_and_complete:
                self._warn_of_shared_keys(current)
                return
            LOGGER.info(
                "Pass %s over this window saw %s of %s transactions%s; reading it again.",
                number,
                current.keys,
                current.total,
                " while they moved" if current.moved else "",
            )
        raise transient_error(
            f"wecantrack's list changed or repeated rows in {self._max_passes} passes over one window ({current.keys} "
            f"of {current.total} transactions seen in the last). Run again; the state stays before this window."
        )

    def _pages(self, first: Page, current: Pass) -> Iterator[Page]:
        """Yield page 1, then the last page back to page 2, then page 1 again."""
        yield first
        if first.last_page > MAX_PAGES:
            raise transient_error(
                f"wecantrack announces {first.last_page} pages for one window, more than {MAX_PAGES}. Run again; if "
                "this recurs, report it to wecantrack."
            )
        for number in range(first.last_page, 1, -1):
            yield self._next(number, first, current)
        if first.last_page > 1:
            again = self._next(1, first, current)
            keys, repeated, differing, unmoved = current.keys, current.repeated, current.differing, not current.moved
            yield again
            # With an unchanged total, a new row on page 1 means that one row entered as another left.
            current.grew = current.grew or (unmoved and current.keys > keys)
            current.repeated, current.differing = repeated, differing

    def _next(self, number: int, first: Page, current: Pass) -> Page:
        page = self._fetch(number)
        current.grew = current.grew or page.total > current.total or page.per_page != first.per_page
        current.total = page.total
        return page

    def _warn_of_shared_keys(self, current: Pass) -> None:
        if current.keys < current.total:
            LOGGER.warning(
                "%s transactions of this window share account and transaction id with another one. A destination that "
                "deduplicates by transaction_key keeps one of each.",
                current.total - current.keys,
            )
