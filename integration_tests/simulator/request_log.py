"""A bounded log of the requests that the vendors' endpoints received, without keys."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import orjson

_SECRET_HEADERS = frozenset({"x-api-key", "apikey", "authorization", "cookie"})
_MAX_ENTRIES = 20_000
_MAX_BODY_BYTES = 64_000_000


@dataclass
class Entry:
    """One received request and its result; status 0 means that no response was sent.

    `clock` (simulated, epoch seconds) and `monotonic` (real) measure the time between requests.
    """

    number: int
    at: str
    clock: float
    monotonic: float
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    status: int = 0
    fault: str | None = None
    processed: bool = True

    def as_json(self, *, with_rows: bool) -> dict[str, Any]:
        """Return the entry for the admin API."""
        entry: dict[str, Any] = {
            "number": self.number,
            "at": self.at,
            "clock": round(self.clock, 3),
            "monotonic": round(self.monotonic, 3),
            "method": self.method,
            "path": self.path,
            "query": [[name, "***" if name == "api_key" else value] for name, value in self.query],
            "headers": {name: value for name, value in self.headers.items() if name not in _SECRET_HEADERS},
            "bytes": len(self.body),
            "status": self.status,
            "fault": self.fault,
            "processed": self.processed,
        }
        if with_rows and self.body:
            try:
                entry["rows"] = orjson.loads(self.body)
            except orjson.JSONDecodeError:
                entry["rows"] = None
        return entry


class RequestLog:
    """The latest requests, limited by number and total body size, and counts of all requests."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Clear everything, and count from one again."""
        self._entries: deque[Entry] = deque()
        self._kept_bytes = 0
        self.total = 0
        self.by_path: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def open(self, **received: Any) -> Entry:
        """Add a request before it is answered, so that the log has unanswered ones, too."""
        self.total += 1
        entry = Entry(number=self.total, **received)
        self.by_path[f"{entry.method} {entry.path}"] += 1
        self._entries.append(entry)
        self._kept_bytes += len(entry.body)
        while len(self._entries) > _MAX_ENTRIES or self._kept_bytes > _MAX_BODY_BYTES:
            self._kept_bytes -= len(self._entries.popleft().body)
        return entry

    def close(self, entry: Entry, status: int) -> None:
        """Record the response's status."""
        entry.status = status
        self.by_status[str(status or "none")] += 1
        if entry.fault:
            self.faults[entry.fault] += 1

    def listed(self, *, path: str | None, since: int, limit: int, with_rows: bool) -> list[dict[str, Any]]:
        """Return the newest `limit` entries after number `since`, oldest first."""
        matching = [entry for entry in self._entries if entry.number > since and path in (None, entry.path)]
        return [entry.as_json(with_rows=with_rows) for entry in matching[-limit:]]
