"""The schedule of faults: which one strikes which request. How each looks on the wire is in `wire.py`.

The list is the one measured against stock airbyte-cdk (`airbyte/cdk.md` 4.1), the ways in which vendors' throttles
may answer (affiliate-facts A8), and, for posts, replies that are lost after the rows were stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: name -> what it does. `processed` says whether the vendor's rows are stored or served before the fault strikes.
KINDS: dict[str, str] = {
    "html_200": "200 with an HTML page; not processed",
    "empty_200": "200 with an empty body; not processed",
    "null_200": "200 with `null`; not processed",
    "list_200": "200 with `[]`; not processed",
    "object_200": "200 with `{}`; not processed",
    "error_200": '200 with `{"status":"error",...}`; not processed',
    "half_body": "the first half of the true body, with a Content-Length that matches the half",
    "half_body_no_length": "the first half, no Content-Length, then the connection closes",
    "half_body_longer_length": "the first half under the Content-Length of the whole, then the connection closes",
    "broken_chunked": "the first half as a chunk, then a chunk size that is no number, then close",
    "reset_mid_body": "the first half, then a TCP reset",
    "close_before_answer": "the connection closes without an answer; not processed",
    "nan_in_json": "the true body with one amount replaced by the bare word NaN",
    "status": "the status named by `status` (or in the name: `status_503`), JSON body; not processed",
    "throttled": "429 with Retry-After and X-RateLimit-Reset `seconds` ahead; not processed",
    "throttled_bare": "429 without any header; not processed",
    "throttled_garbage": "429 whose headers are no numbers; not processed",
    "throttled_far": "429 whose reset lies a year ahead; not processed",
    "redirect_302": "302 to an HTML page; not processed",
    "hang": "no answer for `seconds` (0: until the client gives up), then close; not processed",
    "slow": "the true answer, `seconds` late, in real time",
    "store_then_close": "the request is processed, then the connection closes without an answer",
    "store_then_hang": "the request is processed, then as `hang`",
    "store_then_status": "the request is processed, then the answer is `status` (500)",
}


@dataclass
class Fault:
    """One fault and the requests it strikes.

    Matching requests are counted from the moment the fault is set. It strikes the `nth` and those after it, each
    `every`-th of them, `times` times in all; `times` 0 is for ever. `path` is exact, or a prefix when it ends in `*`.
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
            raise ValueError(f"no fault {self.kind!r}; there are {', '.join(KINDS)}")
        if self.nth < 1 or self.every < 1 or self.times < 0:
            raise ValueError("nth and every start at 1; times is 0 (for ever) or more")

    def matches(self, method: str, path: str, query: str) -> bool:
        """Tell whether a request is of the kind this fault counts."""
        at_path = path.startswith(self.path[:-1]) if self.path.endswith("*") else path == self.path
        return at_path and self.method in (None, method) and self.query in query

    def strikes(self) -> bool:
        """Count one matching request, and tell whether this is one to spoil."""
        self.seen += 1
        if self.seen < self.nth or (self.seen - self.nth) % self.every or (self.times and self.struck >= self.times):
            return False
        self.struck += 1
        return True

    def shown(self) -> dict[str, Any]:
        """Return the fault for the admin API."""
        return dict(vars(self))


class Faults:
    """All faults that are set. The first that is due strikes; the others still count the request."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Remove every fault."""
        self.faults: list[Fault] = []

    def set(self, fault: Fault) -> None:
        """Add a fault."""
        self.faults.append(fault)

    def due(self, method: str, path: str, query: str) -> Fault | None:
        """Return the fault that strikes this request, if any."""
        struck = [fault for fault in self.faults if fault.matches(method, path, query) and fault.strikes()]
        for spared in struck[1:]:
            spared.struck -= 1
        return struck[0] if struck else None
