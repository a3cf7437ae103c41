"""Reading numbered pages of a list that shrinks while it is read, without losing a row.

A transaction that changes during the read gets a new `last_wct_update`, leaves the window, and every row behind it
moves one place forward, perhaps onto a page that was read already (affiliate-facts 0.2). So: page 1, to learn how many
there are, then from the last page back to page 2, then page 1 again if anything left. Rows only move towards
lower pages, and those are read later: a row that stays in the window cannot slip past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from .digests import Digests, Seen
from .strict_http import LOGGER, transient_error

Row = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """One reply of the paginator: its own numbers, and the rows with their keys."""

    last_page: int
    per_page: int
    total: int
    rows: list[tuple[str, Row]]


class ShiftingPages:
    """The rows of one window; each key at least once, a row that did not change since it was given only once.

    `fetch` returns the page of a number. Rows that enter during a pass move others backwards, onto pages that were read
    already: then, and when fewer keys were seen than the last `total` says, the window is read again, `passes` times
    in all.
    """

    def __init__(self, fetch: Callable[[int], Page], *, passes: int = 4) -> None:
        self._fetch, self._passes = fetch, passes
        self._seen = Digests()
        self._twins = 0

    def rows(self) -> Iterator[Row]:
        """Yield the rows; raise a transient error when the list does not hold still for long enough."""
        total = 0
        for attempt in range(1, self._passes + 1):
            self._twins = 0
            first = latest = self._fetch(1)
            yield from self._fresh(first)
            grew = moved = False
            for number in [*range(first.last_page, 1, -1), 1]:
                if number == 1 and not moved:
                    break
                page = self._fetch(number)
                moved = moved or page.total != latest.total
                grew = grew or page.total > latest.total or page.per_page != first.per_page
                latest = page
                yield from self._fresh(page)
            total = latest.total
            if not grew and len(self._seen) + (0 if moved else self._twins) >= total:
                self._tell_of_twins(total)
                return
            LOGGER.info(
                "Pass %s over this window saw %s of %s transactions%s; reading it again.",
                attempt,
                len(self._seen),
                total,
                " while new ones came in" if grew else "",
            )
        raise transient_error(
            f"wecantrack's list kept changing during {self._passes} passes over one window ({len(self._seen)} of "
            f"{total} transactions seen): run again; the window stays open until it was read whole."
        )

    def _fresh(self, page: Page) -> Iterator[Row]:
        """Yield the rows that are new, or other than when they were given."""
        for key, row in page.rows:
            seen = self._seen.put(key, orjson.dumps(row))
            if seen is not Seen.SAME:
                self._twins += seen is Seen.CHANGED
                yield row

    def _tell_of_twins(self, total: int) -> None:
        if len(self._seen) < total:
            LOGGER.warning(
                "%s transactions of this window share account and transaction id with another: a destination that "
                "removes duplicates by transaction_key keeps one of each.",
                total - len(self._seen),
            )
