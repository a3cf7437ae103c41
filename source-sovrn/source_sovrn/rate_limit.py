"""Sovrn's limit of one report request per interval, shared by all report streams of a run."""

from __future__ import annotations

from .base import rate_limit
from .base.rate_limit import FixedWindowLimiter, pause, progress_line

#: The longest that we assume a request to travel. The vendor counts from its arrival, and so does the interval.
_MAX_TRANSIT_SECONDS = 1.0
#: Minimum waits after the first, the second and each further failed attempt, in intervals (docs/vendors/sovrn.md E).
_BACKOFF_INTERVALS = (1.0, 2.0, 5.0)


class MinIntervalLimiter(FixedWindowLimiter):
    """At least `interval` seconds between the starts of two report requests, failed ones included.

    Sovrn blocks keys that are faster (docs/vendors/sovrn.md B8). The first request also waits for a full interval,
    because another run may have just ended. No header shortens the interval; none is documented.
    """

    def __init__(self, interval: float) -> None:
        super().__init__(1, interval, obey_headers=False)
        self.interval = interval
        self.backoff = tuple(interval * intervals for intervals in _BACKOFF_INTERVALS)
        #: Whether a report was read in this run, which proves that the key had access.
        self.report_read = False
        self._progress, self._remaining = "waiting before the first report request", 1
        self._last_request = self._last_response = rate_limit.CLOCK.now()

    def set_progress(self, progress: str, remaining: int) -> None:
        """Set what the next wait logs: the progress so far, and the number of requests still to come."""
        self._progress, self._remaining = progress, remaining

    def acquire(self) -> None:
        """Log the time left and wait until the interval is over."""
        now = rate_limit.CLOCK.now()
        arrived = max(self._last_request, min(self._last_response, self._last_request + _MAX_TRANSIT_SECONDS))
        seconds = min(arrived - now + self.interval, self.interval + _MAX_TRANSIT_SECONDS)
        total = seconds + self.interval * max(self._remaining - 1, 0)
        pause(seconds, progress_line(self._progress, seconds, total))
        self._last_request, self._last_response = rate_limit.CLOCK.now(), 0.0

    def update(self, headers: object) -> None:
        """Record that a response began: its request has arrived by now."""
        self._last_response = rate_limit.CLOCK.now()

    def reset(self) -> None:
        """Do nothing: a wait that the vendor requested does not shorten the interval."""
