"""The payments of one BigCommerce order: what its transactions and its own words say, less what Wicked was told.

Transactions are the truth about money, each its own payment. The order's own words (`payment_status`,
`refunded_amount`, a total that was edited) fill in what no transaction tells, as a difference; a transaction that
arrives later and says the same is then not told again. So the revenue is the same whichever stream is read first, or
if one of the two is never read (`airbyte/conventions.md` 5.5).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from typing import Any, Literal

from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.bigcommerce.records import FOREIGN, TEST
from destination_wicked_reports.mappings.order_payments import APPROVED, DECLINED, PARTIALLY_REFUNDED, REFUNDED, cents
from destination_wicked_reports.model import ZERO, OrderState

VOIDED = "VOIDED"
FAILED = "FAILED"
_LOST = frozenset({FAILED, DECLINED})
_EXACT = Context(prec=60)

Facts = Mapping[str, Any]


class Money:
    """An order's amounts as they are sent: with tax or without, in the order's currency or in the store's.

    Raises FieldError if the order does not say what that takes.
    """

    def __init__(
        self, order: Facts, basis: Literal["total_inc_tax", "total_ex_tax"], target: Literal["order", "store"]
    ) -> None:
        self.currency: str = order["currency"]
        self._with_tax = basis == "total_inc_tax"
        self._rate = Decimal(1)
        if target == "store" and order["store_currency"] != self.currency:
            self._rate = Decimal(order["rate"] or 0)
            if self._rate <= 0 and order["store_currency"]:
                raise FieldError("OrderTotal", "the exchange rate is missing; bring it, or choose currency `order`")
            if self._rate > 0 and self._rate != 1 and not order["store_currency"]:
                raise FieldError(
                    "OrderCurrency",
                    "store_default_currency_code is missing, so nobody knows which currency the exchange rate leads "
                    "to; bring that field, or choose currency `order`",
                )
            self._rate = self._rate if self._rate > 0 else Decimal(1)
            self.currency = order["store_currency"] or self.currency
        whole = Decimal(order["total"])
        if not self._with_tax and order["total_ex"] == "":
            raise FieldError("OrderTotal", "total_ex_tax is missing; bring it, or choose order_total `total_inc_tax`")
        #: what part of a payment, which always has its tax in it, counts
        self._share = (whole, whole) if self._with_tax or not whole else (Decimal(order["total_ex"]), whole)

    def total(self, order: Facts) -> Decimal:
        """Return the order's total, in cents."""
        return self._converted(Decimal(order["total"] if self._with_tax else order["total_ex"]))

    def paid(self, amount: Decimal) -> Decimal:
        """Return what counts of money that was paid or given back, in cents."""
        part, whole = self._share
        return self._converted(amount if part == whole else _EXACT.divide(_EXACT.multiply(amount, part), whole))

    def price(self, line: Facts) -> Decimal:
        """Return the price of one piece: as it is in the order's currency, in cents where it is converted."""
        price = Decimal(line["price"] if self._with_tax or line["price_ex"] == "" else line["price_ex"])
        return price if self._rate == 1 else self._converted(price)

    def _converted(self, amount: Decimal) -> Decimal:
        return cents(amount if self._rate == 1 else _EXACT.divide(amount, self._rate))


@dataclass(slots=True)
class Payment:
    """One payment to be told; `event` is the id of its transaction, "" if it makes up a difference.

    `state` is what Wicked was told of the order once this payment has arrived.
    """

    event: str
    status: str
    amount: Decimal
    when: str
    state: OrderState


@dataclass(slots=True)
class _Event:
    name: str
    side: Literal["in", "back", "lost"]
    status: str
    amount: Decimal
    when: str
    undoes: str = ""


@dataclass(slots=True)
class Settlement:
    """What is to be told, and the transactions that are told already by a difference."""

    payments: list[Payment] = field(default_factory=list)
    absorbed: set[str] = field(default_factory=set)


def settle(
    order: Facts, events: Mapping[str, Facts], told: Collection[str], state: OrderState, money: Money
) -> Settlement:
    """Return the payments that bring Wicked from `state` to what the order is worth now.

    `events` are all transactions of the order by id, `told` the ids of those that Wicked has or is known to have.
    """
    return _Teller(order, events, frozenset(told), state, money).settlement()


def foreigners(order: Facts, events: Mapping[str, Facts]) -> list[str]:
    """Return the transactions in another currency than the order's."""
    return [
        name
        for name, event in events.items()
        if event["kind"] not in (FOREIGN, TEST)
        and event["currency"]
        and order["currency"] not in ("", event["currency"])
    ]


