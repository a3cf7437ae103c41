"""Sovrn's pace: one report call per 60 seconds, on the simulator's clock (sovrn-transactions, "API Rate Limit")."""

from __future__ import annotations

from ..clock import Clock

INTERVAL_SECONDS = 60.0
BLOCK_MINUTES = 10.0  # "temporarily blocked": for how long is not said [guess]


class SovrnPace:
    """Grants one call per interval, per key, over all report endpoints or one by one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget every call, and go back to the vendor's interval."""
        self.configure(INTERVAL_SECONDS, BLOCK_MINUTES)
        self.refused = 0

    def configure(self, interval_seconds: float | None = None, block_minutes: float | None = None) -> None:
        """Change interval (0: no limit) or length of a block; the next call is free."""
        if interval_seconds is not None:
            self.interval = float(interval_seconds)
        if block_minutes is not None:
            self.block_minutes = float(block_minutes)
        self._last: dict[tuple[str, str], float] = {}
        self._blocked_until: dict[str, float] = {}

    def granted(self, key: str, scope: str, *, refusal_counts: bool = False) -> bool:
        """Tell whether a call may go ahead, and start its interval if so, or, if refusals count, in any case."""
        last, now = self._last.get((key, scope)), self._clock.now()
        early = last is not None and last <= now < last + self.interval
        if not early or refusal_counts:
            self._last[key, scope] = now
        return not early

    def blocked(self, key: str) -> bool:
        """Tell whether a block of this key lasts."""
        now, until = self._clock.now(), self._blocked_until.get(key, 0.0)
        return until - self.block_minutes * 60 <= now < until  # false before its start too: the clock may go back

    def block(self, key: str) -> None:
        """Start a block."""
        self._blocked_until[key] = self._clock.now() + self.block_minutes * 60
