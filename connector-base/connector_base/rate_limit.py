"""When a request may leave: the clock, waits that are announced, and how many requests a vendor takes.

Shared by the sources and the same, byte for byte, in each of them. Whoever needs the time asks `rate_limit.CLOCK`,
by that name and each time anew, so that a test replaces the clock in one place.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone

LOGGER = logging.getLogger("airbyte.source")

#: Seconds added to a budget's window: the vendor starts its window when a request arrives, we when it leaves.
WINDOW_MARGIN = 1.0
_LARGEST_BUDGET = 1_000_000
MILLISECONDS_FROM = 10**11  # UNIX seconds reach this in the year 5138, milliseconds reached it in 1973


class Clock:
    """The wall clock; tests put another in its place."""

    def now(self) -> float:
        """Return UNIX seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        time.sleep(seconds)


CLOCK = Clock()


def utc_now() -> datetime:
    """Return the clock's time in whole seconds, UTC."""
    return datetime.fromtimestamp(int(CLOCK.now()), timezone.utc)


def wait(seconds: float, reason: str) -> None:
    """Sleep, but first say why and how long."""
    pause(seconds, f"Waiting {seconds:.1f} s: {reason}")


def pause(seconds: float, announcement: str) -> None:
    """Sleep, but first say so, and let everything that was written so far leave the process."""
    if seconds > 0:
        LOGGER.info("%s", announcement)
        sys.stdout.flush()
        CLOCK.sleep(seconds)


def natural(text: str | None, digits: int = 15) -> int | None:
    """Read a header that should be a plain number; anything else (text, a date, a sign, a fraction) is None."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


class FixedWindowLimiter:
    """At most `calls` requests in `seconds`, counted from the first: the fixed window of Laravel's throttle.

    Replies may carry `x-ratelimit-limit` and `x-ratelimit-remaining` (affiliate-facts A8); what they say replaces
    what was declared. A count that falls between two replies means that the vendor has opened a new window.
    """

    def __init__(self, calls: int, seconds: float = 60.0, *, spent: int = 0, obey_headers: bool = True) -> None:
        self.calls, self._seconds, self._used, self._obey = calls, seconds, spent, obey_headers
        self._opened = self._asked = CLOCK.now()

    def take(self) -> None:
        """Count one request; wait first if the window is used up."""
        age = CLOCK.now() - self._opened
        if not self._used or not 0 <= age < self._seconds + WINDOW_MARGIN:
            self._renew()
        elif self._used >= self.calls:
            wait(
                self._seconds + WINDOW_MARGIN - age,
                f"the budget of {self.calls} requests in {self._seconds:g} s is used up",
            )
            self._renew()
        self._used += 1
        self._asked = CLOCK.now()

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over the vendor's own count, as far as the headers are readable."""
        if not self._obey:
            return
        limit = natural(headers.get("x-ratelimit-limit"))
        remaining = natural(headers.get("x-ratelimit-remaining"))
        if limit is not None and 1 <= limit <= _LARGEST_BUDGET:
            self.calls = limit
        if remaining is not None and remaining <= _LARGEST_BUDGET:
            used = max(self.calls - remaining, 1)
            if used < self._used:
                self._opened = self._asked
            self._used = used

    def renew(self) -> None:
        """Start a new window: the vendor's own wait is over."""
        self._renew()

    def _renew(self) -> None:
        self._opened, self._used = CLOCK.now(), 0


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a 429 asks for: `Retry-After` (seconds), else `x-ratelimit-reset` (UNIX time), else None."""
    seconds = natural(headers.get("Retry-After"))
    if seconds is not None:
        return max(float(seconds), 1.0)
    reset = natural(headers.get("x-ratelimit-reset"))
    if reset is None:
        return None
    ahead = (reset / 1000 if reset >= MILLISECONDS_FROM else reset) - now
    return ahead + WINDOW_MARGIN if ahead > 0 else None
