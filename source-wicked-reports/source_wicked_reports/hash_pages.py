"""Reading the pages of one window along the vendor's hash, and telling a list that stood still from one that moved.

The reference's samples carry `next` on page 1 of 1, and the same hash in question and answer, so neither a missing nor
an unchanged hash says anything. The end is `page >= totalPages` or an empty page. Rows are given while they come; a
pass that turns out to have missed some is read again, and then gives only what is new. Clicks have no id: two that are
alike on one page are two clicks, but alike on two pages they may be one that moved, so these are given only when a
second pass finds them in the same number.
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


class OutOfTurnError(Exception):
    """A page that cannot follow the one before it: the server's place in the list is not ours any more.

    `refusal` is what to raise when this comes to the end of all passes.
    """

    def __init__(self, message: str, refusal: Exception | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal


class UnsteadyError(AirbyteTracedException):
    """A list that did not hold still while it was read."""


@dataclass(frozen=True)
class Page:
    """One reply: its own count of pages and rows, the hash of the next page, and the rows."""

    number: int
    last: int
    total: int
    next: str | None
    rows: list[Row]


class SeenRows:
    """What this run gave in the present window and the one before it: windows overlap, records need not be doubled."""

    def __init__(self) -> None:
        self._before: set[int] = set()
        self._now: set[int] = set()

    def turn(self) -> None:
        """Begin the next window."""
        self._before, self._now = self._now, set()

    def fresh(self, digest: int) -> bool:
        """Tell whether a row of this digest is still to be given, and remember it."""
        fresh = digest not in self._now and digest not in self._before
        self._now.add(digest)
        return fresh


@dataclass
class Pass:
    """What one pass over a window saw. Rows are named by the hash of their identity."""

    first_total: int = -1
    total: int = 0
    most: int = 0
    shrank: bool = False
    rows: int = 0
    #: identity -> how many rows of it stood on one page at the most; `proven` is the sum
    places: dict[int, int] = field(default_factory=dict)
    proven: int = 0
    #: identity -> content last seen
    contents: dict[int, int] = field(default_factory=dict)
    #: identity -> rows that repeat one of an earlier page
    repeats: dict[int, list[Row]] = field(default_factory=dict)
    #: repeats that differ from the row before them in more than their identity
    differing: int = 0

    def count(self, page: Page) -> None:
        """Take over a page's total."""
        if self.first_total < 0:
            self.first_total = page.total
        self.shrank = self.shrank or page.total < self.total
        self.total, self.most = page.total, max(self.most, page.total)
        self.rows += len(page.rows)

    @property
    def whole(self) -> bool:
        """Tell whether every row was seen: as many as the list ever said it has, and none left it meanwhile."""
        return not self.shrank and self.proven >= self.most

    @property
    def only_grew(self) -> bool:
        """Tell whether rows entered during the pass and none left.

        Those that were there before can only have moved to later pages, and were seen; the new ones come next time.
        """
        return not self.shrank and self.total > self.first_total and self.proven >= self.first_total

    @property
    def still(self) -> bool:
        """Tell whether the total stood and as many rows came, some of them twice."""
        return self.steady and self.rows >= self.total

    @property
    def steady(self) -> bool:
        """Tell whether the total stood."""
        return not self.shrank and self.total == self.first_total

    def repeats_as(self, other: Pass | None) -> bool:
        """Tell whether another pass saw the same rows twice."""
        return other is not None and _sizes(self.repeats) == _sizes(other.repeats)


