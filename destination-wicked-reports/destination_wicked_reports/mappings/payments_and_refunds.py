"""Decides which payment or refund an affiliate order needs after its amount or status changed.

An order is sent once. After that, each change is sent as one payment: the difference between what the sale is worth
now and what Wicked Reports already counts (docs/vendors/affiliate-revenue.md D5). Reading a record again therefore
sends nothing, and the next change also covers one that was missed.

BigCommerce orders have rules of their own: `bigcommerce/payments_and_refunds.py`. `affiliate/sovrn_returns.py` decides
which sale a separate return of Sovrn reduces.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from destination_wicked_reports.model import OrderState

# Payment statuses of Wicked Reports (docs/vendors/wicked-reports.md 2.5).
APPROVED = "APPROVED"
DECLINED = "DECLINED"
REFUNDED = "REFUNDED"
PARTIALLY_REFUNDED = "PARTIALLY REFUNDED"

CENT = Decimal("0.01")

#: Final statuses: a later APPROVED payment on the same order would not count, so a reinstated sale needs a new order.
CLOSING = frozenset({DECLINED, REFUNDED})


def next_payment(state: OrderState, target: Decimal, declined: Decimal | None) -> tuple[str, Decimal] | None:
    """Return status and amount of the payment that changes the order's net to `target`, or None if none is needed.

    `declined` is the declined amount, or None if the sale is not declined. Declining a sale that was never approved
    moves no money; it is sent once, with the declined amount or, if that is zero, the order's total.
    """
    net = state.net
    if target > net:
        return APPROVED, target - net
    if target < net:
        return PARTIALLY_REFUNDED if target else REFUNDED, net - target
    if declined is not None and not state.approved and state.status != DECLINED:
        amount = declined or state.total
        return (DECLINED, amount) if amount else None
    return None


def apply_payment(state: OrderState, status: str, amount: Decimal) -> OrderState:
    """Return the order's state after this payment."""
    return OrderState(
        total=state.total,
        approved=state.approved + amount if status == APPROVED else state.approved,
        refunded=state.refunded + amount if status in (REFUNDED, PARTIALLY_REFUNDED) else state.refunded,
        status=status,
        payments=state.payments + 1,
        revision=state.revision,
        currency=state.currency,
    )


def cents(amount: Decimal) -> Decimal:
    """Return the amount in whole cents, rounded half up (away from zero). Round each amount only once."""
    return amount.quantize(CENT, ROUND_HALF_UP)
