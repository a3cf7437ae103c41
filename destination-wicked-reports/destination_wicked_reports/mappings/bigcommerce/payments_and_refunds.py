"""Decides which payments and refunds a BigCommerce order still needs (docs/vendors/bigcommerce.md 5.5).

Each transaction is sent as a payment of its own. What no transaction covers is derived from the order itself
(`payment_status`, `refunded_amount`, an edited total) and sent as a difference; a transaction for the same money that
arrives later is then not sent. The revenue is therefore the same whichever stream is read first, and also if one of
the two is never read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from typing import Literal

from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.bigcommerce.records import OrderItem, ShopOrder, Transaction
from destination_wicked_reports.mappings.payments_and_refunds import (
    APPROVED,
    DECLINED,
    PARTIALLY_REFUNDED,
    REFUNDED,
    cents,
)
from destination_wicked_reports.model import ZERO, OrderState

VOIDED = "VOIDED"
FAILED = "FAILED"
_EXACT = Context(prec=60)

#: Whether money came in, went back, or never moved.
Direction = Literal["in", "back", "none"]


class Money:
    """Converts the amounts of one order: with or without tax, in the order's or the store's currency.

    Raises FieldError if the order lacks a value that this needs.
    """

    def __init__(
        self, order: ShopOrder, basis: Literal["total_inc_tax", "total_ex_tax"], target: Literal["order", "store"]
    ) -> None:
        self.currency = order.currency
        self._with_tax = basis == "total_inc_tax"
        self._rate = Decimal(1)
        if target == "store" and order.store_currency != self.currency:
            self._rate = Decimal(order.exchange_rate or 0)
            if self._rate <= 0 and order.store_currency:
                raise FieldError(
                    "OrderTotal", "the exchange rate is missing; select its field, or set currency to `order`"
                )
            if self._rate > 0 and self._rate != 1 and not order.store_currency:
                raise FieldError(
                    "OrderCurrency",
                    "store_default_currency_code is missing, so the currency of the converted amounts is unknown; "
                    "select that field, or set currency to `order`",
                )
            self._rate = self._rate if self._rate > 0 else Decimal(1)
            self.currency = order.store_currency or self.currency
        total = Decimal(order.total)
        if not self._with_tax and order.total_ex_tax == "":
            raise FieldError(
                "OrderTotal", "total_ex_tax is missing; select that field, or set order_total to `total_inc_tax`"
            )
        #: the share of a payment that counts; payments always include tax
        self._share = (total, total) if self._with_tax or not total else (Decimal(order.total_ex_tax), total)

    def total(self, order: ShopOrder) -> Decimal:
        """Return the order's total in cents."""
        return self._converted(Decimal(order.total if self._with_tax else order.total_ex_tax))

    def paid(self, amount: Decimal) -> Decimal:
        """Return the part of a payment or refund that counts, in cents."""
        part, whole = self._share
        return self._converted(amount if part == whole else _EXACT.divide(_EXACT.multiply(amount, part), whole))

    def price(self, item: OrderItem) -> Decimal:
        """Return the price of one unit, rounded to cents only if it is converted."""
        price = Decimal(item.price if self._with_tax or item.price_ex_tax == "" else item.price_ex_tax)
        return price if self._rate == 1 else self._converted(price)

    def _converted(self, amount: Decimal) -> Decimal:
        return cents(amount if self._rate == 1 else _EXACT.divide(amount, self._rate))


@dataclass(slots=True)
class Payment:
    """One payment to send; `transaction_id` is "" if it covers a difference.

    `state` is the state of the order after this payment.
    """

    transaction_id: str
    status: str
    amount: Decimal
    when: str
    state: OrderState


@dataclass(slots=True)
class DuePayments:
    """The payments to send, and the transactions whose money was sent already, as part of a difference."""

    payments: list[Payment] = field(default_factory=list)
    covered_ids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Movement:
    """One transaction as it counts, `amount` in cents; `voids` is the id of the purchase that a void cancels."""

    transaction_id: str
    direction: Direction
    status: str
    amount: Decimal
    when: str
    voids: str = ""


def due_payments(
    order: ShopOrder,
    transactions: Mapping[str, Transaction],
    sent_ids: Collection[str],
    state: OrderState,
    money: Money,
) -> DuePayments:
    """Return the payments that change the order from `state` to what it is worth now.

    `transactions` are all transactions of the order by id, `sent_ids` those whose money was sent.
    """
    return _Calculation(order, transactions, frozenset(sent_ids), state, money).run()


def foreign_currency_ids(order: ShopOrder, transactions: Mapping[str, Transaction]) -> list[str]:
    """Return the ids of transactions in a currency other than the order's."""
    return [
        name
        for name, transaction in transactions.items()
        if transaction.kind not in ("foreign", "test")
        and transaction.currency
        and order.currency not in ("", transaction.currency)
    ]


def _movements(transactions: Mapping[str, Transaction], money: Money) -> list[_Movement]:
    """Return the transactions in the order of their time.

    Each direction is added up before it is rounded, so rounding never makes the payments differ from their sum.
    """
    by_time = sorted(transactions.items(), key=lambda item: (item[1].when, len(item[0]), item[0]))
    purchase_ids = {name for name, transaction in by_time if transaction.kind in ("purchase", "capture")}
    sums = {"in": ZERO, "back": ZERO}
    movements: list[_Movement] = []
    for name, transaction in by_time:
        kind, raw, reference = transaction.kind, Decimal(transaction.amount), transaction.reference
        direction: Direction
        voids = ""
        if kind in ("foreign", "test") or (kind == "settled" and reference in purchase_ids):
            continue
        if kind in ("FAILED", "DECLINED"):
            direction, status = "none", FAILED if kind == "FAILED" else DECLINED
        elif kind == "refund":
            direction, status = "back", REFUNDED
        elif kind == "void":
            # An authorization was never revenue, so its void takes nothing back.
            takes_back = reference in purchase_ids if reference else sums["in"] - sums["back"] >= raw > 0
            direction, status = "back" if takes_back else "none", VOIDED
            voids = reference if takes_back else ""
        else:
            direction, status = "in", APPROVED
        if direction == "none":
            amount = money.paid(raw)
        else:
            before = money.paid(sums[direction])
            sums[direction] += raw
            amount = money.paid(sums[direction]) - before
        movements.append(_Movement(name, direction, status, amount, transaction.when, voids))
    return movements


