"""An order as the destination sent it, and as Wicked Reports reports it.

Gross is the sum of all orders, whatever their status. Net has two readings (docs/vendors/wicked-reports.md 10.1):

- by orders: an order counts with its total, less what is partially refunded, and not at all if one of its payments is
  refunded, voided, declined or failed;
- by payments: approved less refunded payments.

They are equal for every affiliate and shop order that this connector sends. Amounts are Decimal, in cents, rounded
once, half up. Times are UTC.
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
#: Statuses that take an order out of net by orders (docs/vendors/wicked-reports.md 3.3). That a single such payment is
#: enough, next to approved ones, is a guess [guess].
_NOT_COUNTED = frozenset({REFUNDED, "VOIDED", "DECLINED", "FAILED", "CHARGEBACK", "CHARGEBACKS", "ERROR", "WRITTEN"})


class PaymentTotals(NamedTuple):
    """An order's payments: the sum of each status in capital letters, sorted, and their number."""

    amounts: tuple[tuple[str, Decimal], ...] = ()
    number: int = 0

    @property
    def approved(self) -> Decimal:
        """The sum of the payments that bring money."""
        return self._sum(_MONEY_IN)

    @property
    def refunded(self) -> Decimal:
        """The sum of the payments that take money back."""
        return self._sum(_MONEY_BACK)

    @property
    def net(self) -> Decimal:
        """What an order with these payments counts for by payments."""
        return self.approved - self.refunded

    def net_of_order(self, total: Decimal) -> Decimal:
        """Return what an order of this total counts for by orders."""
        if any(status in _NOT_COUNTED for status, _ in self.amounts):
            return ZERO
        return total - self._sum({PARTIALLY_REFUNDED})

    def money(self, total: Decimal) -> tuple[Decimal, Decimal, Decimal, int]:
        """Return what is compared: two orders of this total are equal if it is the same."""
        return self.approved, self.refunded, self.net_of_order(total), self.number

    def plus(self, status: Any, amount: Any) -> PaymentTotals:
        """Return the totals with one more payment."""
        name, amounts = str(status or "").upper(), dict(self.amounts)
        amounts[name] = amounts.get(name, ZERO) + to_cents(amount)
        return PaymentTotals(tuple(sorted(amounts.items())), self.number + 1)

    def _sum(self, statuses: Iterable[str]) -> Decimal:
        return sum((amount for status, amount in self.amounts if status in statuses), ZERO)

    def __str__(self) -> str:
        """Return the sums as text, such as `APPROVED 10.00, FAILED 10.00`."""
        return ", ".join(f"{status or 'no status'} {amount:,}" for status, amount in self.amounts) or "no payments"


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


class ReportedPayment(NamedTuple):
    """One payment of a reported order: its status as `status_name` has it; None or "" for what is not readable."""

    status: str
    amount: Decimal | None
    date: str


@dataclass(slots=True)
class ReportedOrder:
    """An order as Wicked's outbound API reports it; `listed` has its payments one by one if that was asked for."""

    total: Decimal
    currency: str
    date: str
    payments: PaymentTotals
    listed: tuple[ReportedPayment, ...] = ()

    @property
    def nets_differ(self) -> bool:
        """Whether the order counts for another amount by orders than by payments."""
        return self.payments.net_of_order(self.total) != self.payments.net


def to_cents(value: Any) -> Decimal:
    """Return an amount in cents; 0 if it is not a number."""
    return parse_cents(value) or ZERO


def parse_cents(value: Any) -> Decimal | None:
    """Return an amount in cents; None if it is not a number."""
    try:
        amount = cents(Decimal(str(value)))
    except (InvalidOperation, ValueError):
        return None
    return amount if amount.is_finite() else None


def status_name(status: Any) -> str:
    """Return a payment's status in capital letters; an empty one counts as APPROVED."""
    return str(status or APPROVED).upper()


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
