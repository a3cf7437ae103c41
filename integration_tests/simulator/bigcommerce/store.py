"""A BigCommerce store: its rows, and the script of their changes.

A step changes one row at an instant, and states the net value of its order from then on, if that changes.
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
#: kinds whose rows have a modification date; lines and transactions have none
_DATED = ("customers", "products", "orders")


def rfc_2822(epoch: int) -> str:
    """Format an instant as the v2 API does."""
    return formatdate(epoch).replace("-0000", "+0000")


@dataclass(order=True)
class Step:
    """One change: fields of the row named by `id`, and the net value of its order from then on (None: unchanged)."""

    at: int
    number: int
    kind: str = field(compare=False)
    row: Row = field(compare=False)
    worth: str | None = field(compare=False, default=None)

    @property
    def order_id(self) -> int | None:
        """The order that the row belongs to, if any."""
        if self.kind == "orders":
            return int(self.row["id"])
        return int(self.row["order_id"]) if "order_id" in self.row else None


class BigcommerceStore:
    """The current rows by kind and id."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Row]] = {kind: {} for kind in KINDS}
        self.children: dict[str, dict[int, list[int]]] = {"order_products": {}, "transactions": {}}
        self.steps: list[Step] = []
        self._done = 0
        self._numbers = count()

    def script(self, steps: Iterable[tuple[int, str, Row, str | None]]) -> int:
        """Add steps; return their number in all. ValueError for one earlier than a step already applied."""
        for at, kind, row, worth in steps:
            if kind not in KINDS:
                raise ValueError(f"kind is one of {', '.join(KINDS)}")
            if self._done and at < self.steps[self._done - 1].at:
                raise ValueError("a step cannot be added before one that was already applied: choose a later instant")
            insort(self.steps, Step(at, next(self._numbers), kind, row, worth), lo=self._done)
        return len(self.steps)

    def advance(self, now: int) -> None:
        """Apply every step up to `now`."""
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
            self.rows["orders"][order_id]["_modified"] = step.at  # a payment or a line modifies its order

    def listed(self, kind: str, since: int | None) -> list[Row]:
        """Return the rows modified at or after `since`, the least recently modified first."""
        rows = [row for row in self.rows[kind].values() if since is None or row["_modified"] >= since]
        return sorted(rows, key=lambda row: (row["_modified"], row["id"]))

    def of_order(self, kind: str, order_id: int) -> list[Row]:
        """Return the lines or transactions of one order."""
        return [self.rows[kind][key] for key in self.children[kind].get(order_id, ())]