class Union:
    """What passes saw together since the list's total stands: rows that change places hide others from any one pass."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._total = -1

    def add(self, now: Pass) -> None:
        """Take over what a pass saw; with another total, or one that moved, all begins anew."""
        if not now.steady or now.total != self._total:
            self._places, self._total = {}, now.total if now.steady else -1
        for place, count in now.places.items() if now.steady else ():
            self._places[place] = max(count, self._places.get(place, 0))

    @property
    def proven(self) -> int:
        """Return how many rows were seen."""
        return sum(self._places.values())

    @property
    def whole(self) -> bool:
        """Tell whether all rows were seen."""
        return 0 <= self._total <= self.proven


class HashedPages:
    """The rows of one window: each at least once, and only once as long as it does not change.

    `fetch` returns the first page for None, else the page of a hash. `identity` names a row. `mark`, for rows without
    an id, is told which of several alike a row is (0, 1, ...); without it, a row's identity is its id.
    """

    def __init__(
        self,
        fetch: Callable[[str | None], Page],
        identity: Callable[[Row], str],
        given: SeenRows,
        *,
        mark: Callable[[Row, str, int], None] | None = None,
        passes: int = 5,
    ) -> None:
        self._fetch, self._identity, self._given, self._mark, self._passes = fetch, identity, given, mark, passes

    def rows(self, first: Page | None = None) -> Iterator[Row]:
        """Yield the rows, beginning with `first` if it was fetched already.

        Raises `UnsteadyError` when the list does not hold still for long enough, a transient error when it has no end.
        """
        before: Pass | None = None
        union = Union()
        refusal: Exception | None = None
        for number in range(1, self._passes + 1):
            now = Pass()
            try:
                yield from self._pass(first or self._fetch(None), now)
            except OutOfTurnError as odd:
                trouble, before, refusal = str(odd), None, odd.refusal
            else:
                union.add(now)
                if now.whole or union.whole or (now.only_grew and number > 1):
                    return
                repeated = now.still and now.repeats_as(before) and union.proven == now.proven
                if repeated and (self._mark or now.differing):
                    yield from self._twins(now)
                    return
                trouble, before = f"{now.proven} of {now.most} rows were seen while they moved", now
                refusal = None
            first = None
            LOGGER.info("Pass %s over this window: %s; reading it again.", number, trouble)
        if refusal is not None:
            raise refusal
        message = (
            f"Wicked Reports' list did not hold still in {self._passes} passes over one window ({trouble}): run again; "
            "the window stays open until it was read whole."
        )
        raise UnsteadyError(message, message, FailureType.transient_error)

    def _pass(self, page: Page, now: Pass) -> Iterator[Row]:
        number, hash_, seen, longest = 1, None, set(), 2 * page.last + 100
        while True:
            if page.number != number:
                raise OutOfTurnError(f"page {page.number} came in place of page {number}")
            contents = [hash(orjson.dumps(row)) for row in page.rows]
            names = [self._identity(row) for row in page.rows]
            digest = hash(tuple(contents))
            if digest in seen and (self._mark is None or len(set(names)) > 1):
                raise OutOfTurnError(f"page {number} is the same as an earlier one")
            seen.add(digest)
            now.count(page)
            yield from self._fresh(page, names, contents, now)
            if page.number >= page.last or not page.rows:
                return
            if number >= longest:
                raise transient_error(
                    f"Wicked Reports' list has no end: page {number} says that more follow, and at first there were "
                    f"{(longest - 100) // 2}. Run again; if it recurs, report it to Wicked Reports."
                )
            hash_ = page.next or hash_
            page, number = self._fetch(hash_), number + 1

    def _fresh(self, page: Page, names: list[str], contents: list[int], now: Pass) -> Iterator[Row]:
        here: dict[int, int] = {}
        for row, name, content in zip(page.rows, names, contents, strict=True):
            place = hash(name)
            ordinal = here[place] = here.get(place, -1) + 1
            if ordinal < now.places.get(place, 0):
                now.repeats.setdefault(place, []).append(row)
                if self._mark is not None:
                    continue
                now.differing += now.contents[place] != content
            if self._mark is None:
                now.contents[place] = content
            yield from self._give(row, name, ordinal, content)
        for place, ordinal in here.items():
            more = ordinal + 1 - now.places.get(place, 0)
            if more > 0:
                now.places[place] = ordinal + 1
                now.proven += more

    def _twins(self, now: Pass) -> Iterator[Row]:
        """Give the rows without an id that two passes have found on more than one page."""
        count = sum(map(len, now.repeats.values()))
        if self._mark is None:
            LOGGER.warning(
                "%s rows of this window have the id of another: a destination that removes duplicates keeps one.",
                count,
            )
            return
        for place, rows in now.repeats.items():
            for ordinal, row in enumerate(rows, now.places[place]):
                yield from self._give(row, self._identity(row), ordinal, hash(orjson.dumps(row)))

    def _give(self, row: Row, name: str, ordinal: int, content: int) -> Iterator[Row]:
        if self._given.fresh(hash((name, ordinal if self._mark else 0, content))):
            if self._mark is not None:
                self._mark(row, name, ordinal)
            yield row


def _sizes(repeats: dict[int, list[Row]]) -> dict[int, int]:
    return {place: len(rows) for place, rows in repeats.items()}
