"""The whole state of the simulator: the shared core and one state per vendor."""

from __future__ import annotations

from collections.abc import Callable

from .bigcommerce.state import Bigcommerce
from .clock import Clock
from .core import Core
from .faults import Faults
from .request_log import RequestLog
from .sovrn.state import Sovrn
from .wecantrack.state import Wecantrack
from .wicked.outbound.state import Outbound
from .wicked.state import Wicked

PARTS = (
    "switches", "keys", "faults", "throttle", "log", "mutations", "clock", "wecantrack", "wicked", "outbound", "sovrn",
    "bigcommerce",
)  # fmt: skip


class World:
    """Everything in memory. Handlers run one at a time on one event loop, so there are no locks."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.core = Core(clock or Clock())
        self.clock, self.switches, self.keys = self.core.clock, self.core.switches, self.core.keys
        self.faults = Faults()
        self.log = RequestLog()
        self.wecantrack = Wecantrack(self.core)
        self.wicked = Wicked(self.core)
        self.outbound = Outbound(self.core, self.wicked.live)
        self.sovrn = Sovrn(self.core)
        self.bigcommerce = Bigcommerce(self.core)

    def advance(self) -> None:
        """Apply everything scripted up to the current time."""
        self.wecantrack.advance()
        self.sovrn.advance()
        self.outbound.advance()
        self.bigcommerce.advance()

    def reset(self, parts: tuple[str, ...] = PARTS) -> None:
        """Return the named parts to their initial state, in this order."""
        if unknown := set(parts) - set(PARTS):
            raise ValueError(f"unknown parts {sorted(unknown)}; the parts are {', '.join(PARTS)}")
        resets: dict[str, Callable[[], None]] = {
            "throttle": self.wecantrack.throttle.reset,
            "mutations": self.wecantrack.mutations.reset,
            "wicked": self._reset_wicked,
        }
        for part in parts:
            (resets.get(part) or getattr(self, part).reset)()

    def _reset_wicked(self) -> None:
        self.wicked.reset()
        self.outbound.forget_rows()
