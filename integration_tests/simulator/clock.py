"""The simulator's clock: real time plus an offset that tests change, so that 45 days pass without waiting."""

from __future__ import annotations

import time
from calendar import timegm
from datetime import datetime, timezone
from functools import lru_cache


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(number * 86400))


def stamp(epoch: int) -> str:
    """Format an instant as wecantrack and Wicked Reports do in bodies: `YYYY-MM-DD HH:MM:SS`, UTC."""
    day, second = divmod(epoch, 86400)  # not strftime, which takes most of the time of generating 20,000 rows
    return f"{_day(day)} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def parse_instant(text: str | int | float) -> int:
    """Parse an instant of the admin API: epoch seconds, or ISO text, in UTC unless it has an offset."""
    if isinstance(text, (int, float)):
        return int(text)
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    return timegm(moment.utctimetuple()) if moment.tzinfo else timegm(moment.timetuple())


def iso(epoch: float) -> str:
    """Format an instant for the admin API: `YYYY-MM-DDTHH:MM:SSZ`."""
    return datetime.fromtimestamp(int(epoch), tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Clock:
    """The simulated time, which runs at real speed unless frozen."""

    def __init__(self, start: int | None = None, *, frozen: bool = False) -> None:
        self._initial = (start, frozen)
        self.reset()

    def reset(self) -> None:
        """Return to the initial time and mode."""
        start, frozen = self._initial
        self._stopped_at: float | None = None
        self._offset = 0.0 if start is None else start - time.time()
        if frozen:
            self.freeze()

    @property
    def frozen(self) -> bool:
        """Whether time stands still."""
        return self._stopped_at is not None

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return time.time() + self._offset if self._stopped_at is None else self._stopped_at

    def second(self) -> int:
        """Return the time in whole epoch seconds, the resolution of the vendors' timestamps."""
        return int(self.now())

    def set(self, instant: float) -> None:
        """Set the time; setting it back undoes scripted changes that are then in the future."""
        if self._stopped_at is None:
            self._offset = instant - time.time()
        else:
            self._stopped_at = instant

    def move(self, seconds: float) -> None:
        """Move the time by `seconds`."""
        self.set(self.now() + seconds)

    def freeze(self) -> None:
        """Stop the clock."""
        self._stopped_at = self.now()

    def thaw(self) -> None:
        """Let the clock continue from where it stopped."""
        if self._stopped_at is not None:
            instant, self._stopped_at = self._stopped_at, None
            self._offset = instant - time.time()
