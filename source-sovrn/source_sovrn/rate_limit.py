"""The one report request a minute that Sovrn allows, shared by all report streams of a run."""

from __future__ import annotations

from .base import rate_limit
from .base.rate_limit import FixedWindowLimiter, pause

#: A request is on its way for so long at most; the vendor counts from its arrival, and so does a slot.
_ON_ITS_WAY = 1.0
#: What to wait after the first, second and any further refusal, in intervals (affiliate-facts E: 60, 120, 300 s).
_BACKOFF = (1.0, 2.0, 5.0)


class MinIntervalLimiter(FixedWindowLimiter):
    """At least `interval` seconds between the starts of two report requests, whatever became of the first.

    "To adhere to this rate limit, include a delay of at least 60 seconds between consecutive calls. Exceeding this rate
    limit may result in your API key being temporarily blocked or throttled." Another run may have ended a moment ago,
    so the first request waits its turn too. No header shortens the interval; none is documented.
    """

    def __init__(self, interval: float) -> None:
        super().__init__(1, interval, obey_headers=False)
        self.interval = interval
        self.backoff = tuple(interval * times for times in _BACKOFF)
        self.worked = False
        self._told, self._remaining = "the first report request waits its turn", 1
        self._asked = self._replied = rate_limit.CLOCK.now()

    def tell(self, told: str, remaining: int) -> None:
        """Say what is done, and how many requests are still to come, for the announcement of the next wait."""
        self._told, self._remaining = told, remaining

    def take(self) -> None:
        """Wait for the slot, after an announcement with the time that the rest will take."""
        now = rate_limit.CLOCK.now()
        arrived = max(self._asked, min(self._replied, self._asked + _ON_ITS_WAY))
        seconds = min(arrived - now + self.interval, self.interval + _ON_ITS_WAY)
        rest = seconds + self.interval * max(self._remaining - 1, 0)
        pause(seconds, f"{self._told}, next request in {span(seconds)}, about {span(rest)} left")
        self._asked, self._replied = rate_limit.CLOCK.now(), 0.0

    def learn(self, headers: object) -> None:
        """Note that a reply came, so the request had arrived by now."""
        self._replied = rate_limit.CLOCK.now()

    def renew(self) -> None:
        """Do nothing: a wait that the vendor asked for does not shorten the interval."""


def span(seconds: float) -> str:
    """Write seconds for people: `61 s`, `19 min`, `1 h 19 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0):.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
