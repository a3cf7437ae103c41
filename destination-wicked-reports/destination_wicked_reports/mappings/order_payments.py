"""What has to be told about an order whose amount or status has moved: at most one payment.

An order goes out once. Whatever comes later is a payment for the difference between what is due now and what Wicked
counts already (`apis/affiliate-facts.md` D5), so a record that is read again, as often as it may be, tells nothing,
and a change that was missed is made up for by the next one.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from destination_wicked_reports.model import OrderState

# Wicked's words (wicked-facts 2.5).
APPROVED = "APPROVED"
DECLINED = "DECLINED"
REFUNDED = "REFUNDED"
PARTIALLY_REFUNDED = "PARTIALLY REFUNDED"

CENT = Decimal("0.01")

#: After these nothing can be added to an order that Wicked would count: it has no inverse of them.
CLOSING = frozenset({DECLINED, REFUNDED})


def next_payment(state: OrderState, target: Decimal, declined: Decimal | None) -> tuple[str, Decimal] | None:
    """Return status and amount of the payment that brings the order from what was told to `target`.

    `declined` is the amount a decline speaks of, None if the sale stands. A decline of what was never approved moves
    no money; it is told once, with the last amount known.
    """
    net = state.net
    if target > net:
        return APPROVED, target - net
    if target < net:
        return PARTIALLY_REFUNDED if target else REFUNDED, net - target
    if declined is not None and not state.approved and state.status != DECLINED:
        lost = declined or state.total
        return (DECLINED, lost) if lost else None
    return None


def after(state: OrderState, status: str, amount: Decimal) -> OrderState:
    """Return the order's state once this payment is told."""
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
    """Return an amount in whole cents, rounded half up (away from zero): done once, and nowhere else."""
    return amount.quantize(CENT, ROUND_HALF_UP)
