"""Per-endpoint queue; cuts batches by row count, size and order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice

from destination_wicked_reports.api.endpoints import ENDPOINTS
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import Row

#: Wicked takes 10 MB per request (docs/vendors/wicked-reports.md 2.1); the margin allows for other ways of counting.
BATCH_BYTES = 9_500_000
ROW_BYTES = 10_000_000 - len("[]")


class Queue:
    """The rows of one endpoint, first in, first out.

    `since` is when the oldest row was queued, in seconds of `clock`; infinity if the queue is empty.
    """

    def __init__(self, endpoint: str, batch_rows: int, clock: Callable[[], float]) -> None:
        self.since = float("inf")
        self._endpoint = endpoint
        self._batch_rows = batch_rows
        self._clock = clock
        self._rows: deque[Row] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def extend(self, rows: list[Row]) -> None:
        """Append rows."""
        if rows and not self._rows:
            self.since = self._clock()
        self._rows.extend(rows)
        self._bytes += _size(rows)

    @property
    def oldest(self) -> float:
        """The sequence of the first row; infinity if there is none."""
        return self._rows[0].sequence if self._rows else float("inf")

    @property
    def full(self) -> bool:
        """Whether there is enough for a full request."""
        return len(self._rows) >= self._batch_rows or self._bytes >= BATCH_BYTES

    def cut(self) -> Batch:
        """Remove and return the next batch: within the limits of rows and bytes, no two rows of one identity."""
        rows = list(islice(self._rows, self._batch_rows))
        if _size(rows) > BATCH_BYTES or len({row.identity for row in rows}) < len(rows):
            rows = _first(rows)
        for _ in rows:
            self._rows.popleft()
        self._bytes -= _size(rows)
        if not self._rows:
            self.since = float("inf")
        keep_rows = not ENDPOINTS[self._endpoint].key or any(row.sale_key for row in rows)
        return Batch(self._endpoint, rows, keep_rows)


def _first(rows: list[Row]) -> list[Row]:
    """Return the longest prefix of these rows, at least one, that may travel in one request."""
    identities: set[str] = set()
    size = 0
    for position, row in enumerate(rows):
        size += _size([row])
        if row.identity in identities or (position and size > BATCH_BYTES):
            return rows[:position]
        identities.add(row.identity)
    return rows


def _size(rows: list[Row]) -> int:
    """Return the bytes that rows take in a request, each with the comma after it."""
    return sum([len(row.body) for row in rows]) + len(rows)
