"""wecantrack's limit of requests per minute and endpoint, with the time left in the log of each wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .base import rate_limit
from .base.rate_limit import FixedWindowLimiter, pause, progress_line

#: wecantrack publishes no limit; its headers replace this one (docs/vendors/wecantrack.md A8).
REQUESTS_PER_MINUTE = 30


class StreamLimiter(FixedWindowLimiter):
    """The limit of one stream."""

    def __init__(self) -> None:
        super().__init__(REQUESTS_PER_MINUTE)
        self.requests = 0
        self._left: float | None = None
        self._done, self._since = "", rate_limit.CLOCK.now()

    def acquire(self) -> None:
        """Count one request; wait first if the window is full."""
        super().acquire()
        self.requests += 1

    def seconds_for(self, requests: float) -> float:
        """Return how long this number of requests takes at the limit."""
        return requests / self.limit * self._seconds

    def set_progress(self, done: str, left: float | None) -> None:
        """Set what the next waits log: the progress so far, and how many seconds the rest takes, None if unknown."""
        self._done, self._left, self._since = done, left, rate_limit.CLOCK.now()

    def _wait(self, seconds: float) -> None:
        if not self._done:
            super()._wait(seconds)
            return
        left = self._left
        if left is not None:
            left = max(left - (rate_limit.CLOCK.now() - self._since), seconds)
        pause(seconds, f"{self._limit_reached()}; {progress_line(self._done, seconds, left)}")


_limiters: ContextVar[dict[str, StreamLimiter]] = ContextVar("limiters")


@contextmanager
def collected_limiters(limiters: dict[str, StreamLimiter]) -> Iterator[None]:
    """Put the limiter of each stream built inside the block here; the CDK offers no way to a stream's retriever."""
    token = _limiters.set(limiters)
    try:
        yield
    finally:
        _limiters.reset(token)


def make_limiter(stream: str) -> StreamLimiter:
    """Return a limiter for one stream: the vendor counts per endpoint."""
    limiter = _limiters.get({})[stream] = StreamLimiter()
    return limiter
