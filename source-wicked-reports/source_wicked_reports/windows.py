"""Windows of days, and what to ask for so that no reading of `from` and `to` loses a row.

The reference (Outbound API 2020, "List all contacts", "orders", "clicks") names `from` "the start date" and `to` the
"date until which to look", as YYYY-MM-DD. Whether these days themselves are inside is not said, nor their time zone.
So each window is asked for with a day more at either end. With both ends inside it brings three days of its neighbours,
with both outside exactly its own days; in every reading, in any zone, the windows of a run meet without a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Days:
    """Whole days from `first` to `last`, both inside."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """Return how many days these are."""
        return (self.last - self.first).days + 1

    @property
    def asked(self) -> dict[str, str]:
        """Return the parameters `from` and `to`; their difference is one more than the number of days."""
        return {"from": (self.first - _DAY).isoformat(), "to": (self.last + _DAY).isoformat()}

    @property
    def narrow(self) -> tuple[dict[str, str], ...]:
        """Return the parameters for these days alone, for them with the day before, and with the day behind."""
        first, last = self.first.isoformat(), self.last.isoformat()
        wide = self.asked
        return {"from": first, "to": last}, {"from": wide["from"], "to": last}, {"from": first, "to": wide["to"]}

    def parts(self, longest: int) -> Iterator[Days]:
        """Cut into windows of at most `longest` days."""
        first = self.first
        while first <= self.last:
            last = min(first + timedelta(days=longest - 1), self.last)
            yield Days(first, last)
            first = last + _DAY

    def fitting(self, total: int, most: int) -> int:
        """Return into windows of how many days to cut, so that of `total` rows, spread evenly, each has at most `most`.

        Always fewer days than these, and at least one: a day is the finest that the vendor can be asked for.
        """
        return max(1, min((self.count + 2) * most // max(total, 1) - 2, self.count - 1))
