"""Faults: which one applies to which request; `wire.py` produces them.

The kinds are the broken responses of docs/airbyte-cdk.md 4.1, the forms that a vendor's throttling may take
(docs/vendors/wecantrack.md A8), and, for posts, responses lost after the rows were stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: name -> what the client sees; "not processed" means that nothing is stored or served
KINDS: dict[str, str] = {
    "html_200": "200 with an HTML page; not processed",
    "empty_200": "200 with an empty body; not processed",
    "null_200": "200 with `null`; not processed",
    "list_200": "200 with `[]`; not processed",
    "object_200": "200 with `{}`; not processed",
    "error_200": '200 with `{"status":"error",...}`; not processed',
    "half_body": "the first half of the real body, with a Content-Length that matches the half",
    "half_body_no_length": "the first half, no Content-Length, then the connection closes",
    "half_body_longer_length": "the first half with the Content-Length of the whole, then the connection closes",
    "broken_chunked": "the first half as a chunk, then a chunk size that is not a number, then close",
    "reset_mid_body": "the first half, then a TCP reset",
    "close_before_answer": "the connection closes without a response; not processed",
    "nan_in_json": "the real body with one amount replaced by a bare NaN",
    "status": "the status named by `status` (or in the name: `status_503`), JSON body; not processed",
    "throttled": "429 with Retry-After and X-RateLimit-Reset `seconds` ahead; not processed",
    "throttled_bare": "429 without any header; not processed",
    "throttled_garbage": "429 whose headers are not numbers; not processed",
    "throttled_far": "429 whose reset is a year ahead; not processed",
    "redirect_302": "302 to an HTML page; not processed",
    "hang": "no response for `seconds` (0: until the client disconnects), then close; not processed",
    "slow": "the real response, `seconds` late, in real time",
    "store_then_close": "the request is processed, then the connection closes without a response",
    "store_then_hang": "the request is processed, then as `hang`",
    "store_then_status": "the request is processed, then the response has the status `status` (500)",
}


@dataclass
class Fault:
    """One fault and the requests it applies to.

    Requests that match `method`, `path` (exact, or a prefix ending in `*`) and `query` (a part of the query string) are
    counted in `seen` from when the fault is added. It applies to the `nth` and then every `every`-th, `times` times in
    all (0: without limit); `struck` counts these.
    """

    kind: str
    path: str = "*"
    method: str | None = None
    query: str = ""
    nth: int = 1
    times: int = 1
    every: int = 1
    status: int = 500
    body: str | None = None
    html: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind.startswith("status_"):
            self.kind, self.status = "status", int(self.kind.removeprefix("status_"))
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; the kinds are {', '.join(KINDS)}")
        if self.nth < 1 or self.every < 1 or self.times < 0:
            raise ValueError("nth and every are at least 1; times is 0 (without limit) or more")

    def matches(self, method: str, path: str, query: str) -> bool:
        """Return whether this fault counts a request."""
        at_path = path.startswith(self.path[:-1]) if self.path.endswith("*") else path == self.path
        return at_path and self.method in (None, method) and self.query in query

    def applies(self) -> bool:
        """Count one matching request; return whether the fault applies to it."""
        self.seen += 1
        if self.seen < self.nth or (self.seen - self.nth) % self.every or (self.times and self.struck >= self.times):
            return False
        self.struck += 1
        return True

    def as_json(self) -> dict[str, Any]:
        """Return the fault for the admin API."""
        return dict(vars(self))


class Faults:
    """The active faults. Of several that apply to a request the first is used; the others still count it as seen."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Remove every fault."""
        self.faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        self.faults.append(fault)

    def due(self, method: str, path: str, query: str) -> Fault | None:
        """Return the fault for this request, if any."""
        due = [fault for fault in self.faults if fault.matches(method, path, query) and fault.applies()]
        for unused in due[1:]:
            unused.struck -= 1
        return due[0] if due else None
