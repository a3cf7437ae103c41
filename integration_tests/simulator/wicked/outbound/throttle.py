"""The outbound rate limit: 120 requests a minute, reported in three headers (S1, "Throttling").

The kind of minute and the unit of `x-ratelimit-reset` are not documented; switches decide them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from email.utils import formatdate
from math import ceil

from ...clock import Clock, iso

WINDOW_SECONDS = 60
DEFAULT_LIMIT = 120


class OutboundThrottle:
    """Counts the requests of each key on the simulator's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Clear every window and restore the limit."""
        self.set_limit(DEFAULT_LIMIT)
        self.refused = 0
        self.served = 0
        #: the most requests received in any 60 s, including refused ones
        self.busiest = 0
        self._received: deque[float] = deque()

    def set_limit(self, limit: int) -> None:
        """Allow `limit` requests a minute (0: no limit), and restart the windows."""
        if limit < 0:
            raise ValueError("limit is 0 (no limit) or more")
        self.limit = limit
        self._hits: dict[str, deque[float]] = {}
        self._started: dict[str, float] = {}

    def hit(self, key: str, switches: Mapping[str, str]) -> tuple[bool, dict[str, str]]:
        """Count one request; return whether it is served, and the response headers."""
        now = self._clock.now()
        self._record(now)
        hits = self._hits.setdefault(key, deque())
        start = self._window_start(key, now, switches["outbound.throttle_window"])
        while hits and not start <= hits[0] <= now:
            hits.popleft()
        served = not self.limit or len(hits) < self.limit
        if served or switches["outbound.refused_call"] == "counts":
            hits.append(now)
        self.served += served
        self.refused += not served
        free_at = hits[0] + WINDOW_SECONDS if switches["outbound.throttle_window"] == "sliding" and hits else None
        return served, self._headers(len(hits), (free_at or start + WINDOW_SECONDS) - now, switches, refused=not served)

    def _record(self, now: float) -> None:
        self._received.append(now)
        while not now - WINDOW_SECONDS < self._received[0] <= now:
            self._received.popleft()
        self.busiest = max(self.busiest, len(self._received))

    def _window_start(self, key: str, now: float, kind: str) -> float:
        if kind == "clock_minute":
            return now // WINDOW_SECONDS * WINDOW_SECONDS
        if kind == "sliding":
            return now - WINDOW_SECONDS + 1e-6
        started = self._started.get(key, now)
        if not started <= now < started + WINDOW_SECONDS:
            started = now
        self._started[key] = started
        return started

    def _headers(self, used: int, seconds: float, switches: Mapping[str, str], *, refused: bool) -> dict[str, str]:
        headers = {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(max(0, self.limit - used)),
        }
        left = max(1, ceil(seconds))
        clock = time.time() if switches["outbound.reset_clock"] == "real" else self._clock.now()
        at = ceil(clock + seconds)
        reset = {
            "unix": str(at),
            "seconds_left": str(left),
            "http_date": formatdate(at, usegmt=True),
            "iso_date": iso(at),
            "missing": None,
        }[switches["outbound.reset_header"]]
        if reset is not None:
            headers["x-ratelimit-reset"] = reset
        if refused and switches["outbound.retry_after"] == "present":
            headers["Retry-After"] = str(left)
        return headers if self.limit else {}
