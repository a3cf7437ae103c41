"""What Wicked Reports must store of a shop, computed from its script alone.

Every step states the net value of its order (see `scenario.py`), so none of the connector's rules is repeated here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..oracle import cents
from .store import BigcommerceStore, Step


@dataclass
class ExpectedOrder:
    """One order: total when first read, net now, number of lines; amounts in the order's currency."""

    gross: Decimal
    net: Decimal
    lines: int

    def as_json(self) -> dict[str, Any]:
        """Return the order for the admin API."""
        return {"gross": str(cents(self.gross)), "net": str(cents(self.net)), "lines": self.lines}


def expected(store: BigcommerceStore, instants: Sequence[int], *, deleted_listed: bool) -> dict[str, ExpectedOrder]:
    """Return the orders that syncs at these instants must have made, by order id."""
    by_order: dict[int, list[Step]] = {}
    for step in store.steps:
        if step.order_id is not None:
            by_order.setdefault(step.order_id, []).append(step)
    found: dict[str, ExpectedOrder] = {}
    for order_id, steps in by_order.items():
        order: ExpectedOrder | None = None
        for instant in sorted(instants):
            past = [step for step in steps if step.at <= instant]
            row, worth = _row(past), _worth(past)
            if (
                not row
                or row.get("status_id") == 0
                or (row.get("is_deleted") and (order is None or not deleted_listed))
            ):
                continue
            if order is None:
                order = ExpectedOrder(Decimal(row["total_inc_tax"]), Decimal(0), 0)
            order.net = Decimal(worth)
            order.lines = len({s.row["id"] for s in past if s.kind == "order_products" and not _inside(s)})
        if order is not None:
            found[str(order_id)] = order
    return found


def _inside(step: Step) -> bool:
    return bool(step.row.get("parent_order_product_id"))


def _row(steps: Iterable[Step]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for step in steps:
        if step.kind == "orders":
            merged.update(step.row)
    return merged


def _worth(steps: Iterable[Step]) -> str:
    return next((step.worth for step in reversed(list(steps)) if step.worth is not None), "0")
