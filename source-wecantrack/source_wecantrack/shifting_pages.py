"""Reading numbered pages of a list that shrinks while it is read, without losing a row.

A transaction that changes during the read gets a new `last_wct_update`, leaves the window, and every row behind it
moves one place forward, perhaps onto a page that was read already (affiliate-facts 0.2). So: page 1, to learn how many
there are, then from the last page back to page 2, then page 1 again. Rows that leave move others towards lower pages
only, and those are read later: a row that stays in the window cannot slip past. Whatever else moves shows in a count.
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


@dataclass(frozen=True)
class Page:
    """One reply of the paginator: its own numbers, and the rows with their keys."""

    last_page: int
    per_page: int
    total: int
    rows: list[tuple[str, Row]]


@dataclass
class Pass:
    """What one pass over a window saw."""

    number: int
    first_total: int
    total: int = 0
    keys: int = 0
    #: rows whose key this pass had seen already, before it came back to page 1
    repeated: int = 0
    #: of these, rows with another content than before
    twins: int = 0
    grew: bool = False

    @property
    def moved(self) -> bool:
        """Tell whether rows left or entered during the pass."""
        return self.grew or self.total != self.first_total

    @property
    def proven(self) -> bool:
        """Tell whether a pass during which rows left has seen every row that stayed.

        It has, if rows only left and the others kept their order: then a row that was read can come again only
        because rows before it have left, and so many rows come again at the most. More say that the order changes.
        """
        return not self.grew and self.keys >= self.total and self.repeated <= self.first_total - self.total


class ShiftingPages:
    """The rows of one window; each key at least once, a row that did not change since it was given only once.

    `fetch` returns the page of a number. A pass counts when rows only left during it, or when nothing moved and it saw
    as many keys as `total` says. Else the window is read again, `passes` times in all. Only the keys of one pass
    count: those of an earlier one may have left since, and would stand in for others that were missed.
    """

    def __init__(self, fetch: Callable[[int], Page], *, passes: int = 5) -> None:
        self._fetch, self._passes = fetch, passes
        self._seen = RowHashes()

    def rows(self) -> Iterator[Row]:
        """Yield the rows; raise a transient error when the list does not hold still for long enough."""
        for number in range(1, self._passes + 1):
            first = self._fetch(1)
            now = Pass(number, first.total, first.total)
            for page in self._pages(first, now):
                for key, row in page.rows:
                    seen_by, same = self._seen.put(key, orjson.dumps(row), number)
                    if seen_by != number:
                        now.keys += 1
                    else:
                        now.repeated += 1
                        now.twins += not same
                    if not same:
                        yield row
            if now.proven or (not now.moved and now.keys >= now.total - now.twins):
                self._tell_of_twins(now)
                return
            LOGGER.info(
                "Pass %s over this window saw %s of %s transactions%s; reading it again.",
                number,
                now.keys,
                now.total,
                " while they moved" if now.moved else "",
            )
        raise transient_error(
            f"wecantrack's list moved, or named rows twice, in {self._passes} passes over one window ({now.keys} of "
            f"{now.total} transactions seen in the last): run again; the window stays open until it was read whole."
        )

    def _pages(self, first: Page, now: Pass) -> Iterator[Page]:
        """Yield page 1, the last page and so on back to page 2, and page 1 again."""
        yield first
        for number in range(first.last_page, 1, -1):
            yield self._next(number, first, now)
        if first.last_page > 1:
            again = self._next(1, first, now)
            keys, repeated, twins, still = now.keys, now.repeated, now.twins, not now.moved
            yield again
            # Under a total that stands, a new row on page 1 means that one entered as another left.
            now.grew = now.grew or (still and now.keys > keys)
            now.repeated, now.twins = repeated, twins

    def _next(self, number: int, first: Page, now: Pass) -> Page:
        page = self._fetch(number)
        now.grew = now.grew or page.total > now.total or page.per_page != first.per_page
        now.total = page.total
        return page

    def _tell_of_twins(self, now: Pass) -> None:
        if now.keys < now.total:
            LOGGER.warning(
                "%s transactions of this window share account and transaction id with another: a destination that "
                "removes duplicates by transaction_key keeps one of each.",
                now.total - now.keys,
            )
