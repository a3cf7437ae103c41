"""Wicked Reports' limit of requests per minute, shared by everything that reads its Outbound API in a run.

The reference does not say how the minute is counted, so no 60 seconds contain more requests than the limit, wherever
they begin. `x-ratelimit-reset` has no documented unit (docs/vendors/wicked-reports.md 1).
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from . import rate_limit
from .rate_limit import MIN_UNIX_MILLISECONDS, WINDOW_MARGIN, FixedWindowLimiter, parse_natural, wait

_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?")
#: Smaller numbers are seconds left: 10^8 seconds are three years, and as UNIX time they are in 1973.
_MIN_UNIX_SECONDS = 10**8
_MIN_LOGGED_WAIT = 1.0


class SlidingWindowLimiter(FixedWindowLimiter):
    """At most `limit` requests in any `seconds`.

    A request counts until `seconds`, plus a margin for clock differences, after its response began: it cannot have
    arrived later. `x-ratelimit-limit` may lower the limit, never raise it. If `x-ratelimit-remaining` is lower than our
    own count, something else made requests; these count until `x-ratelimit-reset`.
    """

    def __init__(self, limit: int, seconds: float = 60.0) -> None:
        super().__init__(limit, seconds)
        self._ceiling, self._span = limit, seconds + WINDOW_MARGIN
        #: When each counted request stops counting, in order.
        self._expirations: list[float] = []
        self._in_flight = False
        self._progress = ""
        self.requests = 0

    def set_progress(self, progress: str) -> None:
        """Set what the next wait logs: what is being read, and how long the rest takes."""
        self._progress = progress

    def acquire(self) -> None:
        """Count one request; wait first while the limit is reached."""
        self._expire()
        excess = len(self._expirations) - self.limit
        if excess >= 0:
            # not longer than the window, even if the clock was set back
            seconds = min(self._expirations[excess] - rate_limit.CLOCK.now(), self._span)
            if seconds >= _MIN_LOGGED_WAIT:
                wait(seconds, f"{self._limit_reached()}{f'; {self._progress}' if self._progress else ''}")
            elif seconds > 0:
                rate_limit.CLOCK.sleep(seconds)
            del self._expirations[: excess + 1]
        self._in_flight = True
        self.requests += 1

    def update(self, headers: Mapping[str, str]) -> None:
        """Record that the request has arrived, and count the requests of others that the headers reveal."""
        self._expire()
        limit, remaining = (parse_natural(headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining"))
        if limit:
            self.limit = min(self._ceiling, limit)
        if remaining is not None:
            foreign = self.limit - remaining - len(self._expirations)
            now = rate_limit.CLOCK.now()
            end = reset_time(headers.get("x-ratelimit-reset"), now)
            end = min(end + WINDOW_MARGIN, now + self._span) if end is not None and end > now else now + self._span
            for _ in range(foreign):
                insort(self._expirations, end)

    def reset(self) -> None:
        """Do nothing: requests of the last minute still count after a wait that the vendor requested."""

    def _expire(self) -> None:
        now = rate_limit.CLOCK.now()
        del self._expirations[: bisect_right(self._expirations, now)]
        if self._in_flight:
            self._in_flight = False
            insort(self._expirations, now + self._span)


def reset_time(text: str | None, now: float) -> float | None:
    """Return UNIX seconds from UNIX seconds or milliseconds, seconds left, or a date; None for anything else."""
    text = (text or "").strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= MIN_UNIX_MILLISECONDS:
            return number / 1000
        return number if number >= _MIN_UNIX_SECONDS else now + number
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return None
    return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
