"""A memory of the rows that were given: 64-bit hashes in flat arrays, because one window may hold 200,000 rows."""

from __future__ import annotations

from array import array

_WORD = (1 << 64) - 1


class RowHashes:
    """A hash table of key, content and the pass that saw the row last; 17 bytes a slot, at most two thirds full.

    Python's own hashes are salted 64-bit SipHash: two rows of a million share one with a chance of 1 in 10^7.
    """

    def __init__(self) -> None:
        self._used = 0
        self._make(1 << 12)

    def __len__(self) -> int:
        return self._used

    def put(self, key: str, content: bytes, number: int) -> tuple[int, bool]:
        """Remember a row of pass `number` (1 to 255); return the pass that saw its key last, and if it is as it was.

        A key that is new was seen by pass 0, and its row is not as it was.
        """
        name, digest, keys, mask = (hash(key) & _WORD) or 1, hash(content) & _WORD, self._keys, self._mask
        slot = name & mask
        while (found := keys[slot]) and found != name:
            slot = (slot + 1) & mask
        if found:
            before, same = self._passes[slot], self._contents[slot] == digest
            self._contents[slot], self._passes[slot] = digest, number
            return before, same
        keys[slot], self._contents[slot], self._passes[slot] = name, digest, number
        self._used += 1
        if self._used * 3 > len(keys) * 2:
            self._grow()
        return 0, False

    def _make(self, slots: int) -> None:
        self._keys, self._contents = array("Q", bytes(8 * slots)), array("Q", bytes(8 * slots))
        self._passes = array("B", bytes(slots))
        self._mask = slots - 1

    def _grow(self) -> None:
        old = zip(self._keys, self._contents, self._passes, strict=True)
        self._make(2 * len(self._keys))
        keys, mask = self._keys, self._mask
        for name, content, number in old:
            if name:
                slot = name & mask
                while keys[slot]:
                    slot = (slot + 1) & mask
                keys[slot], self._contents[slot], self._passes[slot] = name, content, number
