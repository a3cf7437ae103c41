"""Stock Laravel throttling: fixed windows of 60 s from the first hit (docs/vendors/wecantrack.md A8, [laravel])."""

from __future__ import annotations

from dataclasses import dataclass

from ..clock import Clock

WINDOW_SECONDS = 60
#: wecantrack publishes no limit (A8); high by default, so that only tests that lower it are throttled.
DEFAULT_LIMIT = 600


@dataclass(frozen=True)
class Allowance:
    """The outcome of one hit; `retry_after` is set if it was refused: seconds until the window ends."""

    limit: int
    remaining: int
    retry_after: int | None = None


class Throttle:
    """Counts hits per key and path on the simulator's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Clear every window and every changed limit."""
        self.default = DEFAULT_LIMIT
        self.limits: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def set_limit(self, limit: int, path: str | None = None) -> None:
        """Change the limit of one path, or of all without a limit of their own, and restart the windows."""
        if path is None:
            self.default = limit
        else:
            self.limits[path] = limit
        self._windows.clear()

    def hit(self, key: str, path: str) -> Allowance:
        """Count one request; as in Laravel, a refused request does not count."""
        now = self._clock.now()
        limit = self.limits.get(path, self.default)
        started, hits = self._windows.get((key, path), (now, 0))
        if not started <= now < started + WINDOW_SECONDS:
            started, hits = now, 0
        if hits >= limit:
            self.refused[path] = self.refused.get(path, 0) + 1
            return Allowance(limit, 0, max(1, int(started + WINDOW_SECONDS - now + 0.999)))
        self._windows[key, path] = (started, hits + 1)
        return Allowance(limit, limit - hits - 1)
