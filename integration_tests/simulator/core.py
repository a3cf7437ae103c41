"""What all vendors share: the clock, the switches and the API keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from .clock import Clock
from .keys import Keys
from .switches import Switches


@dataclass(frozen=True)
class Core:
    """The part of the simulator's state that belongs to no single vendor."""

    clock: Clock
    switches: Switches = field(default_factory=Switches)
    keys: Keys = field(default_factory=Keys)
