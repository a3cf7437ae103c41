"""How far one sync is: days, rows, waits and the time left, from the messages of both processes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any

from destination_wicked_reports.sync.pipeline import DESTINATION, Event
from destination_wicked_reports.sync.state import State, position_of, stream_of

#: What the sources log while they wait for a rate limit or before they try again.
_WAIT = re.compile(r"Waiting ([\d,.]+) s\b[:,. ]*(.*)", re.DOTALL)
_MINUTE = 60


@dataclass
class Progress:
    """The progress of one source. `first` and `last` are the days to read, by stream, where they are known."""

    name: str
    first: Mapping[str, date]
    last: date
    clock: Callable[[], float] = time.monotonic
    read: int = 0
    delivered: int = 0
    stream: str = ""
    day: date | None = None
    wait: str = ""
    wait_until: float = 0.0
    started: float = field(init=False)
    _stream_started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self._stream_started = self.clock()

    def take(self, event: Event) -> None:
        """Take a message of either process."""
        message = event.message
        if message.get("type") == "STATE":
            self._take_state(event.side, message["state"])
        elif message.get("type") == "LOG" and event.side != DESTINATION:
            found = _WAIT.match(str(message["log"].get("message")))
            self.wait = found[2] or "the source" if found else ""
            self.wait_until = self.clock() + float(found[1].replace(",", "")) if found else 0.0

    def _take_state(self, side: str, state: State) -> None:
        if side == DESTINATION:
            self.delivered += int((state.get("destinationStats") or {}).get("recordCount") or 0)
            return
        self.wait = ""
        stream = stream_of(state) or ""
        if stream != self.stream:
            self.stream, self.day, self._stream_started = stream, None, self.clock()
        self.day = as_day(position_of(state)) or self.day

    @property
    def days(self) -> tuple[int, int] | None:
        """Return the number of the day that was read last, and of all days; None if they are not known."""
        first = self.first.get(self.stream)
        if first is None or self.day is None or self.last < first:
            return None
        total = (self.last - first).days + 1
        return min(max((self.day - first).days + 1, 0), total), total

    @property
    def seconds_left(self) -> float | None:
        """Return the time that the rest of the stream takes at the speed so far; None if it cannot be told yet."""
        days, took = self.days, self.clock() - self._stream_started
        if days is None or not days[0] or took < 2:
            return None
        return took / days[0] * (days[1] - days[0])

    def parts(self) -> list[str]:
        """Return what to show, the most important first."""
        days, left, waits = self.days, self.seconds_left, self.wait_until - self.clock()
        texts = [f"{self.stream or self.name}"]
        if days:
            texts.append(f"day {days[0]:,} of {days[1]:,}")
        texts.append(f"{self.read:,} read")
        texts.append(f"{self.delivered:,} delivered")
        if left is not None:
            texts.append(f"{duration(left)} left")
        if self.wait and waits > 0:
            texts.append(f"waiting {waits:.0f} s: {self.wait}")
        return texts


def as_day(text: str) -> date | None:
    """Return the day at the beginning of a text, if there is one."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def expected_days(config: Mapping[str, Any], states: list[State], streams: list[str]) -> tuple[dict[str, date], date]:
    """Return the first day to read of each stream, where it is known, and the last day."""
    today = datetime.now(timezone.utc).date()
    start, end = as_day(str(config.get("start_date") or "")), as_day(str(config.get("end_date") or ""))
    reached = {stream_of(state): as_day(position_of(state)) for state in states}
    days = {stream: reached.get(stream) or start for stream in streams}
    return {stream: day for stream, day in days.items() if day}, min(end or today, today)


def duration(seconds: float) -> str:
    """Format seconds in at most two units: `40 s`, `12 min`, `5 h 40 min`."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE)
    return f"{minutes} min" if minutes < _MINUTE else f"{minutes // _MINUTE:,} h {minutes % _MINUTE:02} min"