def _events(events: Mapping[str, Facts], money: Money) -> list[_Event]:
    """Return the transactions in their order of time, amounts as they are sent.

    Each side is added up before it is rounded, so that the payments of an order never differ from their sum by a cent.
    """
    listed = sorted(events.items(), key=lambda item: (item[1]["when"], len(item[0]), item[0]))
    incoming = {name for name, event in listed if event["kind"] in ("purchase", "capture")}
    sums = {"in": ZERO, "back": ZERO}
    found: list[_Event] = []
    for name, event in listed:
        kind, raw, reference = event["kind"], Decimal(event["amount"]), event["reference"]
        side: Literal["in", "back", "lost"]
        undoes = ""
        if kind in (FOREIGN, TEST) or (kind == "settled" and reference in incoming):
            continue
        if kind in _LOST:
            side, status = "lost", kind
        elif kind == "refund":
            side, status = "back", REFUNDED
        elif kind == "void":
            # What was only authorized was never revenue: its void takes nothing back.
            taken = reference in incoming if reference else sums["in"] - sums["back"] >= raw > 0
            side, status = "back" if taken else "lost", VOIDED
            undoes = reference if taken else ""
        else:
            side, status = "in", APPROVED
        if side == "lost":
            counted = money.paid(raw)
        else:
            before = money.paid(sums[side])
            sums[side] += raw
            counted = money.paid(sums[side]) - before
        found.append(_Event(name, side, status, counted, event["when"], undoes))
    return found


class _Teller:
    def __init__(
        self, order: Facts, events: Mapping[str, Facts], told: frozenset[str], state: OrderState, money: Money
    ) -> None:
        self._order = order
        self._events = _events(events, money)
        # An order that was paid in a gateway's test mode calls itself paid like any other.
        self._word = "" if any(event["kind"] == TEST for event in events.values()) else order["paid"]
        self._told = told
        self._state = state
        self._total = money.total(order)
        self._refunded = money.paid(Decimal(order["total"] if order["paid"] == "refunded" else order["refunded"]))
        self._done = Settlement()

    def settlement(self) -> Settlement:
        word = self._word
        incoming = self._sum("in")
        approved = max(incoming, self._total) if word in ("paid", "refunded") else incoming
        if not incoming and approved > self._state.approved and not self._order["deleted"]:
            self._tell("", APPROVED, approved - self._state.approved, self._since())
        # What was told beyond the transactions told so far: these say the same, and are not told again.
        spare = {
            "in": max(self._state.approved - self._sum("in", self._told), ZERO),
            "back": max(self._state.refunded - self._sum("back", self._told), ZERO),
        }
        undone = self._undone() if not spare["in"] else {}
        for event in self._events:
            if event.name in self._told:
                continue
            amount, side, status = event.amount, event.side, event.status
            if event.name in undone:
                amount = ZERO
            elif event.name in undone.values():
                side = "lost"
            elif side == "back":
                status = REFUNDED
            if side != "lost":
                absorbed = min(spare[side], amount)
                spare[side] -= absorbed
                amount -= absorbed
                if side == "back":
                    amount = min(amount, self._state.net)
            if amount:
                self._tell(event.name, status, amount, event.when, money=side)
            else:
                self._done.absorbed.add(event.name)
        self._make_up(self._target(approved))
        if word in (DECLINED, VOIDED) and not self._events and not self._state.payments and self._total:
            self._tell("", word, self._total, self._order["modified"], money="lost")
        return self._done

    def _undone(self) -> dict[str, str]:
        """Return the purchases that were voided before Wicked was told of them, and their voids.

        Wicked leaves a VOIDED payment out of net revenue (`apis/wicked-facts.md` 3.3), which says nothing about an
        APPROVED one beside it. So of such a pair the void alone is told, and of a purchase that Wicked has the void
        is told as the refund that it amounts to.
        """
        untold = {event.name: event for event in self._events if event.name not in self._told}
        return {
            event.undoes: event.name
            for event in untold.values()
            if event.undoes in untold and untold[event.undoes].amount == event.amount
        }

    def _sum(self, side: str, names: Collection[str] | None = None) -> Decimal:
        return sum((e.amount for e in self._events if e.side == side and (names is None or e.name in names)), ZERO)

    def _target(self, approved: Decimal) -> Decimal:
        """Return what Wicked should count: what was paid less what was given back, and never more than the total.

        Wicked knows no update of an order (`airbyte/conventions.md` 5.5), so this is also how an edited total is told:
        what an order that is paid says it costs now was paid, and what it does not cost any more was given back.
        """
        if self._order["deleted"]:
            return ZERO
        voided = sum((e.amount for e in self._events if e.side == "back" and e.status == VOIDED), ZERO)
        returned = max(self._sum("back") - voided, self._refunded) + voided
        return max(min(approved - returned, self._total), ZERO)

    def _make_up(self, target: Decimal) -> None:
        """Tell the difference that no transaction told, dated by the order's last change."""
        net = self._state.net
        if target > net:
            self._tell("", APPROVED, target - net, self._order["modified"])
        elif target < net:
            self._tell("", REFUNDED, net - target, self._order["modified"], money="back")

    def _since(self) -> str:
        """Return when an order was paid that only its own words call paid: when it was made, if never seen unpaid."""
        known: str = self._order["modified" if self._order.get("open") else "created"]
        return known

    def _tell(self, event: str, status: str, amount: Decimal, when: str, money: str = "in") -> None:
        state = self._state
        if money == "back" and status == REFUNDED and amount < state.net:
            status = PARTIALLY_REFUNDED
        self._state = replace(
            state,
            approved=state.approved + amount if money == "in" else state.approved,
            refunded=state.refunded + amount if money == "back" else state.refunded,
            status=status,
            payments=state.payments + 1,
        )
        self._done.payments.append(Payment(event, status, amount, when, self._state))
