"""The state of the Sovrn side."""

from __future__ import annotations

from ..core import Core
from .store import SovrnStore
from .throttle import SovrnThrottle
from .transactions import RowFormat


class Sovrn:
    """Rows, campaigns and the throttle."""

    def __init__(self, core: Core) -> None:
        self.clock, self.switches, self.keys = core.clock, core.switches, core.keys
        self.store = SovrnStore()
        self.throttle = SovrnThrottle(core.clock)

    def advance(self) -> None:
        """Apply every scripted change up to the current time."""
        self.store.advance(self.clock.second())

    def reset(self) -> None:
        """Remove all rows and campaigns, and reset the throttle."""
        self.store = SovrnStore()
        self.throttle.reset()

    @property
    def row_format(self) -> RowFormat:
        """How rows are written with the current switches."""
        names = ("shape", "ids", "numbers", "day_zone")
        return RowFormat(*(self.switches[f"sovrn.{name}"] for name in names))
