"""An order as the destination sent it, and as Wicked Reports reports it.

Gross is the sum of all orders, whatever their status. Net is approved less refunded payments
(docs/vendors/wicked-reports.md 3.3). Amounts are Decimal, in cents, rounded once, half up. Times are UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from destination_wicked_reports.ledger.history import SLASH
from destination_wicked_reports.mappings.revenue import APPROVED, PARTIALLY_REFUNDED, REFUNDED, cents

ZERO = Decimal("0.00")
#: Source system and source id, which identify an order at Wicked (docs/vendors/wicked-reports.md 2.3, 2.10).
OrderId = tuple[str, str]

#: An empty status counts as APPROVED (docs/vendors/wicked-reports.md 2.5). Only the outbound reference has MANUAL, and
#: no list of what net revenue leaves out contains it [guess].
_MONEY_IN = frozenset({"", APPROVED, "MANUAL"})
_MONEY_BACK = frozenset({REFUNDED, PARTIALLY_REFUNDED})


class PaymentTotals(NamedTuple):
    """Sums of an order's payments, and the number of all its payments, None if unknown."""

    approved: Decimal = ZERO
    refunded: Decimal = ZERO
    number: int | None = 0

    def plus(self, status: Any, amount: Any) -> PaymentTotals:
        """Return the totals with one more payment."""
        value, status_name = to_cents(amount), str(status or "").upper()
        return PaymentTotals(
            self.approved + (value if status_name in _MONEY_IN else ZERO),
            self.refunded + (value if status_name in _MONEY_BACK else ZERO),
            None if self.number is None else self.number + 1,
        )

    def matches(self, other: PaymentTotals) -> bool:
        """Return whether both are equal; an unknown number matches any."""
        return self[:2] == other[:2] and (None in (self.number, other.number) or self.number == other.number)


@dataclass(slots=True)
class Step:
    """Payment totals of an order after a row was sent; `at` is when, in UNIX seconds."""

    at: int
    payments: PaymentTotals


@dataclass(slots=True)
class SentOrder:
    """An order as it was sent; `total` is None if its amounts are unknown.

    `at` is when it was sent, in UNIX seconds; None if the ledger does not contain it, so that it was never sent.
    `steps` are in the order of sending. `notes` are shown next to its differences.
    """

    at: int | None
    total: Decimal | None = None
    currency: str = ""
    date: str = ""
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def payments(self) -> PaymentTotals:
        """Totals of all payments sent."""
        return self.steps[-1].payments if self.steps else PaymentTotals()


@dataclass(slots=True)
class ReportedOrder:
    """An order as Wicked's outbound API reports it."""

    total: Decimal
    currency: str
    date: str
    payments: PaymentTotals


def to_cents(value: Any) -> Decimal:
    """Return an amount in cents; 0 if it is not a number."""
    try:
        return cents(Decimal(str(value)))
    except (InvalidOperation, ValueError):
        return ZERO


def total_payments(payments: Iterable[tuple[Any, Any]]) -> PaymentTotals:
    """Return the totals of payments, each given as status and amount."""
    totals = PaymentTotals()
    for status, amount in payments:
        totals = totals.plus(status, amount)
    return totals


def display_id(order_id: OrderId) -> str:
    """Return an order id for a report; one that contains an email address is replaced by a digest."""
    text = SLASH.join(order_id)
    if "@" not in text:
        return text
    system, source_id = order_id
    return f"{system}{SLASH}(an email address, SHA-256 {hashlib.sha256(source_id.encode()).hexdigest()[:12]})"
