"""The lock that a run holds on a ledger file. Commands that only read the ledger do not need it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from destination_wicked_reports.config import files
from destination_wicked_reports.errors import LedgerBusyError, LedgerError

SUFFIX = "-lock"
#: How often a run that waits tries again, in seconds.
POLL_SECONDS = 0.1


class FileLock:
    """A lock next to the ledger that ends with the process, however it ends. It is not SQLite's, which readers share.

    Raises LedgerBusyError if another process holds it for more than `wait` seconds, LedgerError if it cannot be made.
    """

    def __init__(self, ledger: Path, wait: float):
        self._path = ledger.with_name(ledger.name + SUFFIX)
        deadline = time.monotonic() + wait
        try:
            while (descriptor := _try_lock(self._path)) is None:
                if time.monotonic() >= deadline:
                    raise LedgerBusyError(
                        f"Another run is using the ledger {ledger}. Wait until it ends, or give this connection its "
                        "own ledger."
                    )
                time.sleep(POLL_SECONDS)
        except OSError as error:
            raise LedgerError(f"The ledger {ledger} cannot be locked ({error.strerror}).") from None
        self._descriptor = descriptor

    def close(self) -> None:
        """Release the lock and remove its file. A second call does nothing."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            self._path.unlink()  # before the release: `_try_lock` notices that the file is another one
        os.close(self._descriptor)
        self._descriptor = -1


def is_locked(ledger: Path) -> bool:
    """Return whether a run is using the ledger."""
    return files.is_locked(ledger.with_name(ledger.name + SUFFIX))


def _try_lock(path: Path) -> int | None:
    """Return the descriptor of the locked file, or None if another process has it locked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