class _Calculation:
    def __init__(
        self,
        order: ShopOrder,
        transactions: Mapping[str, Transaction],
        sent_ids: frozenset[str],
        state: OrderState,
        money: Money,
    ) -> None:
        self._order = order
        self._movements = _movements(transactions, money)
        # An order paid in a gateway's test mode reports itself as paid like any other.
        is_test = any(transaction.kind == "test" for transaction in transactions.values())
        self._payment_state = "" if is_test else order.payment_state
        self._sent_ids = sent_ids
        self._state = state
        self._total = money.total(order)
        self._refunded = money.paid(Decimal(order.total if order.payment_state == "refunded" else order.refunded))
        self._due = DuePayments()

    def run(self) -> DuePayments:
        incoming = self._sum("in")
        is_paid = self._payment_state in ("paid", "refunded")
        approved = max(incoming, self._total) if is_paid else incoming
        if not incoming and approved > self._state.approved and not self._order.deleted:
            self._add("", APPROVED, approved - self._state.approved, self._paid_at())
        # Money sent beyond the sent transactions was sent as a difference; it covers transactions that arrive now.
        uncovered = {
            "in": max(self._state.approved - self._sum("in", self._sent_ids), ZERO),
            "back": max(self._state.refunded - self._sum("back", self._sent_ids), ZERO),
        }
        voided = self._voided_purchases() if not uncovered["in"] else {}
        for movement in self._movements:
            if movement.transaction_id in self._sent_ids:
                continue
            amount, direction, status = movement.amount, movement.direction, movement.status
            if movement.transaction_id in voided:
                amount = ZERO
            elif movement.transaction_id in voided.values():
                direction = "none"
            elif direction == "back":
                status = REFUNDED
            if direction != "none":
                covered = min(uncovered[direction], amount)
                uncovered[direction] -= covered
                amount -= covered
                if direction == "back":
                    amount = min(amount, self._state.net)
            if amount:
                self._add(movement.transaction_id, status, amount, movement.when, direction)
            else:
                self._due.covered_ids.add(movement.transaction_id)
        self._add_difference(self._target(approved))
        is_lost = self._payment_state in (DECLINED, VOIDED)
        if is_lost and not self._movements and not self._state.payments and self._total:
            self._add("", self._payment_state, self._total, self._order.modified, "none")
        return self._due

    def _voided_purchases(self) -> dict[str, str]:
        """Return the unsent purchases that were voided in full, and the voids, by id.

        Wicked Reports leaves a VOIDED payment out of net revenue (docs/vendors/wicked-reports.md 3.3); whether it also
        cancels an APPROVED payment of the same order is not documented. So of such a pair only the void is sent, and
        the void of a purchase that was sent becomes a refund.
        """
        unsent = {one.transaction_id: one for one in self._movements if one.transaction_id not in self._sent_ids}
        return {
            movement.voids: movement.transaction_id
            for movement in unsent.values()
            if movement.voids in unsent and unsent[movement.voids].amount == movement.amount
        }

    def _sum(self, direction: Direction, ids: Collection[str] | None = None) -> Decimal:
        amounts = (
            one.amount
            for one in self._movements
            if one.direction == direction and (ids is None or one.transaction_id in ids)
        )
        return sum(amounts, ZERO)

    def _target(self, approved: Decimal) -> Decimal:
        """Return the net that Wicked Reports should count: what was paid less what was refunded, at most the total.

        Wicked Reports cannot update an order (docs/vendors/bigcommerce.md 5.5), so this also covers an edited total: a
        paid order was paid what it costs now, and the rest was refunded.
        """
        if self._order.deleted:
            return ZERO
        voided = sum((one.amount for one in self._movements if one.direction == "back" and one.status == VOIDED), ZERO)
        returned = max(self._sum("back") - voided, self._refunded) + voided
        return max(min(approved - returned, self._total), ZERO)

    def _add_difference(self, target: Decimal) -> None:
        """Add the difference that no transaction covers, dated by the order's last change."""
        net = self._state.net
        if target > net:
            self._add("", APPROVED, target - net, self._order.modified)
        elif target < net:
            self._add("", REFUNDED, net - target, self._order.modified, "back")

    def _paid_at(self) -> str:
        """Return the payment date of an order without transactions: its creation, if it was never read as unpaid."""
        return self._order.modified if self._order.was_unpaid else self._order.created

    def _add(self, transaction_id: str, status: str, amount: Decimal, when: str, direction: Direction = "in") -> None:
        state = self._state
        if direction == "back" and status == REFUNDED and amount < state.net:
            status = PARTIALLY_REFUNDED
        self._state = replace(
            state,
            approved=state.approved + amount if direction == "in" else state.approved,
            refunded=state.refunded + amount if direction == "back" else state.refunded,
            status=status,
            payments=state.payments + 1,
        )
        self._due.payments.append(Payment(transaction_id, status, amount, when, self._state))
