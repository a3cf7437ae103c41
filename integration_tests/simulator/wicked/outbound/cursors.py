"""The hash in `next` and the page it leads to (docs/vendors/wicked-reports.md 5.4).

The reference shows the same hash in request and response, on page 1 of 1, and has no page parameter. Read as one token
per query, which is the default here, the server must keep the position; a page whose response is lost is then gone,
because the next request returns the page after it. The other reading is one hash per page.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from .params import ListQuery
from .snapshot import Record

_MOST = 1000


@dataclass
class Cursor:
    """One read of one list: its next page, and, with the switch `snapshot`, its rows as they were at the start."""

    query: ListQuery
    page: int
    rows: list[Record] | None = None


class Cursors:
    """The open cursors; beyond `_MOST`, the oldest are dropped."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Drop every cursor; their hashes are refused from now on."""
        self._open: OrderedDict[str, Cursor] = OrderedDict()
        self._made = 0

    def find(self, token: str, query: ListQuery) -> Cursor | None:
        """Return the cursor of a hash, or None if there is none or it belongs to another query."""
        cursor = self._open.get(token)
        return cursor if cursor is not None and cursor.query == query else None

    def open(self, cursor: Cursor, look: str) -> str:
        """Return a new hash for a cursor; `look` is `hex`, `digits`, or `exponent`: text that parses as a number."""
        self._made += 1
        digest = hashlib.md5(f"{self._made}-{cursor.query}".encode(), usedforsecurity=False).hexdigest()
        number = int(digest, 16)
        if look == "digits":  # with leading zeros, which a reader that parses it as a number loses
            digest = f"{number % 10**28:032d}"
        elif look == "exponent":
            digest = f"{number % 10**28:028d}e{number % 900 + 100}"
        self._open[digest] = cursor
        while len(self._open) > _MOST:
            self._open.popitem(last=False)
        return digest
