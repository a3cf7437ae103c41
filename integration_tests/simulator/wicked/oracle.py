"""What a Wicked Reports store holds, summed up from its rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..oracle import OrderTotals, cents, table
from .net import order_net, status_of
from .persons import directory
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


def stored_totals(store: WickedStore, switches: Mapping[str, str]) -> StoredTotals:
    """Sum up a store, with both nets of each order."""
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
    payments: dict[tuple[str, str], list[Row]] = {key: [] for key in by_key}
    for row in store.listed("orderpayments"):
        own = payments.get((row["SourceSystem"], str(row["OrderID"])))
        if own is None:
            totals.orphan_payments += 1
        else:
            own.append(row)
    for key, order in by_key.items():
        _add_payments(order, payments[key], totals, switches)
    return totals


def persons(store: WickedStore, switches: Mapping[str, str]) -> dict[str, str]:
    """Return the email address of the contact that each order belongs to, "" for none, by SourceID."""
    found = directory(store.listed("contacts"))
    return {str(order["SourceID"]): found.person(order, switches) or "" for order in store.listed("orders")}


def _name(key: tuple[str, str], taken: dict[str, OrderTotals]) -> str:
    return key[1] if key[1] not in taken else "/".join(key)


def _add_payments(order: OrderTotals, payments: list[Row], totals: StoredTotals, switches: Mapping[str, str]) -> None:
    """Sum up the payments of one order; one without a net is declined if a payment reversed it."""
    net = order_net(order.gross, payments, switches)
    order.net, order.net_by_orders, order.net_by_payments = net.selected, net.by_orders, net.by_payments
    for row in payments:
        status = status_of(row)
        if status == "APPROVED":
            order.approved += cents(row["Amount"])
        elif status in ("REFUNDED", "PARTIALLY REFUNDED"):
            order.refunded += cents(row["Amount"])
        elif status != "DECLINED":
            totals.other_statuses[status] = totals.other_statuses.get(status, 0) + 1
    if order.net:
        order.status = "live"
    elif any(status_of(row) in ("REFUNDED", "DECLINED") for row in payments):
        order.status = "declined"
