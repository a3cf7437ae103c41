"""What a BigCommerce store holds, and the script of what will happen to it; `bigcommerce.py` shows it to the source.

A step changes one row at an instant, and says what the order it belongs to is worth from then on, if that changed.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count
from typing import Any

Row = dict[str, Any]

KINDS = ("customers", "products", "orders", "order_products", "transactions")
#: Rows that carry the time of their last change; lines and transactions have none.
_DATED = ("customers", "products", "orders")


def rfc_2822(epoch: int) -> str:
    """Format an instant as the v2 API does."""
    return formatdate(epoch).replace("-0000", "+0000")


@dataclass(order=True)
class Step:
    """One change: fields of a row (`id` names it), and the net value of its order afterwards, None if it stays."""

    at: int
    number: int
    kind: str = field(compare=False)
    row: Row = field(compare=False)
    worth: str | None = field(compare=False, default=None)

    @property
    def order_id(self) -> int | None:
        """Return the order that the row belongs to."""
        if self.kind == "orders":
            return int(self.row["id"])
        return int(self.row["order_id"]) if "order_id" in self.row else None


class BigcommerceStore:
    """All rows as they stand now, by kind and id."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Row]] = {kind: {} for kind in KINDS}
        self.children: dict[str, dict[int, list[int]]] = {"order_products": {}, "transactions": {}}
        self.steps: list[Step] = []
        self._done = 0
        self._numbers = count()

    def script(self, steps: Iterable[tuple[int, str, Row, str | None]]) -> int:
        """Add what will happen; return how many steps there are now. Nothing may be added to the past."""
        for at, kind, row, worth in steps:
            if kind not in KINDS:
                raise ValueError(f"kind is one of {', '.join(KINDS)}")
            if self._done and at < self.steps[self._done - 1].at:
                raise ValueError("the past cannot be changed: choose a later instant")
            insort(self.steps, Step(at, next(self._numbers), kind, row, worth), lo=self._done)
        return len(self.steps)

    def advance(self, now: int) -> None:
        """Let everything happen that is scripted up to now."""
        while self._done < len(self.steps) and self.steps[self._done].at <= now:
            self._apply(self.steps[self._done])
            self._done += 1

    def _apply(self, step: Step) -> None:
        key = int(step.row["id"])
        row = self.rows[step.kind].get(key)
        if row is None:
            row = self.rows[step.kind][key] = {"_created": step.at}
            if step.kind in self.children:
                self.children[step.kind].setdefault(int(step.row["order_id"]), []).append(key)
        row.update(step.row)
        row["_modified"] = step.at
        order_id = step.order_id
        if step.kind not in _DATED and order_id in self.rows["orders"]:
            self.rows["orders"][order_id]["_modified"] = step.at  # a payment or a line changes its order

    def listed(self, kind: str, since: int | None) -> list[Row]:
        """Return the rows changed at or after an instant, the longest unchanged first."""
        rows = [row for row in self.rows[kind].values() if since is None or row["_modified"] >= since]
        return sorted(rows, key=lambda row: (row["_modified"], row["id"]))

    def of_order(self, kind: str, order_id: int) -> list[Row]:
        """Return the lines or transactions of one order."""
        return [self.rows[kind][key] for key in self.children[kind].get(order_id, ())]
