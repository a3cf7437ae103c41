"""The orders that sales must have at Wicked Reports.

It implements docs/guides/affiliate-revenue.md What is sent, by event. The oracles use this module and share no code
with the connectors. Each sync passes what it saw of every row, and `Books` keeps the orders and refunds that follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from .oracle import ZERO, OrderTotals


@dataclass(frozen=True)
class Rules:
    """The settings of a mapping that decide what is sent."""

    recognize: str = "pending"
    on_reinstatement: str = "new_order"
    smallest_change: Decimal = ZERO

    def __post_init__(self) -> None:
        if self.recognize not in ("pending", "approved"):
            raise ValueError("recognize is pending or approved")
        if self.on_reinstatement not in ("new_order", "skip"):
            raise ValueError("on_reinstatement is new_order or skip")


@dataclass(frozen=True)
class SeenRow:
    """One row as a sync saw it. `amount` is in cents; a negative one takes money back from another sale.

    A negative row belongs to a sale with one of the same `links`, of which an earlier one takes precedence.
    """

    name: str
    month: str
    currency: str
    amount: Decimal
    status: str = "approved"
    links: tuple[tuple[str, ...], ...] = ()


@dataclass
class Return:
    """A negative row: what it takes back, and its sale once that is known."""

    row: SeenRow
    amount: Decimal = ZERO
    sale: Sale | None = None


@dataclass
class OpenOrder:
    """An order that is not fully refunded."""

    totals: OrderTotals
    left: Decimal


@dataclass
class Sale:
    """One sale: what it is worth, and its orders by SourceID. `own` leaves out its returns."""

    name: str
    month: str
    currency: str = ""
    own: Decimal = ZERO
    links: tuple[tuple[str, ...], ...] = ()
    returns: list[Return] = field(default_factory=list)
    orders: dict[str, OrderTotals] = field(default_factory=dict)
    open: list[OpenOrder] = field(default_factory=list)

    @property
    def worth(self) -> Decimal:
        """Its own amount less what its returns in the same currency take back, never below zero."""
        taken = sum((one.amount for one in self.returns if one.row.currency == self.currency), ZERO)
        return max(self.own + taken, ZERO)

    @property
    def net(self) -> Decimal:
        """What is left of its orders."""
        return sum((order.left for order in self.open), ZERO)

    def settle(self, rules: Rules) -> None:
        """Add the orders and refunds that bring the net to the worth."""
        worth = self.worth
        reinstated = bool(self.orders) and not self.net
        if self.open and self.open[0].totals.currency != self.currency:
            self.refund(self.net)
        elif worth and self.net and abs(worth - self.net) < rules.smallest_change:
            return
        if worth < self.net:
            self.refund(self.net - worth)
        elif worth > self.net and not (reinstated and rules.on_reinstatement == "skip"):
            self.add_order(worth - self.net)

    def add_order(self, total: Decimal) -> None:
        """Add an order with its one APPROVED payment."""
        # an id that itself ends in `~` and digits gets `~1`, so that no two sales share a name
        first = f"{self.name}~1" if re.search(r"~[0-9]+$", self.name) else self.name
        name = f"{first}~{len(self.orders) + 1}" if self.orders else first
        totals = OrderTotals(self.month, self.currency, gross=total, approved=total)
        self.orders[name] = totals
        self.open.append(OpenOrder(totals, total))
        self._count(self.open[-1])

    def refund(self, amount: Decimal) -> None:
        """Refund on the youngest open order, then on the one before."""
        while amount and self.open:
            order = self.open[-1]
            part = min(amount, order.left)
            order.left -= part
            order.totals.refunded += part
            amount -= part
            self._count(order)
            if not order.left:
                self.open.pop()

    def _count(self, order: OpenOrder) -> None:
        """Note that both readings of net give what is left."""
        totals = order.totals
        totals.net = totals.net_by_orders = totals.net_by_payments = order.left
        totals.status = "live" if order.left else "declined"


class Books:
    """All sales and returns of one vendor."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.sales: dict[str, Sale] = {}
        self._returns: dict[str, Return] = {}
        self._by_link: dict[tuple[str, ...], list[Sale]] = {}

    def sync(self, rows: Iterable[SeenRow]) -> None:
        """Add what one sync saw: the sales first, so that a return finds a sale of the same sync."""
        rows = list(rows)
        for row in rows:
            if not self._is_return(row):
                self._see_sale(row)
        for row in rows:
            if self._is_return(row):
                self._see_return(row)
        for returned in self._returns.values():
            self._apply(returned)

    def orders(self) -> dict[str, OrderTotals]:
        """Return every order by SourceID."""
        return {name: totals for sale in self.sales.values() for name, totals in sale.orders.items()}

    def unmatched(self) -> list[Return]:
        """Return the returns without a sale that take something back."""
        return [returned for returned in self._returns.values() if returned.amount and returned.sale is None]

    def _is_return(self, row: SeenRow) -> bool:
        sale = self.sales.get(row.name)
        return row.amount < 0 and not (sale and sale.orders)

    def _recognized(self, row: SeenRow, before: Decimal | None, *, same_currency: bool = True) -> Decimal | None:
        """Return what counts of a row now; None while nothing does. `before` is what counted, None if nothing did."""
        if row.status == "declined":
            return None if before is None else ZERO
        if row.status == "pending" and self._rules.recognize == "approved":
            if before is None:
                return None
            return min(row.amount, before) if same_currency else row.amount  # a fall counts, a rise waits
        return row.amount

    def _see_sale(self, row: SeenRow) -> None:
        sale = self.sales.get(row.name) or Sale(row.name, row.month)
        before = sale.own if sale.orders else None
        value = self._recognized(row, before, same_currency=sale.currency == row.currency)
        if value is None:
            return
        sale.own, sale.currency, sale.links = value, row.currency, row.links
        former = self._returns.pop(row.name, None)  # a row that took money back before, and does not any more
        if former is not None and former.sale is not None:
            former.sale.returns.remove(former)
            former.sale.settle(self._rules)
        is_new = not sale.orders
        sale.settle(self._rules)
        self.sales[row.name] = sale
        if is_new and sale.orders:
            for link in row.links:
                self._by_link.setdefault(link, []).append(sale)

    def _see_return(self, row: SeenRow) -> None:
        known = self._returns.get(row.name)
        value = self._recognized(row, None if known is None else known.amount)
        if value is None:
            return
        returned = self._returns.setdefault(row.name, Return(row))
        returned.row, returned.amount = row, value
        if returned.sale is not None:
            returned.sale.settle(self._rules)

    def _apply(self, returned: Return) -> None:
        """Give a return without a sale to the one it belongs to."""
        if returned.sale is None and returned.amount and (sale := self._sale_of(returned)) is not None:
            returned.sale = sale
            sale.returns.append(returned)
            sale.settle(self._rules)

    def _sale_of(self, returned: Return) -> Sale | None:
        """Return the sale with the first link that finds any: the one it cancels exactly, else that with most left."""
        for link in returned.row.links:
            if sales := self._by_link.get(link):
                return min(sales, key=lambda sale: (sale.worth != -returned.amount, -sale.worth, sale.name))
        return None
