"""Counts the records of each STATE: those that were delivered, and those of which a row failed.

A record is known by its sequence, its position in the input. Two bytes are kept for each record whose STATE was not
released yet: the number of its stream, and whether a row of it failed.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

StreamKey = tuple[str, str]

#: Records that are forgotten at a time.
_PRUNED_AT_ONCE = 1 << 16


@dataclass(slots=True, frozen=True)
class Span:
    """The records that a STATE covers: for each stream, by its number, those after `start` up to `end`."""

    starts: dict[int, int]
    end: int


class RecordCounts:
    """Numbers the records in order of arrival, from 1."""

    def __init__(self) -> None:
        #: how many records arrived, and of how many a row was rejected or is in doubt
        self.received = 0
        self.rejected = 0
        self._numbers: dict[StreamKey, int] = {}
        #: by stream: the end of its last STATE that arrived, of its last one that was released, and its last record
        self._started: list[int] = []
        self._released: list[int] = []
        self._last: list[int] = []
        #: for each record after `_pruned`: the number of its stream, doubled, plus 1 if a row of it failed
        self._marks = array("H")
        self._pruned = 0

    def add(self, key: StreamKey) -> int:
        """Count a record and return its sequence."""
        self.received += 1
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            self._started.append(self.received - 1)
            self._released.append(self.received - 1)
            self._last.append(0)
        self._last[number] = self.received
        self._marks.append(2 * number)
        return self.received

    def reject(self, sequence: int) -> None:
        """Count a record as rejected, once. Sequences of no record are ignored."""
        index = sequence - self._pruned - 1
        if 0 <= index < len(self._marks) and not self._marks[index] & 1:
            self._marks[index] |= 1
            self.rejected += 1

    def span(self, key: StreamKey | None) -> Span:
        """Return what a STATE that arrived just now covers: records of its stream, or of all streams."""
        numbers = [self._numbers[key]] if key in self._numbers else range(len(self._numbers)) if key is None else ()
        starts = {number: self._started[number] for number in numbers}
        for number in numbers:
            self._started[number] = self.received
        return Span(starts, self.received)

    def release(self, span: Span) -> tuple[int, int]:
        """Return how many records of a STATE were delivered and rejected, and forget them."""
        delivered = rejected = 0
        for number, start in span.starts.items():
            marks = self._marks[start - self._pruned : span.end - self._pruned]
            delivered += marks.count(2 * number)
            rejected += marks.count(2 * number + 1)
            self._released[number] = span.end
        self._prune()
        return delivered, rejected

    def _prune(self) -> None:
        needed = [done for done, last in zip(self._released, self._last, strict=True) if last > done]
        rest = min(needed, default=self.received) - self._pruned
        if rest >= _PRUNED_AT_ONCE:
            del self._marks[:rest]
            self._pruned += rest
