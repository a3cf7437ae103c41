"""Defers SIGTERM and SIGINT until a safe point.

An exception raised by a signal handler between two arbitrary instructions could lose a row that is in no queue, leave a
batch in the outbox that was never posted, or keep a lock: a STATE would be released too early, or the run would hang.
While rows are being delivered a signal is therefore only recorded, and `check` raises it at the next safe point.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

#: How often a blocking wait has to call `check`, in seconds.
POLL_SECONDS = 0.2
#: How the names of the threads begin that the end of the process does not wait for.
POST_THREAD = "post to Wicked"


class SignalGuard:
    """Handler of SIGTERM and SIGINT. A second signal is raised immediately, even while signals are deferred."""

    def __init__(self) -> None:
        self._deferring = False
        self._recorded: BaseException | None = None

    def listen(self) -> None:
        """Install the handler for both signals. SIGINT stays ignored if the parent process ignores it."""
        signal.signal(signal.SIGTERM, self)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self)

    def __call__(self, signum: int, _: Any) -> None:
        """End the run now or at the next check. Raises KeyboardInterrupt, or SystemExit with 128 + the signal."""
        error = KeyboardInterrupt() if signum == signal.SIGINT else SystemExit(128 + signum)
        if not self._deferring or self._recorded is not None:
            raise error
        self._recorded = error

    def check(self) -> None:
        """Raise the recorded signal, if any."""
        if self._recorded is not None:
            error, self._recorded = self._recorded, None
            raise error

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Record signals inside this block, and raise a recorded one at its end."""
        self._deferring = True
        try:
            yield
            self.check()
        finally:
            self._deferring, self._recorded = False, None

    @contextlib.contextmanager
    def immediate(self) -> Iterator[None]:
        """Raise signals immediately inside this block: for waits that can be interrupted anywhere."""
        before, self._deferring = self._deferring, False
        try:
            self.check()
            yield
        finally:
            self._deferring = before


SIGNALS = SignalGuard()
