"""The two readings of an order's net (docs/vendors/wicked-reports.md 10.1); the switch `wicked.net` selects one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from ..oracle import ZERO, cents
from .store import Row

#: Statuses of a payment with which the whole order drops out when net is counted by order (3.3). For DECLINED, FAILED
#: and VOIDED on an order that also has an APPROVED payment this is a [guess].
_DROPPING = frozenset({"REFUNDED", "VOIDED", "DECLINED", "FAILED"})


def status_of(payment: Row) -> str:
    """Return a payment's status; an empty one counts as APPROVED (2.5)."""
    return str(payment["Status"] or "APPROVED").upper()


@dataclass(frozen=True)
class OrderNet:
    """Both nets of an order. `selected` is the one that the switch selects."""

    by_orders: Decimal
    by_payments: Decimal
    selected: Decimal


def order_net(total: Decimal, payments: Iterable[Row], switches: Mapping[str, str]) -> OrderNet:
    """Compute the nets of an order with this OrderTotal and these payments."""
    approved, refunded, dropped = ZERO, ZERO, False
    partial: list[tuple[str, Decimal]] = []
    for payment in payments:
        status, amount = status_of(payment), cents(payment["Amount"])
        dropped = dropped or status in _DROPPING
        if status == "APPROVED":
            approved += amount
        elif status == "REFUNDED":
            refunded += amount
        elif status == "PARTIALLY REFUNDED":
            partial.append((str(payment["PaymentDate"]), amount))
    if switches["wicked.partial_refunds"] == "last":
        partial = sorted(partial, key=lambda dated: dated[0])[-1:]  # of equal dates, the one that arrived last
    taken = sum((amount for _date, amount in partial), ZERO)
    by_orders = ZERO if dropped else total - taken
    by_payments = approved - refunded - taken
    return OrderNet(by_orders, by_payments, by_orders if switches["wicked.net"] == "orders" else by_payments)
