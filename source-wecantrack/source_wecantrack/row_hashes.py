"""Compact hash table of emitted rows: 64-bit hashes in flat arrays, because a window may have 200,000 rows."""

from __future__ import annotations

from array import array

_MASK_64 = (1 << 64) - 1


class RowHashes:
    """Maps the hash of a row's key to the hash of its content and the number of the last read that saw it.

    Open addressing with 17 bytes per slot, at most two thirds full. The hashes are Python's salted 64-bit SipHash:
    among a million rows, the chance that two share one is 1 in 10^7.
    """

    def __init__(self) -> None:
        self._used = 0
        self._allocate(1 << 12)

    def __len__(self) -> int:
        return self._used

    def put(self, key: str, content: bytes, read: int) -> tuple[int, bool]:
        """Store a row seen by read number `read` (1 to 255).

        Returns the number of the previous read that saw the key, or 0, and whether the content is unchanged.
        """
        key_hash, content_hash, keys, mask = (
            (hash(key) & _MASK_64) or 1,
            hash(content) & _MASK_64,
            self._keys,
            self._mask,
        )
        slot = key_hash & mask
        while (found := keys[slot]) and found != key_hash:
            slot = (slot + 1) & mask
        if found:
            previous, unchanged = self._reads[slot], self._contents[slot] == content_hash
            self._contents[slot], self._reads[slot] = content_hash, read
            return previous, unchanged
        keys[slot], self._contents[slot], self._reads[slot] = key_hash, content_hash, read
        self._used += 1
        if self._used * 3 > len(keys) * 2:
            self._grow()
        return 0, False

    def _allocate(self, slots: int) -> None:
        self._keys, self._contents = array("Q", bytes(8 * slots)), array("Q", bytes(8 * slots))
        self._reads = array("B", bytes(slots))
        self._mask = slots - 1

    def _grow(self) -> None:
        old = zip(self._keys, self._contents, self._reads, strict=True)
        self._allocate(2 * len(self._keys))
        keys, mask = self._keys, self._mask
        for key_hash, content_hash, read in old:
            if key_hash:
                slot = key_hash & mask
                while keys[slot]:
                    slot = (slot + 1) & mask
                keys[slot], self._contents[slot], self._reads[slot] = key_hash, content_hash, read
