"""What Wicked must hold of Sovrn's revenue, computed from the scripted lives alone.

Nothing is shared with the connectors: the rules are read again from affiliate-facts D4 and D5 (second half) and
DESIGN section 5. Sovrn has no status, so there is nothing to recognize: what is there is revenue until it is taken
back. What Wicked does hold is `truth.held`, in the same table.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..wecantrack.oracle import OrderSum, cents
from .transactions import SovrnRow, SovrnState, day_of

_ZERO = Decimal(0)
_BASES = {"commission": "revenue", "sale_amount": "order_value"}


@dataclass(frozen=True)
class SovrnTruthSettings:
    """How the destination is configured and what the source was asked for.

    `identity`: rules as `leaf:pattern` (`cuid:^U\\d+_`, `pageUtmInfo.utmCampaign:...`); an order none of them finds
    is skipped; no rules, no skipping. `not_before` is the source's start: an update before it is never read.
    """

    revenue_basis: str = "commission"
    identity: tuple[str, ...] = ()
    not_before: int | None = None
    cpc: bool = False
    without_networks: tuple[str, ...] = ()
    currency: str = "USD"
    zone: str = "utc"

    def __post_init__(self) -> None:
        if self.revenue_basis not in _BASES:
            raise ValueError(f"revenue_basis is one of {', '.join(_BASES)}")

    def amount(self, state: SovrnState) -> Decimal:
        """Return what a state says, in cents."""
        return cents(getattr(state, _BASES[self.revenue_basis]))

    def wanted(self, row: SovrnRow) -> bool:
        """Tell whether a row takes part at all; clicks paid by the click do not unless asked for (D5)."""
        return (self.cpc or row.program_type.lower() != "cpc") and row.common["network"] not in self.without_networks

    def has_contact(self) -> Callable[[SovrnRow], bool]:
        """Make the test for an identity from the rules."""
        rules = [(rule.split(":", 1)[0].split("."), re.compile(rule.split(":", 1)[1])) for rule in self.identity]
        return lambda row: not rules or any(pattern.search(_leaf(row, path)) for path, pattern in rules)


def _leaf(row: SovrnRow, path: list[str]) -> str:
    value: Any = {**row.common, "cuid": row.cuid, "clickId": row.click_id}
    for name in path:
        value = value.get(name, "") if isinstance(value, dict) else ""
    return value if isinstance(value, str) else ""


@dataclass
class _Order:
    """One row that is an order, and what was last seen of it."""

    row: SovrnRow
    sum: OrderSum
    live: Decimal = _ZERO

    def move(self, now: Decimal) -> None:
        """Follow the amount: up is approved, down is refunded, up to what is there."""
        now = max(now, _ZERO)
        if now > self.live:
            self.sum.approved += now - self.live
        else:
            self.refund(self.live - now)
        self.live = now

    def refund(self, amount: Decimal) -> Decimal:
        """Take back as much of `amount` as is there; return what was taken."""
        taken = min(amount, self.sum.net)
        self.sum.refunded += taken
        return taken


@dataclass
class _Adjustment:
    """One separate negative row: what it asks for, and what was taken from which order for it."""

    row: SovrnRow
    asked: Decimal = _ZERO
    settled: Decimal = _ZERO
    taken: list[tuple[_Order, Decimal]] = field(default_factory=list)

    def settle(self, parents: Sequence[_Order]) -> None:
        """Refund what is newly asked for, or give back what is no longer; more than is there is let go."""
        more = self.asked - self.settled
        for order in parents if more > 0 else ():
            part = order.refund(more)
            self.taken.append((order, part))
            more -= part
        while more < 0 and self.taken:
            order, part = self.taken.pop()
            back = min(-more, part)
            order.sum.approved += back
            more += back
            if part > back:
                self.taken.append((order, part - back))
        self.settled = self.asked


@dataclass
class Expected:
    """The orders by SourceID, and the negative rows that no order answers to."""

    orders: dict[str, OrderSum]
    unmatched: list[dict[str, str]]


class _Books:
    """Takes in what the syncs see, one row's word at a time."""

    def __init__(self, settings: SovrnTruthSettings) -> None:
        self._settings = settings
        self.orders: dict[str, _Order] = {}
        self.adjustments: dict[str, _Adjustment] = {}
        self._by_click: dict[tuple[int, str, int], list[_Order]] = {}
        self._by_commission: dict[tuple[int, str], list[_Order]] = {}

    def see(self, row: SovrnRow, amount: Decimal) -> None:
        """Note one observed amount."""
        key = source_id(row)
        if key not in self.orders:
            if amount < 0 or key in self.adjustments:
                self.adjustments.setdefault(key, _Adjustment(row)).asked = max(-amount, _ZERO)
                return
            if amount == 0:  # no order before the first amount that is one after rounding
                return
            month = day_of(row.committed_at, self._settings.zone)[:7]
            order = self.orders[key] = _Order(row, OrderSum(month, self._settings.currency, gross=amount))
            self._by_click.setdefault(_click_key(row), []).append(order)
            self._by_commission.setdefault((row.account_id, row.commission_id), []).append(order)
        self.orders[key].move(amount)

    def settle(self) -> None:
        """Match what asks for something with orders; unmatched rows go on asking, in case the order comes later."""
        for adjustment in self.adjustments.values():
            if parents := self._parents(adjustment.row):
                adjustment.settle(parents)

    def _parents(self, row: SovrnRow) -> list[_Order]:
        """Find the orders of the same click and merchant group, else of the same commission (D5)."""
        found = self._by_click.get(_click_key(row), []) if row.click_id else []
        found = found or self._by_commission.get((row.account_id, row.commission_id), [])
        return sorted(found, key=lambda order: order.row.commission_id != row.commission_id)

    def unmatched(self) -> list[dict[str, str]]:
        """Return the negative rows for which no order was found."""
        return [
            {"source_id": key, "amount": str(-adjustment.asked)}
            for key, adjustment in self.adjustments.items()
            if adjustment.asked and not self._parents(adjustment.row)
        ]


