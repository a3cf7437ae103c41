"""The dead-letter file: every row that did not reach Wicked, with the reason, one JSON object a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from destination_wicked_reports.normalizers.base import Reject, Row

REJECTED, HELD = "rejected", "held"


class DeadLetters:
    """Appends to one file, readable by its owner only: it holds customers' rows."""

    def __init__(self, path: Path):
        self.path = path
        self.counts = {REJECTED: 0, HELD: 0}
        self._descriptor = -1
        self._unsynced = False

    def reject(self, reject: Reject) -> None:
        """Write down a row that may not, or could not, be sent."""
        self._write(REJECTED, reject.reason, reject.field, reject.endpoint, reject.stream, reject.row)

    def reject_row(self, row: Row, reason: str) -> None:
        """Write down a row that Wicked refused, with Wicked's reason."""
        self._write(REJECTED, reason, "", row.endpoint, row.stream, orjson.loads(row.body))

    def hold(self, row: Row, reason: str) -> None:
        """Write down a row whose outcome is unknown: Wicked may or may not have it."""
        self._write(HELD, reason, "", row.endpoint, row.stream, orjson.loads(row.body))

    def sync(self) -> None:
        """Make what was written durable; called before a STATE that covers these rows is released."""
        if self._unsynced:
            os.fsync(self._descriptor)
            self._unsynced = False

    def close(self) -> None:
        """Make everything durable and let go of the file."""
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = -1

    def try_out(self) -> None:
        """Open the file for appending, as a first rejected row would; raises OSError if that cannot be."""
        existed = self.path.exists()
        self._open()
        self.close()
        if not existed:
            self.path.unlink()

    def _open(self) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _write(self, outcome: str, reason: str, field: str, endpoint: str, stream: str, row: dict[str, Any]) -> None:
        self._open()
        letter = {
            "outcome": outcome,
            "reason": reason,
            "field": field,
            "endpoint": endpoint,
            "stream": stream,
            "row": row,
        }
        line = orjson.dumps(letter, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
        os.write(self._descriptor, line)
        self.counts[outcome] += 1
        self._unsynced = True
