"""What Wicked Reports must store of a shop, computed from its script alone.

Every step states what its order is worth (see `scenario.py`), so none of the connector's rules about statuses,
transactions and refunds is repeated here. An order goes out once it was worth anything, which is when it is paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..oracle import OrderTotals, cents
from ..sales import Rules, Sale
from .store import BigcommerceStore, Step


@dataclass
class ExpectedOrder:
    """One order: total, net now under both readings, number of lines; amounts in the order's currency."""

    totals: OrderTotals
    lines: int

    def as_json(self) -> dict[str, Any]:
        """Return the order for the admin API."""
        sums = {name: str(cents(getattr(self.totals, name))) for name in _SUMS}
        return {**sums, "lines": self.lines}


_SUMS = ("gross", "net", "net_by_orders", "net_by_payments")


def expected(store: BigcommerceStore, instants: Sequence[int], *, deleted_listed: bool) -> dict[str, ExpectedOrder]:
    """Return the orders that syncs at these instants must have made, by SourceID: `id`, `id~2`, …"""
    by_order: dict[int, list[Step]] = {}
    for step in store.steps:
        if step.order_id is not None:
            by_order.setdefault(step.order_id, []).append(step)
    found: dict[str, ExpectedOrder] = {}
    for order_id, steps in by_order.items():
        sale = Sale(str(order_id), "")
        lines = 0
        for instant in sorted(instants):
            past = [step for step in steps if step.at <= instant]
            if _sync(sale, past, deleted_listed=deleted_listed):
                lines = len({s.row["id"] for s in past if s.kind == "order_products" and not _inside(s)})
        for name, totals in sale.orders.items():
            found[name] = ExpectedOrder(totals, lines if name == sale.name else 1)
    return found


def _sync(sale: Sale, past: Sequence[Step], *, deleted_listed: bool) -> bool:
    """Bring an order to what it is worth; return whether it is at Wicked Reports and is read."""
    row, worths = _row(past), [Decimal(step.worth) for step in past if step.worth is not None]
    if not row or row.get("status_id") == 0 or (row.get("is_deleted") and not (sale.orders and deleted_listed)):
        return False
    sale.own = worths[-1] if worths else Decimal(0)
    if not sale.orders:
        if row.get("payment_status") == "void" or not any(worths):
            return False
        sale.add_order(max(Decimal(row["total_inc_tax"]), sale.own))  # refunds so far are sent with it
    sale.settle(Rules())
    return True


def _inside(step: Step) -> bool:
    return bool(step.row.get("parent_order_product_id"))


def _row(steps: Iterable[Step]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for step in steps:
        if step.kind == "orders":
            merged.update(step.row)
    return merged
