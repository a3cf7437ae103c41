"""Notices that the file of a ledger was moved, replaced or removed while a run has it open."""

from __future__ import annotations

import os
from pathlib import Path

from destination_wicked_reports.errors import LedgerError

#: The ledger itself, and the file that SQLite keeps what it does not contain yet in.
_SUFFIXES = ("", "-wal")


class LedgerFile:
    """The files of an open ledger, as they were when it was opened; the ledger must have been read."""

    def __init__(self, path: Path):
        self._path = path
        self._identities = self._look()

    def verify(self) -> None:
        """Raise LedgerError unless the path still leads to the open files."""
        if self._look() != self._identities:
            raise LedgerError(
                f"The ledger {self._path} was moved, replaced or removed during this run. What was sent is recorded "
                f"in the file that was there: put it back, with {self._path.name}-wal if that exists, then run the "
                "sync again. Without it, everything is sent again."
            )

    def _look(self) -> list[tuple[int, int] | None]:
        return [_identity(self._path.with_name(self._path.name + suffix)) for suffix in _SUFFIXES]


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and the inode of a file; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
