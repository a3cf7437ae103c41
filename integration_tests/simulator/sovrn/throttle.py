"""Sovrn's rate limit: one report call per 60 seconds of the simulator's clock (docs/vendors/sovrn.md B8)."""

from __future__ import annotations

from ..clock import Clock

INTERVAL_SECONDS = 60.0
BLOCK_MINUTES = 10.0  # a "temporary" block of undocumented length [guess]


class SovrnThrottle:
    """Allows one call per key and interval, over all report endpoints or for each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Clear every call and restore the vendor's interval."""
        self.configure(INTERVAL_SECONDS, BLOCK_MINUTES)
        self.refused = 0

    def configure(self, interval_seconds: float | None = None, block_minutes: float | None = None) -> None:
        """Change the interval (0: no limit) or the length of a block; the next call is allowed."""
        if interval_seconds is not None:
            self.interval = float(interval_seconds)
        if block_minutes is not None:
            self.block_minutes = float(block_minutes)
        self._last: dict[tuple[str, str], float] = {}
        self._blocked_until: dict[str, float] = {}

    def allow(self, key: str, scope: str, *, refusal_counts: bool = False) -> bool:
        """Return whether a call is allowed; start its interval if so, or, with `refusal_counts`, in any case."""
        last, now = self._last.get((key, scope)), self._clock.now()
        early = last is not None and last <= now < last + self.interval
        if not early or refusal_counts:
            self._last[key, scope] = now
        return not early

    def blocked(self, key: str) -> bool:
        """Return whether this key is blocked now."""
        now, until = self._clock.now(), self._blocked_until.get(key, 0.0)
        return until - self.block_minutes * 60 <= now < until  # checks the start, too: the clock may be set back

    def block(self, key: str) -> None:
        """Start a block."""
        self._blocked_until[key] = self._clock.now() + self.block_minutes * 60
