"""Base of the stores whose rows change at scripted instants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sized

from .date_index import DateIndex


class ScriptedStore(ABC):
    """Applies a script of (instant, row number) pairs; `visible` counts rows with a current state."""

    def _start(self, rows: Sized, script: Iterable[tuple[int, int]]) -> None:
        """Start again with these rows and their script; nothing is visible until `advance`."""
        self._all_rows = rows
        self._script = DateIndex(script)
        self._now = 0
        self.visible = 0
        #: increases with every change
        self.revision = 0

    @abstractmethod
    def _update(self, numbers: Iterable[int]) -> None:
        """Set the current state of these rows, and index them by it."""

    def advance(self, now: int) -> None:
        """Apply everything scripted up to `now`, or undo what is scripted after it if the clock was set back."""
        if now == self._now:
            return
        past = now < self._now
        due = range(len(self._all_rows)) if past else set(self._script.between(self._now + 1, now))
        self._now = now
        self._update(due)

    def states_to_come(self) -> int:
        """Count the scripted states that are not in force yet."""
        return self._script.count_after(self._now)
