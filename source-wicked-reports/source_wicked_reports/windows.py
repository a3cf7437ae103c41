"""Windows of days, and request parameters that lose no row under any reading of `from` and `to`.

The reference does not say whether `from` and `to` are inclusive, nor in which time zone its days are
(docs/vendors/wicked-reports.md 5.4). Each window is therefore requested with one more day at either end. If both ends
are inclusive, it covers three days of its neighbors; if both are exclusive, exactly its own days. Under every reading,
in any time zone, the windows of a run meet without a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Days:
    """Whole days from `first` to `last`, both inclusive."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """Return the number of days."""
        return (self.last - self.first).days + 1

    @property
    def query_params(self) -> dict[str, str]:
        """Return `from` and `to` with a day more at either end; their difference is `count` + 1 days."""
        return {"from": (self.first - _DAY).isoformat(), "to": (self.last + _DAY).isoformat()}

    @property
    def exact_params(self) -> tuple[dict[str, str], ...]:
        """Return `from` and `to` of these days alone, with the day before, and with the day after."""
        first, last = self.first.isoformat(), self.last.isoformat()
        wide = self.query_params
        return {"from": first, "to": last}, {"from": wide["from"], "to": last}, {"from": first, "to": wide["to"]}

    def parts(self, length: int) -> Iterator[Days]:
        """Split into windows of at most `length` days."""
        first = self.first
        while first <= self.last:
            last = min(first + timedelta(days=length - 1), self.last)
            yield Days(first, last)
            first = last + _DAY

    def max_days(self, total: int, max_rows: int) -> int:
        """Return the window length in days at which `total` evenly spread rows make at most `max_rows` per window.

        Always shorter than `count`, but at least one day, the shortest window that the API supports.
        """
        return max(1, min((self.count + 2) * max_rows // max(total, 1) - 2, self.count - 1))
