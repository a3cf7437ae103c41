"""The state of the outbound side: the current snapshot, open cursors, the throttle and scripted changes.

"It might take up to 24 hours for these to appear in the response" (S1, "List all clicks"): rows become visible at the
first processing after they arrived, which runs once a day, at 06:00 UTC of the simulated clock [guess].
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Any

from ...core import Core
from ..store import WickedStore
from .cursors import Cursors
from .mutations import OutboundMutations
from .params import ListQuery
from .snapshot import Ids, Record, Snapshot
from .throttle import OutboundThrottle

#: "The first 10,000 clicks of a single contact will be returned" (S1); for other lists a [guess]
MAX_ROWS = 10_000
_DAY = 86_400
_PROCESSING_SECOND = 6 * 3600


class Outbound:
    """Everything that the outbound API adds to the inbound store."""

    def __init__(self, core: Core, store: WickedStore) -> None:
        self.clock, self.switches, self.keys = core.clock, core.switches, core.keys
        self.store = store
        self.throttle = OutboundThrottle(core.clock)
        self.cursors = Cursors()
        self.mutations = OutboundMutations(self)
        self.reset()

    def reset(self) -> None:
        """Clear cursors, limits, mutations and the snapshot; the inbound rows stay."""
        self.throttle.reset()
        self.cursors.reset()
        self.mutations.reset()
        #: the reasons of the latest 400s, which the vendor's one message does not name
        self.bad_requests: deque[str] = deque(maxlen=100)
        self.pages_served = 0
        self.forget_rows()

    def forget_rows(self) -> None:
        """Start with an empty snapshot, as after a reset of the inbound store."""
        #: row numbers of clicks whose `isReOptin` a mutation has flipped
        self.flipped: frozenset[int] = frozenset()
        self._ids = Ids()
        self._snapshot: Snapshot | None = None
        self._built_from: object = None
        self._last_day = self._processing_day()

    def _processing_day(self) -> int:
        return (self.clock.second() - _PROCESSING_SECOND) // _DAY

    def advance(self) -> None:
        """Process the inbound rows if the daily processing is due; called before each request."""
        day = self._processing_day()
        if day > self._last_day:
            self.process()
        self._last_day = day

    def process(self) -> None:
        """Make every row visible that the store has now."""
        used = ("wicked.known_email", "wicked.join", "wicked.net", "wicked.partial_refunds")
        built_from = (self.store.revision, self.flipped, *(self.switches[name] for name in used))
        if self._snapshot is None or built_from != self._built_from:
            self._snapshot = Snapshot(self.store, self.switches, self._ids, self.flipped)
            self._built_from = built_from

    def snapshot(self) -> Snapshot:
        """Return what is visible."""
        if self.switches["outbound.processing"] == "immediate":
            self.process()
        if self._snapshot is None:
            self._snapshot = Snapshot(WickedStore(), self.switches, self._ids, self.flipped)
            self._built_from = None
        return self._snapshot

    def select(self, query: ListQuery) -> list[Record]:
        """Return all rows of a list as visible now, in page order."""
        snapshot, (start, end) = self.snapshot(), query.span
        if query.contact is None:
            rows = snapshot.within(query.kind, start, end)
        else:
            contact = snapshot.find(query.contact)
            own: list[Any] = [] if contact is None else getattr(contact, query.kind)
            rows = [record for record in own if start <= record.at < end]
        if self.switches["outbound.nobody"] == "hidden" and query.kind == "orders":
            rows = [record for record in rows if getattr(record, "contact", None) is not None]
        rows = _ordered(rows, self.switches["outbound.order"], self.pages_served)
        if query.unbounded or self.switches["outbound.most_rows"] == "cut_at_10000":
            rows = rows[:MAX_ROWS]
        return rows


def _ordered(rows: list[Record], order: str, request: int) -> list[Record]:
    if order == "date":
        return rows
    if order == "date_desc":
        return rows[::-1]
    if order == "id":
        return sorted(rows, key=lambda record: record.number)
    if order == "unordered":
        return sorted(rows, key=lambda record: _scattered(record.number))
    return sorted(rows, key=lambda record: (record.at, _scattered(record.number + 7919 * request)))


def _scattered(number: int) -> bytes:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).digest()
