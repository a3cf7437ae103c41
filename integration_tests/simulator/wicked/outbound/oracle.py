"""What the outbound API's orders must add up to by day, computed from the inbound rows alone.

Gross is the sum of all orders; net has two readings (docs/vendors/wicked-reports.md 10.1). Refunds count on the day of
the order, not of the refund, so that all sums of a row are about the same orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from ...oracle import SUMS, cents, sums_as_text
from ..net import order_net, status_of
from ..store import Row, WickedStore
from .snapshot import EASTERN

_SUM_OF = {"APPROVED": "approved", "REFUNDED": "refunded", "PARTIALLY REFUNDED": "refunded"}


def by_order(store: WickedStore, switches: Mapping[str, str], zone: str = "utc") -> list[dict[str, Any]]:
    """Return one row per order in order of arrival: system, id, day, currency, number of payments and the sums."""
    if zone not in ("utc", "eastern"):
        raise ValueError("zone is utc or eastern")
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    orders: list[dict[str, Any]] = []
    payments: dict[tuple[str, str], list[Row]] = {}
    for order in store.listed("orders"):
        key = (str(order["SourceSystem"]), str(order["SourceID"]))
        row: dict[str, Any] = {"system": key[0], "id": key[1], "day": _day(order["CreateDate"], zone)}
        row |= {"currency": order.get("OrderCurrency") or "USD", "payments": 0, **dict.fromkeys(SUMS, Decimal(0))}
        row["gross"] = cents(order["OrderTotal"])
        rows.setdefault(key, row)
        orders.append(row)
    for payment in store.listed("orderpayments"):
        key = (str(payment["SourceSystem"]), str(payment["OrderID"]))
        paid = rows.get(key)
        if paid is None:
            continue
        payments.setdefault(key, []).append(payment)
        paid["payments"] += 1
        name = _SUM_OF.get(status_of(payment))
        if name is not None:
            paid[name] += cents(payment["Amount"])
    for row in orders:
        key = (row["system"], row["id"])
        net = order_net(row["gross"], payments.get(key, ()) if rows[key] is row else (), switches)
        row["net"], row["net_by_orders"], row["net_by_payments"] = net.selected, net.by_orders, net.by_payments
    return orders


def by_day(store: WickedStore, switches: Mapping[str, str], zone: str = "utc") -> list[dict[str, Any]]:
    """Sum up by day and currency; `unpaid` counts orders without any payment."""
    days: dict[tuple[str, str], dict[str, Any]] = {}
    for order in by_order(store, switches, zone):
        key = (order["day"], order["currency"])
        empty = {"day": key[0], "currency": key[1], "orders": 0, "unpaid": 0, **dict.fromkeys(SUMS, Decimal(0))}
        row = days.setdefault(key, empty)
        row["orders"] += 1
        row["unpaid"] += not order["payments"]
        for name in SUMS:
            row[name] += order[name]
    return [sums_as_text(row) for _key, row in sorted(days.items())]


def _day(text: str, zone: str) -> str:
    if zone == "utc":
        return text[:10]
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).astimezone(EASTERN).date().isoformat()
