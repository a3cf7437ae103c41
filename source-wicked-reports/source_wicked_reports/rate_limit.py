"""The requests of a minute, over all streams of a run, and the vendor's word on when there are more.

"The Wicked Reports Outbound API will by default be throttling your requests to 120 requests per minute" (reference,
"Throttling"). How the minute is counted is not said, so no 60 seconds hold more requests than that, wherever they
begin. `x-ratelimit-reset` is "the time when your limit resets", without a unit.
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from .base import rate_limit
from .base.rate_limit import MILLISECONDS_FROM, WINDOW_MARGIN, FixedWindowLimiter, natural, wait

_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?")
_UNIX_FROM = 10**8  # smaller numbers are seconds left: 10^8 of them are three years, as UNIX time it is 1973
_SHORTEST_ANNOUNCED = 1.0


class SlidingWindowLimiter(FixedWindowLimiter):
    """At most `calls` requests in any `seconds`.

    A request counts until `seconds` (and a margin for two clocks) after its reply began, because it cannot have arrived
    later than that. `x-ratelimit-limit` may lower the number of calls, never raise it. When `x-ratelimit-remaining`
    says that fewer are left than we counted, somebody else spent them: they count as spent until `x-ratelimit-reset`.
    """

    def __init__(self, calls: int, seconds: float = 60.0) -> None:
        super().__init__(calls, seconds)
        self._ceiling, self._span = calls, seconds + WINDOW_MARGIN
        self._ends: list[float] = []
        self._under_way = False
        self._told = ""
        self.requests = 0

    def tell(self, told: str) -> None:
        """Say what is being read and how long the rest takes, for the announcement of the next wait."""
        self._told = told

    def take(self) -> None:
        """Count one request; wait first while the budget is used up."""
        self._settle()
        spare = len(self._ends) - self.calls
        if spare >= 0:
            # a clock that was set back must not make the wait longer than the window
            seconds = min(self._ends[spare] - rate_limit.CLOCK.now(), self._span)
            if seconds >= _SHORTEST_ANNOUNCED:
                told = f"; {self._told}" if self._told else ""
                wait(seconds, f"the budget of {self.calls} requests in {self._seconds:g} s is used up{told}")
            elif seconds > 0:
                rate_limit.CLOCK.sleep(seconds)
            del self._ends[: spare + 1]
        self._under_way = True
        self.requests += 1

    def learn(self, headers: Mapping[str, str]) -> None:
        """Note that the request had arrived by now, and what the vendor says of its own count."""
        self._settle()
        limit, remaining = natural(headers.get("x-ratelimit-limit")), natural(headers.get("x-ratelimit-remaining"))
        if limit:
            self.calls = min(self._ceiling, limit)
        if remaining is not None:
            foreign = self.calls - remaining - len(self._ends)
            now = rate_limit.CLOCK.now()
            end = reset_time(headers.get("x-ratelimit-reset"), now)
            end = min(end + WINDOW_MARGIN, now + self._span) if end is not None and end > now else now + self._span
            for _ in range(foreign):
                insort(self._ends, end)

    def renew(self) -> None:
        """Do nothing: after a wait that the vendor asked for, what was sent in the last minute still counts."""

    def _settle(self) -> None:
        now = rate_limit.CLOCK.now()
        del self._ends[: bisect_right(self._ends, now)]
        if self._under_way:
            self._under_way = False
            insort(self._ends, now + self._span)


def reset_time(text: str | None, now: float) -> float | None:
    """Return as UNIX seconds what may be UNIX seconds, milliseconds, seconds left or a date; None if it is none."""
    text = (text or "").strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= MILLISECONDS_FROM:
            return number / 1000
        return number if number >= _UNIX_FROM else now + number
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return None
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
