"""The whole state of the simulated world: one clock, one set of switches, one store per vendor."""

from __future__ import annotations

from .bigcommerce.store import BigcommerceStore
from .clock import Clock
from .faults import Faults
from .keys import Keys
from .request_log import RequestLog
from .sovrn.store import SovrnStore
from .sovrn.throttle import SovrnPace
from .switches import Switches
from .wecantrack.accounts import Directory
from .wecantrack.mutations import Mutations
from .wecantrack.store import TransactionStore
from .wecantrack.throttle import Throttle
from .wicked.outbound.state import Outbound
from .wicked.store import WickedStore

PARTS = (
    "switches", "keys", "faults", "throttle", "log", "mutations", "clock", "wecantrack", "wicked", "outbound", "sovrn",
    "bigcommerce",
)  # fmt: skip


class World:
    """Everything in memory; handlers run one at a time on one loop, so nothing here needs a lock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.switches = Switches()
        self.keys = Keys()
        self.faults = Faults()
        self.throttle = Throttle(self.clock)
        self.log = RequestLog()
        self.mutations = Mutations(self)
        self.directory = Directory()
        self.transactions = TransactionStore()
        self.wicked = WickedStore()
        self.wicked_test = WickedStore()
        self.sovrn = SovrnStore()
        self.sovrn_pace = SovrnPace(self.clock)
        self.outbound = Outbound(self)
        self.bigcommerce = BigcommerceStore()

    def advance(self) -> None:
        """Let everything happen that is scripted up to now."""
        self.transactions.advance(self.clock.second())
        self.sovrn.advance(self.clock.second())
        self.outbound.advance()
        self.bigcommerce.advance(self.clock.second())

    def reset(self, parts: tuple[str, ...] = PARTS) -> None:
        """Put the named parts back to how they were at the start."""
        if unknown := set(parts) - set(PARTS):
            raise ValueError(f"nothing named {sorted(unknown)}; there are {', '.join(PARTS)}")
        for part in parts:
            if part == "wecantrack":
                self.directory = Directory()
                self.transactions = TransactionStore()
            elif part == "wicked":
                self.wicked, self.wicked_test = WickedStore(), WickedStore()
                self.outbound.forget_rows()
            elif part == "sovrn":
                self.sovrn = SovrnStore()
                self.sovrn_pace.reset()
            elif part == "bigcommerce":
                self.bigcommerce = BigcommerceStore()
            else:
                getattr(self, part).reset()
