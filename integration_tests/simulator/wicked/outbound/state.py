"""The state of the outbound side: the processed book, when it is made anew, open cursors, the throttle, mutations.

"It might take up to 24 hours for these to appear in the response" (S1, "List all clicks"): rows become visible at the
first processing tick after they arrived. There is one a day, at 06:00 UTC of the simulated clock [guess].
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .cursors import Cursors
from .mutations import OutboundMutations
from .snapshot import Book, Ids
from .throttle import OutboundThrottle

if TYPE_CHECKING:
    from ...world import World

_DAY = 86_400
_TICK_SECOND = 6 * 3600


class Outbound:
    """Everything that the outbound API adds to the inbound store."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.throttle = OutboundThrottle(world.clock)
        self.cursors = Cursors()
        self.mutations = OutboundMutations(world)
        self.reset()

    def reset(self) -> None:
        """Forget cursors, limits, mutations and what was processed; the inbound rows stay."""
        self.throttle.reset()
        self.cursors.reset()
        self.mutations.reset()
        #: why requests were answered with 400, which the vendor's one sentence does not tell
        self.complaints: deque[str] = deque(maxlen=100)
        self.pages_served = 0
        self.forget_rows()

    def forget_rows(self) -> None:
        """Begin with an empty book, as after a reset of the inbound store."""
        self.flipped: frozenset[int] = frozenset()
        self._ids = Ids()
        self._book: Book | None = None
        self._made_of: object = None
        self._tick = self._tick_now()

    def _tick_now(self) -> int:
        return (self._world.clock.second() - _TICK_SECOND) // _DAY

    def advance(self) -> None:
        """Process what has arrived if a tick has passed since; called before a request is answered."""
        tick = self._tick_now()
        if tick > self._tick:
            self.process()
        self._tick = tick

    def process(self) -> None:
        """Make everything visible that the store holds now."""
        store = self._world.wicked
        made_of = (id(store), store.revision, self.flipped, self._world.switches["wicked.known_email"])
        if self._book is None or made_of != self._made_of:
            self._book = Book(store, self._world.switches, self._ids, self.flipped)
            self._made_of = made_of

    def book(self) -> Book:
        """Return what is visible."""
        if self._world.switches["outbound.processing"] == "immediate":
            self.process()
        if self._book is None:
            self._book = Book(type(self._world.wicked)(), self._world.switches, self._ids, self.flipped)
            self._made_of = None
        return self._book
