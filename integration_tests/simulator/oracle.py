"""The table in which expected and stored revenue are compared: orders and amounts by month and currency.

Each vendor's `oracle.py` computes what Wicked Reports must store from the scripted data alone; `wicked/oracle.py` sums
up what it does store. Neither shares code with the connectors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

ZERO = Decimal(0)
SUMS = ("gross", "approved", "refunded", "net", "net_by_orders", "net_by_payments")
_CENT = Decimal("0.01")


def cents(amount: Any) -> Decimal:
    """Round to cents, half up, as every amount is before it is added."""
    return Decimal(str(amount)).quantize(_CENT, ROUND_HALF_UP)


def sums_as_text(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its sums as decimal text with two places."""
    return {**row, **{name: str(cents(row[name])) for name in SUMS}}


@dataclass
class OrderTotals:
    """What one order contributes to the table.

    `month` is `YYYY-MM`. `net` is one of the two others (docs/vendors/wicked-reports.md 10.1).
    """

    month: str
    currency: str
    status: str = "pending"
    gross: Decimal = ZERO
    approved: Decimal = ZERO
    refunded: Decimal = ZERO
    net: Decimal = ZERO
    net_by_orders: Decimal = ZERO
    net_by_payments: Decimal = ZERO

    def as_json(self) -> dict[str, Any]:
        """Return the order for the admin API."""
        sums = {name: getattr(self, name) for name in SUMS}
        return sums_as_text({"month": self.month, "currency": self.currency, "status": self.status, **sums})


def table(orders: Iterable[OrderTotals]) -> list[dict[str, Any]]:
    """Sum up by month and currency; `live` and `declined` count orders by their final status."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for order in orders:
        row = rows.setdefault(
            (order.month, order.currency),
            {"month": order.month, "currency": order.currency, "orders": 0, "live": 0, "declined": 0}
            | dict.fromkeys(SUMS, ZERO),
        )
        row["orders"] += 1
        if order.status in ("live", "declined"):
            row[order.status] += 1
        for name in SUMS:
            row[name] += getattr(order, name)
    return [sums_as_text(row) for _key, row in sorted(rows.items())]
