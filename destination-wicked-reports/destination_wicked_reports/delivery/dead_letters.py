"""The dead-letter file: every row that did not reach Wicked, with the reason, one JSON object a line.

A line holds `outcome` (rejected or held), `reason`, `field` (Wicked's name, or empty), `endpoint`, `stream`, `at`
(UTC) and `row`. `form` says what `row` is: a `record` as the source gave it, from which no row could be made; `facts`
that the ledger keeps of several records, from which none could be made either; or a `row` as it goes to the endpoint.
Such a row has also the `key` and `digest` by which the ledger knows it, and, if it is
part of an affiliate order, `order_key` and `order`: what the ledger would have remembered of it. See `replay.py`.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import orjson

from destination_wicked_reports.model import Reject, Row

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
#: orjson reads 1024 levels of nesting and writes 254.
_LEVELS = 100
TOO_DEEP = "(nested too deep to be written down)"

REJECTED, HELD = "rejected", "held"
RECORD, FACTS, ROW = "record", "facts", "row"

#: Why a row of our own making does not leave, or not again.
TOO_LARGE = "The row alone is larger than the 10 MB that Wicked Reports takes in one request."
ORDER_REJECTED = "An earlier row of the same order was rejected, and this one was computed from it."
FATE_UNKNOWN = "An earlier run ended after this row may have been sent and before Wicked's answer came."


class DeadLetterFile:
    """Appends to one file, readable by its owner only: it holds customers' rows."""

    def __init__(self, path: Path):
        self.path = path
        self.counts = {REJECTED: 0, HELD: 0}
        self._descriptor = -1
        self._unsynced = False

    def reject(self, reject: Reject) -> None:
        """Write down a row that may not, or could not, be sent."""
        named = {"form": FACTS if reject.kept else RECORD}
        self._write(REJECTED, reject.reason, reject.field, reject.endpoint, reject.stream, reject.row, named)

    def reject_row(self, row: Row, reason: str) -> None:
        """Write down a row that Wicked refused, with Wicked's reason."""
        self._write_row(REJECTED, row, reason)

    def hold(self, row: Row, reason: str) -> None:
        """Write down a row whose outcome is unknown: Wicked may or may not have it."""
        self._write_row(HELD, row, reason)

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
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                self._append(b"\n")  # a run died in the middle of a line: the next is to be whole

    def _write_row(self, outcome: str, row: Row, reason: str) -> None:
        named: dict[str, Any] = {"form": ROW, "key": row.key, "digest": row.digest.hex()}
        if row.order_key and row.order:
            named |= {"order_key": row.order_key, "order": row.order}
        self._write(outcome, reason, "", row.endpoint, row.stream, orjson.Fragment(row.body), named)

    def _write(
        self, outcome: str, reason: str, field: str, endpoint: str, stream: str, row: Any, named: dict[str, Any]
    ) -> None:
        self._open()
        letter = {
            "outcome": outcome,
            "reason": reason,
            "field": field,
            "endpoint": endpoint,
            "stream": stream,
            "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            **named,
            "row": row,
        }
        try:
            line = orjson.dumps(letter, default=str, option=_OPTIONS)
        except orjson.JSONEncodeError:  # of such a record, too, something must be on disk, or no run gets past it
            line = orjson.dumps({**letter, "row": _writable(row, _LEVELS)}, default=str, option=_OPTIONS)
        self._append(line)
        self.counts[outcome] += 1
        self._unsynced = True

    def _append(self, line: bytes) -> None:
        """Write all of a line or nothing: a full disk takes a part of it without an error."""
        size = os.fstat(self._descriptor).st_size
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise


def _writable(value: Any, levels: int) -> Any:
    """Return a value as far as it can be written: what is nested too deep is named, other odd values become text."""
    if isinstance(value, dict):
        return {_writable(str(k), 1): _writable(v, levels - 1) for k, v in value.items()} if levels else TOO_DEEP
    if isinstance(value, list):
        return [_writable(each, levels - 1) for each in value] if levels else TOO_DEEP
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    small = isinstance(value, int) and value.bit_length() < 64
    return value if value is None or small or isinstance(value, float | orjson.Fragment) else str(value)
