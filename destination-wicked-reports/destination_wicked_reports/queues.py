"""Rows that wait for a request to one endpoint: when they are enough for one, and which of them travel together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from destination_wicked_reports.batches import Batch
from destination_wicked_reports.endpoints import ENDPOINTS
from destination_wicked_reports.normalizers.base import Row

#: Wicked takes 10 MB (10,000,000) a request (wicked-facts.md section 2.1); stay under it whatever is counted.
BATCH_BYTES = 9_500_000


class Queue:
    """The rows of one endpoint, first come first served.

    `since` is when the row that waits longest came, by the clock; infinity if none waits.
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

    def append(self, row: Row) -> None:
        """Let a row wait."""
        if not self._rows:
            self.since = self._clock()
        self._rows.append(row)
        self._bytes += len(row.body) + 1

    @property
    def oldest(self) -> float:
        """The sequence of the first row; infinity if there is none."""
        return self._rows[0].sequence if self._rows else float("inf")

    @property
    def full(self) -> bool:
        """Whether a request can be filled."""
        return len(self._rows) >= self._batch_rows or self._bytes >= BATCH_BYTES

    def cut(self) -> Batch:
        """Take out a request's worth: within the limits of rows and bytes, and with no two rows of one identity."""
        rows: list[Row] = []
        names: set[str] = set()
        size = 0
        while self._rows and len(rows) < self._batch_rows:
            row = self._rows[0]
            name, row_size = row.identity, len(row.body) + 1
            if name in names or (rows and size + row_size > BATCH_BYTES):
                break
            names.add(name)
            rows.append(self._rows.popleft())
            size += row_size
        self._bytes -= size
        if not self._rows:
            self.since = float("inf")
        kept = not ENDPOINTS[self._endpoint].key or any(row.order_key for row in rows)
        return Batch(self._endpoint, rows, kept)
