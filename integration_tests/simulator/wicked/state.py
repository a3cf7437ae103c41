"""The state of the inbound side of Wicked Reports."""

from __future__ import annotations

from ..core import Core
from .store import WickedStore


class Wicked:
    """Two stores: the live one, and the one behind the `test: 1` header."""

    def __init__(self, core: Core) -> None:
        self.switches, self.keys = core.switches, core.keys
        self.live = WickedStore()
        self.test = WickedStore()

    def store(self, *, test: bool) -> WickedStore:
        """Return one of the two stores."""
        return self.test if test else self.live

    def reset(self) -> None:
        """Empty both stores."""
        self.live.reset()
        self.test.reset()
