"""A signal that ends a run only where nothing is half done.

An exception that a signal raises between any two steps could find a row in no queue, a batch marked and not sent, or a
lock taken and not given back: a STATE would leave too early, or nothing would move any more. So while rows are on
their way a signal is only noted, and whoever comes to a place where all is in order asks `check`.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

#: How long whoever waits may go without a look for a signal.
LOOK_SECONDS = 0.2


class SignalGuard:
    """The handler of SIGTERM and SIGINT. A second signal does not wait for a good moment."""

    def __init__(self) -> None:
        self._deferring = False
        self._noted: BaseException | None = None

    def listen(self) -> None:
        """Take over both signals, but leave SIGINT ignored where whoever started us wants that."""
        signal.signal(signal.SIGTERM, self)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self)

    def __call__(self, signum: int, _: Any) -> None:
        """End the run, now or at the next check: exit code 128 and the signal's number."""
        error = KeyboardInterrupt() if signum == signal.SIGINT else SystemExit(128 + signum)
        if not self._deferring or self._noted is not None:
            raise error
        self._noted = error

    def check(self) -> None:
        """Raise what a signal asked for."""
        if self._noted is not None:
            error, self._noted = self._noted, None
            raise error

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note signals in here; what was noted is raised at the end."""
        self._deferring = True
        try:
            yield
            self.check()
        finally:
            self._deferring, self._noted = False, None

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let signals through in here: for waits that leave nothing half done."""
        before, self._deferring = self._deferring, False
        try:
            self.check()
            yield
        finally:
            self._deferring = before


SIGNALS = SignalGuard()
