"""Rows by date: a sorted list in which a time window is two bisections."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

_SHIFT = 24  # date and row number in one integer, which sorts without tuples; room for 16 million rows
_MASK = (1 << _SHIFT) - 1


class DateIndex:
    """Row numbers sorted by their date, in epoch seconds; one row may be entered under several dates."""

    def __init__(self, dated: Iterable[tuple[int, int]] = ()) -> None:
        self.rebuild(dated)

    def rebuild(self, dated: Iterable[tuple[int, int]]) -> None:
        """Start again from (date, row) pairs."""
        self._keys = sorted((date << _SHIFT) | row for date, row in dated)

    def add(self, row: int, date: int) -> None:
        """Enter a row under a date."""
        insort(self._keys, (date << _SHIFT) | row)

    def move(self, row: int, old: int | None, new: int | None) -> None:
        """Move a row from one date to another; None stands for not being entered."""
        if old is not None:
            del self._keys[bisect_left(self._keys, (old << _SHIFT) | row)]
        if new is not None:
            self.add(row, new)

    def between(self, start: int, end: int) -> list[int]:
        """Return the rows from `start` to `end`, both included, by date and then by number."""
        low, high = bisect_left(self._keys, start << _SHIFT), bisect_left(self._keys, (end + 1) << _SHIFT)
        return [key & _MASK for key in self._keys[low:high]]

    def count_after(self, date: int) -> int:
        """Return how many entries are later than `date`."""
        return len(self._keys) - bisect_left(self._keys, (date + 1) << _SHIFT)