def _click_key(row: SovrnRow) -> tuple[int, str, int]:
    return row.account_id, row.click_id, int(row.common["merchantGroupId"])


def source_id(row: SovrnRow) -> str:
    """Return the order's SourceID (D4)."""
    return f"sovrn-{row.account_id}-{row.revenue_id}-{row.commission_id}"


def expected(rows: Iterable[SovrnRow], instants: Sequence[int], settings: SovrnTruthSettings) -> Expected:
    """Compute every order that syncs at these instants must have made."""
    syncs = sorted(instants)
    seen: list[list[tuple[SovrnRow, Decimal]]] = [[] for _ in syncs]
    for row in rows:
        if settings.wanted(row):
            for number, state in _observed(row, syncs, settings):
                seen[number].append((row, settings.amount(state)))
    books = _Books(settings)
    for words in seen:
        for row, amount in words:
            books.see(row, amount)
        books.settle()  # after the whole sync: an order edited later comes under a later day than its return
    has_contact = settings.has_contact()
    orders = {key: order.sum for key, order in books.orders.items() if has_contact(order.row)}
    for order in orders.values():
        order.status = "live" if order.net else "declined"
    return Expected(orders, books.unmatched())


def _observed(row: SovrnRow, syncs: list[int], settings: SovrnTruthSettings) -> Iterable[tuple[int, SovrnState]]:
    """Yield which sync is the first to see which state; a state that is gone before the next sync is never seen."""
    for position, state in enumerate(row.states):
        number = bisect_left(syncs, state.visible_at)
        last = position + 1 == len(row.states)
        if number == len(syncs) or (not last and row.states[position + 1].visible_at <= syncs[number]):
            continue
        if settings.not_before is None or state.updated_at >= settings.not_before:
            yield number, state
