"""Clock, logged waits and the fixed-window rate limiter.

Read the clock as `rate_limit.CLOCK` on each use; do not import the object. A test can then replace it in one place.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

LOGGER = logging.getLogger("airbyte.source")

#: Seconds added to a window: the vendor starts it when a request arrives, we start it when the request leaves.
WINDOW_MARGIN = 1.0
#: Larger values in a rate-limit header are taken for garbage.
_MAX_LIMIT = 1_000_000
#: Timestamps from here on are milliseconds: in seconds, this is the year 5138.
MIN_UNIX_MILLISECONDS = 10**11
_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


class Clock:
    """The system clock."""

    def now(self) -> float:
        """Return UNIX seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        time.sleep(seconds)


CLOCK = Clock()


def utc_now() -> datetime:
    """Return the current UTC time without fractions of a second."""
    return datetime.fromtimestamp(int(CLOCK.now()), timezone.utc)


def wait(seconds: float, reason: str) -> None:
    """Log the reason and the length of a wait, flush standard output, and sleep."""
    pause(seconds, f"Waiting {seconds:.1f} s: {reason}")


def pause(seconds: float, message: str) -> None:
    """Log `message`, flush standard output, and sleep; do nothing if `seconds` is not positive."""
    if seconds > 0:
        LOGGER.info("%s", message)
        sys.stdout.flush()
        CLOCK.sleep(seconds)


def progress_line(done: str, seconds: float, left: float | None) -> str:
    """Return what is logged before a wait of `seconds`: the progress so far and, if it is known, the time left."""
    about = "" if left is None else f", about {format_duration(left)} left"
    return f"{done}, next request in {format_duration(seconds)}{about}"


def format_duration(seconds: float) -> str:
    """Format seconds as `0.2 s`, `61 s`, `19 min`, `1 h 19 min` or `2 days`."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0):.1f} s"
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:,.0f} days"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def parse_natural(text: str | None, max_digits: int = 15) -> int | None:
    """Return a header's plain whole number; None for a date, a sign, a fraction or any other text."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= max_digits else None


class FixedWindowLimiter:
    """At most `limit` requests per `seconds`, in windows that open with their first request, as Laravel counts them.

    `x-ratelimit-limit` and `x-ratelimit-remaining` replace the declared limit and our own count
    (docs/vendors/wecantrack.md A8). A count that falls from one response to the next means a new window.
    """

    def __init__(self, limit: int, seconds: float = 60.0, *, used: int = 0, obey_headers: bool = True) -> None:
        self.limit, self._seconds, self._used, self._obey_headers = limit, seconds, used, obey_headers
        self._opened = self._last_request = CLOCK.now()
        #: Whether a request succeeded, which proves that the vendor accepts the key.
        self.key_accepted = False

    def acquire(self) -> None:
        """Count one request; wait first if the window is full."""
        age = CLOCK.now() - self._opened
        if not self._used or not 0 <= age < self._seconds + WINDOW_MARGIN:
            self._open_window()
        elif self._used >= self.limit:
            self._wait(self._seconds + WINDOW_MARGIN - age)
            self._open_window()
        self._used += 1
        self._last_request = CLOCK.now()

    def update(self, headers: Mapping[str, str]) -> None:
        """Adopt the vendor's limit and count from a response's headers; ignore unreadable values."""
        if not self._obey_headers:
            return
        limit = parse_natural(headers.get("x-ratelimit-limit"))
        remaining = parse_natural(headers.get("x-ratelimit-remaining"))
        if limit is not None and 1 <= limit <= _MAX_LIMIT:
            self.limit = limit
        if remaining is not None and remaining <= _MAX_LIMIT:
            used = max(self.limit - remaining, 1)
            if used < self._used:
                self._opened = self._last_request
            self._used = used

    def reset(self) -> None:
        """Open a new window; call it after a wait that the vendor requested."""
        self._open_window()

    def _wait(self, seconds: float) -> None:
        wait(seconds, self._limit_reached())

    def _limit_reached(self) -> str:
        return f"rate limit of {self.limit} requests in {self._seconds:g} s reached"

    def _open_window(self) -> None:
        self._opened, self._used = CLOCK.now(), 0


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds until `Retry-After`, a number of seconds or an HTTP date; None if it is neither."""
    text = (headers.get("Retry-After") or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    moment = http_date(text)
    return None if moment is None else max(moment - now, 0.0)


def http_date(text: str | None) -> float | None:
    """Return the UNIX seconds of an HTTP date; None for any other text."""
    try:
        moment = parsedate_to_datetime(text or "")
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None


def requested_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a 429 asks to wait; None if it does not say.

    Without `Retry-After`, `x-ratelimit-reset` counts, in UNIX seconds or milliseconds.
    """
    seconds = retry_after(headers, now)
    if seconds is not None:
        return max(seconds, 1.0)
    reset = parse_natural(headers.get("x-ratelimit-reset"))
    if reset is None:
        return None
    ahead = (reset / 1000 if reset >= MIN_UNIX_MILLISECONDS else reset) - now
    return ahead + WINDOW_MARGIN if ahead > 0 else None
