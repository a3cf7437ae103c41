"""What a Wicked Reports store holds, summed up from its rows alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..oracle import OrderTotals, cents, table
from .store import Row, WickedStore


@dataclass
class StoredTotals:
    """The orders in a store by SourceID, and whatever should not be there."""

    orders: dict[str, OrderTotals] = field(default_factory=dict)
    duplicate_orders: list[str] = field(default_factory=list)
    orphan_payments: int = 0
    other_statuses: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the totals for the admin API."""
        return {
            "table": table(self.orders.values()),
            "duplicate_orders": self.duplicate_orders,
            "orphan_payments": self.orphan_payments,
            "other_statuses": self.other_statuses,
        }


def stored_totals(store: WickedStore) -> StoredTotals:
    """Sum up a store; net is approved payments less refunds (docs/vendors/wicked-reports.md 3.3)."""
    totals = StoredTotals()
    by_key: dict[tuple[str, str], OrderTotals] = {}
    for row in store.listed("orders"):
        key = (row["SourceSystem"], str(row["SourceID"]))
        if key in by_key:
            by_key[key].gross += cents(row["OrderTotal"])
            continue
        order = OrderTotals(row["CreateDate"][:7], str(row.get("OrderCurrency") or ""), gross=cents(row["OrderTotal"]))
        by_key[key] = totals.orders[_name(key, totals.orders)] = order
    totals.duplicate_orders = sorted("/".join(key) for key in store.repeated["orders"])
    reversed_orders = {_add_payment(row, by_key, totals) for row in store.listed("orderpayments")}
    for key, order in by_key.items():
        if order.net:
            order.status = "live"
        elif key in reversed_orders:
            order.status = "declined"
    return totals


def _name(key: tuple[str, str], taken: dict[str, OrderTotals]) -> str:
    return key[1] if key[1] not in taken else "/".join(key)


def _add_payment(row: Row, orders: dict[tuple[str, str], OrderTotals], totals: StoredTotals) -> tuple[str, str] | None:
    """Add one payment to its order; return the order's key if the payment reverses the whole order."""
    key = (row["SourceSystem"], str(row["OrderID"]))
    order = orders.get(key)
    if order is None:
        totals.orphan_payments += 1
        return None
    # an empty status counts as APPROVED (docs/vendors/wicked-reports.md 2.5)
    status = str(row["Status"] or "APPROVED").upper()
    if status == "APPROVED":
        order.approved += cents(row["Amount"])
    elif status in ("REFUNDED", "PARTIALLY REFUNDED"):
        order.refunded += cents(row["Amount"])
    elif status != "DECLINED":
        totals.other_statuses[status] = totals.other_statuses.get(status, 0) + 1
    return key if status in ("REFUNDED", "DECLINED") else None
