"""Sovrn's transactions, indexed by the three dates that a request may name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..date_index import DateIndex
from ..scripted_store import ScriptedStore
from .responses import CompressedBody
from .transactions import RowFormat, SovrnRow, SovrnState, bounds_of

DATES = ("clickDate", "commissionDate", "updateDate")
_BULK = 2000  # from this many changed rows on, sorting everything once is cheaper than moving single keys


@dataclass(frozen=True)
class SovrnQuery:
    """One request's filters: (date field, day) pairs, all of which must match, and ids (B4)."""

    days: tuple[tuple[str, str], ...]
    campaigns: frozenset[int] | None = None
    merchants: frozenset[int] | None = None
    program_type: str | None = None


@dataclass(frozen=True)
class Campaign:
    """One of the publisher's sites, as the campaigns call lists it [spec]."""

    campaign_id: int
    name: str
    approval: str = "Approved"
    category: str = "Apparel & Accessories"

    def row(self) -> dict[str, object]:
        """Return the row of the campaigns call; `apiKey`, which is public at Sovrn, is a placeholder."""
        return {
            "campaignId": self.campaign_id,
            "apiKey": f"{self.campaign_id:032x}",
            "name": self.name,
            "approvalStatus": self.approval,
            "category": self.category,
            "platform": "WordPress",
            "applicationType": "Blog",
        }


class SovrnStore(ScriptedStore):
    """All rows with their scripted states; a row's number is its position."""

    def __init__(self) -> None:
        self.campaigns: dict[int, Campaign] = {}
        self.add_campaigns([Campaign(9000001, "PRIMARY")])  # the name in the vendor's example
        self.seed = 7
        self.load([])

    def load(self, rows: list[SovrnRow]) -> None:
        """Replace all rows; nothing is visible until `advance`."""
        self.rows = rows
        self._numbers = {(row.revenue_id, row.commission_id): number for number, row in enumerate(rows)}
        self._indexes = {name: DateIndex() for name in DATES}
        script = ((state.visible_at, number) for number, row in enumerate(rows) for state in row.states)
        self._start(rows, script)
        self._cache: dict[tuple[int, SovrnQuery, RowFormat], CompressedBody] = {}

    def _update(self, numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        if not numbers:
            return
        self.revision += 1
        bulk = len(numbers) > _BULK
        for number in numbers:
            row = self.rows[number]
            before = row.instants() if row.current else (None, None, None)
            row.current = row.state_at(self._now)
            after = row.instants() if row.current else (None, None, None)
            self.visible += (after[0] is not None) - (before[0] is not None)
            if not bulk:
                for name, old, new in zip(DATES, before, after, strict=True):
                    if old != new:
                        self._indexes[name].move(number, old, new)
        if bulk:
            self._rebuild()

    def _rebuild(self) -> None:
        instants = [(number, row.instants()) for number, row in enumerate(self.rows) if row.current]
        for position, name in enumerate(DATES):
            self._indexes[name].rebuild((dates[position], number) for number, dates in instants)

    def select(self, query: SovrnQuery, zone: str) -> list[SovrnRow]:
        """Return the visible rows that match; by update date, a row is found only on its latest (B6)."""
        found = [self._indexes[name].between(*bounds_of(day, zone)) for name, day in query.days]
        numbers = sorted(set(found[0]).intersection(*found[1:]))
        return [row for row in (self.rows[number] for number in numbers) if _matches(row, query)]

    def clicked(self, first: str, end: str, zone: str) -> list[SovrnRow]:
        """Return the visible rows clicked from `first` up to `end`, which is not included."""
        start, stop = bounds_of(first, zone)[0], bounds_of(end, zone)[0] - 1
        return [self.rows[number] for number in self._indexes["clickDate"].between(start, stop)]

    def cached(self, query: SovrnQuery, row_format: RowFormat) -> CompressedBody | None:
        """Return the body of a big day that was encoded before and has not changed since."""
        return self._cache.get((self.revision, query, row_format))

    def cache(self, query: SovrnQuery, row_format: RowFormat, body: CompressedBody) -> CompressedBody:
        """Keep the body of a big day for later requests, at most two of them."""
        kept = [(key, value) for key, value in self._cache.items() if key[0] == self.revision]
        self._cache = dict([*kept[-1:], ((self.revision, query, row_format), body)])
        return body

    def find(self, revenue_id: str, commission_id: str) -> SovrnRow | None:
        """Return a row by its natural key, or None."""
        number = self._numbers.get((revenue_id, commission_id))
        return None if number is None else self.rows[number]

    def write(self, row: SovrnRow, state: SovrnState) -> None:
        """Add a state to a row, and the row itself if it is new."""
        key = (row.revenue_id, row.commission_id)
        if key not in self._numbers:
            self._numbers[key] = len(self.rows)
            self.rows.append(row)
        row.add(state)
        self._script.add(self._numbers[key], state.visible_at)
        if state.visible_at <= self._now:
            self._update([self._numbers[key]])

    def refresh(self) -> None:
        """Index everything again after fixed fields were edited."""
        self._rebuild()
        self.revision += 1

    def add_campaigns(self, campaigns: Iterable[Campaign]) -> None:
        """Add sites, replacing those with the same id."""
        self.campaigns.update((campaign.campaign_id, campaign) for campaign in campaigns)


def _matches(row: SovrnRow, query: SovrnQuery) -> bool:
    return (
        (query.campaigns is None or row.common["campaignId"] in query.campaigns)
        and (query.merchants is None or row.common["merchantGroupId"] in query.merchants)
        and (query.program_type is None or row.program_type.upper() == query.program_type)
    )
