"""What the outbound API's orders must add up to by day, computed from the inbound rows alone.

Gross is the sum of all orders; net is approved payments less refunds (docs/vendors/wicked-reports.md 3.3). Refunds
count on the day of the order, not of the refund, so that all sums of a row are about the same orders.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from ...oracle import SUMS, cents, sums_as_text
from ..store import WickedStore
from .snapshot import EASTERN

_SUM_OF = {"": "approved", "APPROVED": "approved", "REFUNDED": "refunded", "PARTIALLY REFUNDED": "refunded"}


def by_order(store: WickedStore, zone: str = "utc") -> list[dict[str, Any]]:
    """Return one row per order in order of arrival: system, id, day, currency and the four sums."""
    if zone not in ("utc", "eastern"):
        raise ValueError("zone is utc or eastern")
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    orders: list[dict[str, Any]] = []
    for order in store.listed("orders"):
        key = (str(order["SourceSystem"]), str(order["SourceID"]))
        row: dict[str, Any] = {"system": key[0], "id": key[1], "day": _day(order["CreateDate"], zone)}
        row |= {"currency": order.get("OrderCurrency") or "USD", "payments": 0, **dict.fromkeys(SUMS, Decimal(0))}
        row["gross"] = cents(order["OrderTotal"])
        rows.setdefault(key, row)
        orders.append(row)
    for payment in store.listed("orderpayments"):
        paid = rows.get((str(payment["SourceSystem"]), str(payment["OrderID"])))
        if paid is None:
            continue
        paid["payments"] += 1
        name = _SUM_OF.get(str(payment["Status"] or "").upper())
        if name is not None:
            paid[name] += cents(payment["Amount"])
    for row in orders:
        row["net"] = row["approved"] - row["refunded"]
    return orders


def by_day(store: WickedStore, zone: str = "utc") -> list[dict[str, Any]]:
    """Sum up by day and currency; `unpaid` counts orders without any payment."""
    days: dict[tuple[str, str], dict[str, Any]] = {}
    for order in by_order(store, zone):
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
