"""A short memory of names, so that one row is not made over and over; the ledger remembers the rest."""

from __future__ import annotations

from collections import OrderedDict


class Recent:
    """The names added last, a bounded number of them."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._names: OrderedDict[str, None] = OrderedDict()  # a dict searches longer for its first, the more are gone

    def add(self, name: str) -> bool:
        """Add a name; return whether it was not here."""
        if name in self._names:
            return False
        if len(self._names) >= self._size:
            self._names.popitem(last=False)
        self._names[name] = None
        return True
