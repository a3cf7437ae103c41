"""The hash in `next`: which page it leads to (5.4).

The reference shows one hash in question and answer, on page 1 of 1, and has no page parameter. Read as one token per
query, the server must remember how far it is: that is the default here, and it has the consequence that a page whose
reply is lost is gone, since asking again brings the page after it. The other reading is a hash for each page.
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
    """One reading of one list: the page that its hash brings next, and, with `snapshot`, the rows as they were."""

    query: ListQuery
    page: int
    rows: list[Record] | None = None


class Cursors:
    """The cursors that are open; of very many the oldest are forgotten."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every cursor; their hashes are refused from now on."""
        self._open: OrderedDict[str, Cursor] = OrderedDict()
        self._made = 0

    def find(self, token: str, query: ListQuery) -> Cursor | None:
        """Return the cursor of a hash, if it is one of this very query."""
        cursor = self._open.get(token)
        return cursor if cursor is not None and cursor.query == query else None

    def open(self, cursor: Cursor, look: str) -> str:
        """Make a hash that leads to a cursor. `look`: 32 hex digits, 32 digits, or a text that reads as a number."""
        self._made += 1
        digest = hashlib.md5(f"{self._made}-{cursor.query}".encode(), usedforsecurity=False).hexdigest()
        number = int(digest, 16)
        if look == "digits":  # with zeros in front, which a reader that makes a number of it loses
            digest = f"{number % 10**28:032d}"
        elif look == "exponent":
            digest = f"{number % 10**28:028d}e{number % 900 + 100}"
        self._open[digest] = cursor
        while len(self._open) > _MOST:
            self._open.popitem(last=False)
        return digest
