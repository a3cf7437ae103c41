"""Reads from an order and its transactions what it is worth now, and when (docs/vendors/bigcommerce.md 5.5).

The value is what was paid less what was refunded, at most the total. The order reports both (`payment_status`,
`refunded_amount`), and so do its transactions; the larger amount counts. The value is therefore the same whichever
stream is read first, and also if the transactions are never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Literal

from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.bigcommerce.records import OrderItem, ShopOrder, Transaction
from destination_wicked_reports.mappings.revenue import CENT, cents
from destination_wicked_reports.model import ZERO

_EXACT = Context(prec=60)


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

        #: The order's total, in cents.
        self.total = self._converted(Decimal(order.total if self._with_tax else order.total_ex_tax))

    def counted(self, amount: Decimal) -> Decimal:
        """Return the part of a payment or refund that counts, in cents."""
        part, whole = self._share
        return self._converted(amount if part == whole else _EXACT.divide(_EXACT.multiply(amount, part), whole))

    def price(self, item: OrderItem) -> Decimal:
        """Return the price of one unit, rounded to cents only if it is converted."""
        price = Decimal(item.price if self._with_tax or item.price_ex_tax == "" else item.price_ex_tax)
        return price if self._rate == 1 else self._converted(price)

    def _converted(self, amount: Decimal) -> Decimal:
        return cents(amount if self._rate == 1 else _EXACT.divide(amount, self._rate))


@dataclass(slots=True, frozen=True)
class Balance:
    """The money of one order, with tax and in the order's currency; dates are UTC.

    - `is_test`: it was paid in a gateway's test mode, which is no revenue.
    - `paid`: it counts as paid in full, by its own status or because its captures reach the total.
    - `ended`: it will not be paid any more.
    - `received`: captures less voids and refunds.
    - `value`: paid less refunded, between 0 and the total.
    - `excess`: refunds beyond what was paid.
    - `paid_at`: the date of the capture that reached the total, else that of the order's last change if it was first
      read unpaid, else that of the order.
    - `changed_at`: the order's last change, or the capture that reached the total if that is later.
    - `returns`: date and amount of each refund and void, oldest first.
    """

    total: Decimal
    is_test: bool
    paid: bool
    ended: bool
    received: Decimal
    value: Decimal
    excess: Decimal
    paid_at: str
    changed_at: str
    returns: tuple[tuple[str, Decimal], ...]

    def counted_value(self, money: Money) -> Decimal:
        """Return the value as it is sent, in cents."""
        return money.total if self.value == self.total else min(money.counted(self.value), money.total)

    def fell_at(self, amount: Decimal, latest_payment: str, money: Money) -> str:
        """Return the date of a fall by this amount of cents.

        It is that of the last refund if the refunds since the latest payment explain the fall.
        """
        recent = [(when, returned) for when, returned in self.returns if when > latest_payment]
        refunded = money.counted(sum((returned for _, returned in recent), ZERO))
        return recent[-1][0] if recent and abs(refunded - amount) <= CENT else self.changed_at


def read_balance(order: ShopOrder, transactions: Mapping[str, Transaction]) -> Balance:
    """Return the balance of an order. `transactions` are all transactions that were read, by id."""
    total = Decimal(order.total)
    has_test = any(transaction.kind == "test" for transaction in transactions.values())
    movements = _movements(order, transactions)
    captured, voided, refunded = (_sum(movements, kind) for kind in ("capture", "void", "refund"))
    full = order.payment_state == "refunded"
    refunded = max(refunded, Decimal(order.refunded) or total if full else Decimal(order.refunded))
    # A deposit that was refunded makes the order call itself refunded, although the total was never paid.
    only_deposit = full and ZERO < captured < total and refunded >= captured
    # An order paid in a gateway's test mode calls itself paid like any other.
    says_paid = order.payment_state in ("paid", "refunded") and not has_test and not only_deposit
    approved = max(captured, total) if says_paid else captured
    worthless = order.deleted or order.is_test or only_deposit
    reached_at = _reached_at(movements, total)
    is_paid = not worthless and (captured - voided >= total or (says_paid and not captured <= voided > 0))
    return Balance(
        total=total,
        is_test=order.is_test or (has_test and not is_paid),
        paid=is_paid,
        ended=not is_paid and (worthless or order.payment_state == "lost"),
        received=captured - voided - _sum(movements, "refund"),
        value=ZERO if worthless else max(min(approved - refunded - voided, total), ZERO),
        excess=max(refunded + voided - approved, ZERO) if approved and not worthless else ZERO,
        paid_at=reached_at or (order.modified if order.was_unpaid else order.created),
        changed_at=max(order.modified, reached_at),
        returns=tuple((movement.when, movement.amount) for movement in movements if movement.kind != "capture"),
    )


def in_other_currency(order: ShopOrder, transaction: Transaction) -> bool:
    """Tell whether a transaction is in another currency than its order, so that it cannot count."""
    return bool(transaction.currency) and order.currency not in ("", transaction.currency)


@dataclass(slots=True)
class _Movement:
    """A transaction that moved money."""

    kind: Literal["capture", "refund", "void"]
    amount: Decimal
    when: str


def _movements(order: ShopOrder, transactions: Mapping[str, Transaction]) -> list[_Movement]:
    """Return what the transactions moved, in the order of their time."""
    counted = {
        name: transaction
        for name, transaction in transactions.items()
        if transaction.kind != "test" and not in_other_currency(order, transaction)
    }
    purchase_ids = {name for name, transaction in counted.items() if transaction.kind in ("purchase", "capture")}
    movements: list[_Movement] = []
    left = ZERO
    for _, transaction in sorted(counted.items(), key=lambda item: (item[1].when, len(item[0]), item[0])):
        kind, amount, reference = transaction.kind, Decimal(transaction.amount), transaction.reference
        if kind == "settled" and reference in purchase_ids:
            continue  # the same money
        if kind == "void":
            # An authorization was never revenue, so its void takes nothing back.
            if not (reference in purchase_ids if reference else left >= amount > 0):
                continue
            movements.append(_Movement("void", amount, transaction.when))
        elif kind == "refund":
            movements.append(_Movement("refund", amount, transaction.when))
        else:
            movements.append(_Movement("capture", amount, transaction.when))
        left += amount if movements[-1].kind == "capture" else -amount
    return movements


def _sum(movements: list[_Movement], kind: str) -> Decimal:
    return sum((movement.amount for movement in movements if movement.kind == kind), ZERO)


def _reached_at(movements: list[_Movement], total: Decimal) -> str:
    """Return when captures less voids last reached the total, "" if they are below it."""
    reached_at, captured = "", ZERO
    for movement in movements:
        before = captured
        if movement.kind != "refund":
            captured += movement.amount if movement.kind == "capture" else -movement.amount
        if captured < total:
            reached_at = ""
        elif before < total:
            reached_at = movement.when
    return reached_at
