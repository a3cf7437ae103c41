"""The state of the BigCommerce side."""

from __future__ import annotations

from ..core import Core
from .store import BigcommerceStore


class Bigcommerce:
    """One shop."""

    def __init__(self, core: Core) -> None:
        self.clock, self.switches, self.keys = core.clock, core.switches, core.keys
        self.store = BigcommerceStore()

    def advance(self) -> None:
        """Apply every scripted change up to the current time."""
        self.store.advance(self.clock.second())

    def reset(self) -> None:
        """Empty the shop and its script."""
        self.store = BigcommerceStore()
