"""What decides an order, a further order and a refund: the rules of revenue that every mapping of sales uses.

Wicked may count net by order or by adding up payments (docs/vendors/wicked-reports.md 10.1). These rules are right
under both readings. Once every row is accepted, the net of a sale's orders is the sale's value:

- An order carries one APPROVED payment of exactly its total.
- A sale that rises becomes a further order for the difference. So does one that is reinstated.
- A sale that falls is PARTIALLY REFUNDED on its youngest open order, then on the one before. An order of which nothing
  is left is REFUNDED.
- A sale whose currency changes is REFUNDED and becomes a further order in the new currency.

Worked examples: docs/guides/affiliate-revenue.md What is sent, by event.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from destination_wicked_reports.model import ZERO, OpenOrder, SaleState

# Wicked's words (docs/vendors/wicked-reports.md 2.5).
APPROVED = "APPROVED"
REFUNDED = "REFUNDED"
PARTIALLY_REFUNDED = "PARTIALLY REFUNDED"

CENT = Decimal("0.01")
_TIME = "%Y-%m-%d %H:%M:%S"


class NewOrder(NamedTuple):
    """An order to send, with its one APPROVED payment; `sale` is the sale after it."""

    number: int
    total: Decimal
    paid_at: str
    sale: SaleState


class Refund(NamedTuple):
    """A payment that takes money back from order `number`; `sale` is the sale after it."""

    number: int
    status: str
    amount: Decimal
    paid_at: str
    sale: SaleState


Step = NewOrder | Refund


def plan(sale: SaleState, value: Decimal, currency: str, paid_at: str, changed_at: str) -> Iterator[Step]:
    """Yield the rows that bring a sale from what was sent to `value`, in the order in which they must arrive.

    `value` is in whole cents of `currency`, not below zero. `paid_at` dates the payment of a first order, `changed_at`
    everything later; both are UTC, `YYYY-MM-DD HH:MM:SS`.
    """
    net = sale.net
    target = ZERO if net and sale.currency != currency else value
    if net > target:
        for refund in _fall(sale, net - target, changed_at):
            yield refund
            sale, net = refund.sale, refund.sale.net
    if value > net:
        yield _further_order(sale, value - net, currency, changed_at if sale.order_count else paid_at)


def _further_order(sale: SaleState, total: Decimal, currency: str, when: str) -> NewOrder:
    number = sale.order_count + 1
    orders = (*sale.open_orders, OpenOrder(number, total, ZERO, when))
    version = sale.version + 1
    after = sale._replace(currency=currency, open_orders=orders, order_count=number, version=version)
    return NewOrder(number, total, when, after)


def _fall(sale: SaleState, amount: Decimal, when: str) -> Iterator[Refund]:
    """Take an amount from the youngest open order, then from the one before."""
    while amount > 0 and sale.open_orders:
        *older, order = sale.open_orders
        taken = min(amount, order.left)
        amount -= taken
        paid_at = _after(order.paid_at, when)
        rest = [order._replace(refunded=order.refunded + taken, paid_at=paid_at)] if taken < order.left else []
        sale = sale._replace(open_orders=(*older, *rest), version=sale.version + 1)
        yield Refund(order.number, PARTIALLY_REFUNDED if rest else REFUNDED, taken, paid_at, sale)


def _after(earlier: str, when: str) -> str:
    """Return a moment at least one second after every earlier payment of the order, so that the refund comes last."""
    if when > earlier:
        return when
    return (datetime.strptime(earlier, _TIME) + timedelta(seconds=1)).strftime(_TIME)  # noqa: DTZ007 - UTC by contract


def cents(amount: Decimal) -> Decimal:
    """Return an amount in whole cents, rounded half up (away from zero)."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def order_name(source_id: str, number: int) -> str:
    """Return the SourceID of an order of a sale: the sale's own id, then `id~2`, `id~3`, …"""
    return source_id if number == 1 else f"{source_id}~{number}"
