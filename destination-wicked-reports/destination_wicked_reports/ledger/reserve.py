"""Disk space that a run sets aside, so that a full disk does not keep it from recording what Wicked accepted."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.errors import LedgerError

#: Enough to record the outcome of all requests in flight, each of which may touch a page of 4 kB per row.
RESERVE_BYTES = 8_000_000
SUFFIX = "-reserve"


class Reserve:
    """A file of `RESERVE_BYTES` next to the ledger; it exists during a run. Raises LedgerError if there is no room."""

    def __init__(self, ledger: Path):
        self._path = ledger.with_name(ledger.name + SUFFIX)
        #: Why the space was given up. From then on the ledger begins nothing new.
        self.error: DBAPIError | None = None
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _allocate(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._remove()
            raise LedgerError(
                f"The folder of the ledger {ledger} needs {RESERVE_BYTES // 1_000_000} MB of free disk space "
                f"({error.strerror}). Free some, then run the sync again."
            ) from None

    def release(self, error: DBAPIError) -> bool:
        """Give up the space after this error; return whether there was any left to give up."""
        if self.error is not None:
            return False
        self.error = error
        self._remove()
        return True

    def close(self) -> None:
        """Remove the file."""
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _allocate(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        with contextlib.suppress(OSError):  # not every file system can; then it is written
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            return
    block = memoryview(bytes(1 << 20))
    written = 0
    while written < RESERVE_BYTES:
        written += os.write(descriptor, block[: RESERVE_BYTES - written])
