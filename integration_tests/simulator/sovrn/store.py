"""The transactions that Sovrn holds, as far as they have happened, indexed by the three dates one may ask for."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

from ..wecantrack.store import DateIndex
from .responses import Packed
from .transactions import SovrnRow, SovrnState, Wire, bounds_of

DATES = ("clickDate", "commissionDate", "updateDate")
_SHIFT = 24
_MASK = (1 << _SHIFT) - 1
_BULK = 2000


@dataclass(frozen=True)
class SovrnQuery:
    """What one request asks for: days by date, all of which must hold, and filters (B4)."""

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
        """Return the row of the campaigns call; `apiKey` is public at Sovrn, and here nothing at all."""
        return {
            "campaignId": self.campaign_id,
            "apiKey": f"{self.campaign_id:032x}",
            "name": self.name,
            "approvalStatus": self.approval,
            "category": self.category,
            "platform": "WordPress",
            "applicationType": "Blog",
        }


class SovrnStore:
    """All rows, and what of them is visible now."""

    def __init__(self) -> None:
        self.campaigns: dict[int, Campaign] = {}
        self.add_campaigns([Campaign(9000001, "PRIMARY")])  # the site that the vendor's example calls so
        self.seed = 7
        self.load([])

    def load(self, rows: list[SovrnRow]) -> None:
        """Replace all rows; nothing is visible until `advance`."""
        self.rows = rows
        self._places = {(row.revenue_id, row.commission_id): place for place, row in enumerate(rows)}
        self._indexes = {name: DateIndex() for name in DATES}
        self._pending = sorted((state.visible_at << _SHIFT) | n for n, row in enumerate(rows) for state in row.states)
        self._now = 0
        self.visible = 0
        self.revision = 0
        self._packed: dict[tuple[int, SovrnQuery, Wire], Packed] = {}

    def advance(self, now: int) -> None:
        """Let everything scripted up to `now` happen; when the clock went back, let it un-happen."""
        if now == self._now:
            return
        if now < self._now:
            due: set[int] | range = range(len(self.rows))
        else:
            first, last = (bisect_left(self._pending, (instant + 1) << _SHIFT) for instant in (self._now, now))
            due = {key & _MASK for key in self._pending[first:last]}
        self._now = now
        self._show(due)

    def _show(self, places: Iterable[int]) -> None:
        places = list(places)
        if not places:
            return
        self.revision += 1
        bulk = len(places) > _BULK
        for place in places:
            row = self.rows[place]
            before = row.instants() if row.shown else (None, None, None)
            row.shown = row.state_at(self._now)
            after = row.instants() if row.shown else (None, None, None)
            self.visible += (after[0] is not None) - (before[0] is not None)
            if not bulk:
                for name, old, new in zip(DATES, before, after, strict=True):
                    if old != new:
                        self._indexes[name].move(place, old, new)
        if bulk:
            self._rebuild()

    def _rebuild(self) -> None:
        instants = [(place, row.instants()) for place, row in enumerate(self.rows) if row.shown]
        for position, name in enumerate(DATES):
            self._indexes[name].rebuild((dates[position], place) for place, dates in instants)

    def select(self, query: SovrnQuery, zone: str) -> list[SovrnRow]:
        """Return the visible rows that match. One is found under its latest update only (delta queries, B6)."""
        found = [self._indexes[name].between(*bounds_of(day, zone)) for name, day in query.days]
        places = sorted(set(found[0]).intersection(*found[1:]))
        return [row for row in (self.rows[place] for place in places) if _matches(row, query)]

    def clicked(self, first: str, end: str, zone: str) -> list[SovrnRow]:
        """Return the visible rows clicked from one day up to another, which is not included."""
        start, stop = bounds_of(first, zone)[0], bounds_of(end, zone)[0] - 1
        return [self.rows[place] for place in self._indexes["clickDate"].between(start, stop)]

    def packed(self, query: SovrnQuery, wire: Wire) -> Packed | None:
        """Return a big day that was encoded before and has not changed since."""
        return self._packed.get((self.revision, query, wire))

    def keep(self, query: SovrnQuery, wire: Wire, packed: Packed) -> Packed:
        """Keep a big day for the next time it is asked for; two at most."""
        kept = [(key, value) for key, value in self._packed.items() if key[0] == self.revision]
        self._packed = dict([*kept[-1:], ((self.revision, query, wire), packed)])
        return packed

    def find(self, revenue_id: str, commission_id: str) -> SovrnRow | None:
        """Return a row by its natural key, or None."""
        place = self._places.get((revenue_id, commission_id))
        return None if place is None else self.rows[place]

    def write(self, row: SovrnRow, state: SovrnState) -> None:
        """Add a state to a row, and the row itself when it is new."""
        key = (row.revenue_id, row.commission_id)
        if key not in self._places:
            self._places[key] = len(self.rows)
            self.rows.append(row)
        row.add(state)
        insort(self._pending, (state.visible_at << _SHIFT) | self._places[key])
        if state.visible_at <= self._now:
            self._show([self._places[key]])

    def refresh(self) -> None:
        """Index everything anew after facts were edited."""
        self._rebuild()
        self.revision += 1

    def to_come(self) -> int:
        """Count the scripted states that have not come into force yet."""
        return len(self._pending) - bisect_left(self._pending, (self._now + 1) << _SHIFT)

    def add_campaigns(self, campaigns: Iterable[Campaign]) -> None:
        """Add sites, or replace those of the same id."""
        self.campaigns.update((campaign.campaign_id, campaign) for campaign in campaigns)


def _matches(row: SovrnRow, query: SovrnQuery) -> bool:
    return (
        (query.campaigns is None or row.common["campaignId"] in query.campaigns)
        and (query.merchants is None or row.common["merchantGroupId"] in query.merchants)
        and (query.program_type is None or row.program_type.upper() == query.program_type)
    )
