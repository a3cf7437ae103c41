"""The vendor's clock, as the `Date` headers of its responses show it.

If this machine's clock is ahead, a read without an end date would move the state past rows that do not exist yet, and
no later read would find them. The vendor's clock therefore bounds the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone

from . import rate_limit
from .rate_limit import LOGGER, format_duration, http_date

#: A header has whole seconds and travels; smaller differences mean nothing.
_TOLERANCE_SECONDS = 10.0
#: Differences from here on are reported.
_WARNING_SECONDS = 120.0
#: Earlier dates come from a broken server.
_EARLIEST = datetime(2020, 1, 1, tzinfo=timezone.utc).timestamp()


class VendorClock:
    """How far the vendor's clock differs from this machine's."""

    def __init__(self) -> None:
        #: Seconds by which this machine is ahead of the vendor, at most over all responses; 0 if it is not.
        self._ahead = 0.0
        self._last_offset = 0.0
        self._warned = False

    def observe(self, headers: Mapping[str, str], *, is_answer: bool) -> None:
        """Compare the clocks at the arrival of a response; only an answer, no error, comes surely from the vendor."""
        date = http_date(headers.get("Date"))
        if (
            date is None or date < _EARLIEST or headers.get("Age", "0").strip() != "0"
        ):  # a stored response is older than it looks
            return
        offset = date - rate_limit.CLOCK.now()
        self._last_offset = offset if abs(offset) > _TOLERANCE_SECONDS else 0.0
        if not is_answer:
            return
        if -offset > _TOLERANCE_SECONDS:
            self._ahead = max(self._ahead, -offset)
        if abs(offset) >= _WARNING_SECONDS and not self._warned:
            self._warned = True
            consequence = (
                "The read ends at the vendor's time, so that no row is lost."
                if offset < 0
                else "The read ends at this machine's time: newer rows follow once the clock is right."
            )
            LOGGER.warning(
                "This machine's clock is %s %s the vendor's. %s Correct the clock, for example with NTP.",
                format_duration(abs(offset)),
                "ahead of" if offset < 0 else "behind",
                consequence,
            )

    def now(self) -> float:
        """Return the vendor's time in UNIX seconds, by its last response."""
        return rate_limit.CLOCK.now() + self._last_offset

    def bound(self, moment: datetime) -> datetime | None:
        """Return the vendor's time at a moment of this machine; None unless the machine is ahead."""
        return moment - timedelta(seconds=self._ahead) if self._ahead else None


_current: ContextVar[VendorClock] = ContextVar("vendor_clock")


@contextmanager
def shared_clock(clock: VendorClock) -> Iterator[None]:
    """Give all clients built inside the block this clock; the CDK offers no way to pass it to a retriever."""
    token = _current.set(clock)
    try:
        yield
    finally:
        _current.reset(token)


def current_clock() -> VendorClock:
    """Return the clock of the block, or a new one outside of any."""
    return _current.get(None) or VendorClock()
