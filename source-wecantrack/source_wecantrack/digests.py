"""A memory of the rows that were given: 64-bit hashes in flat arrays, because one window may hold 200,000 rows."""

from __future__ import annotations

from array import array
from enum import Enum

_WORD = (1 << 64) - 1


class Seen(Enum):
    """What is known of a row that comes in."""

    NEW = 0
    CHANGED = 1
    SAME = 2


class Digests:
    """A hash table of key and content, 16 bytes a slot and at most two thirds full; its length counts the keys.

    Python's own hashes are salted 64-bit SipHash: two rows of a million share one with a chance of 1 in 10^7.
    """

    def __init__(self) -> None:
        self._used = 0
        self._make(1 << 12)

    def __len__(self) -> int:
        return self._used

    def put(self, key: str, content: bytes) -> Seen:
        """Remember a row, and tell whether its key is new, or its content other than the last time."""
        name, digest, keys, mask = (hash(key) & _WORD) or 1, hash(content) & _WORD, self._keys, self._mask
        slot = name & mask
        while (found := keys[slot]) and found != name:
            slot = (slot + 1) & mask
        if found:
            if self._contents[slot] == digest:
                return Seen.SAME
            self._contents[slot] = digest
            return Seen.CHANGED
        keys[slot], self._contents[slot] = name, digest
        self._used += 1
        if self._used * 3 > len(keys) * 2:
            self._grow()
        return Seen.NEW

    def _make(self, slots: int) -> None:
        self._keys, self._contents = array("Q", bytes(8 * slots)), array("Q", bytes(8 * slots))
        self._mask = slots - 1

    def _grow(self) -> None:
        old_keys, old_contents = self._keys, self._contents
        self._make(2 * len(old_keys))
        keys, mask = self._keys, self._mask
        for name, content in zip(old_keys, old_contents, strict=True):
            if name:
                slot = name & mask
                while keys[slot]:
                    slot = (slot + 1) & mask
                keys[slot], self._contents[slot] = name, content
