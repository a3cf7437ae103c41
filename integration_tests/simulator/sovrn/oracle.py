"""What Wicked Reports must store of Sovrn's commissions, computed from the scripted rows alone.

It implements docs/guides/affiliate-revenue.md What is sent, by event, independently of the connectors. Sovrn has no
status, so a commission is revenue from when it appears until it is taken back.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..oracle import ZERO, OrderTotals, cents
from .transactions import SovrnRow, SovrnState, day_of

_BASES = {"commission": "revenue", "sale_amount": "order_value"}


@dataclass(frozen=True)
class SovrnOracleSettings:
    """How the destination is configured and from when on the source reads.

    `identity` are rules as `field:pattern` (`cuid:^U\\d+_`, `pageUtmInfo.utmCampaign:...`); an order for which none of
    them finds a contact is skipped, and without rules none is. Updates before `not_before` are never read.
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
        """Return a state's amount, rounded to cents."""
        return cents(getattr(state, _BASES[self.revenue_basis]))

    def wanted(self, row: SovrnRow) -> bool:
        """Return whether a row counts at all; rows paid by the click do only with `cpc` (D5)."""
        return (self.cpc or row.program_type.lower() != "cpc") and row.common["network"] not in self.without_networks

    def has_contact(self) -> Callable[[SovrnRow], bool]:
        """Return the function that checks whether the rules find a contact."""
        rules = [(rule.split(":", 1)[0].split("."), re.compile(rule.split(":", 1)[1])) for rule in self.identity]
        return lambda row: not rules or any(pattern.search(_leaf(row, path)) for path, pattern in rules)


def _leaf(row: SovrnRow, path: list[str]) -> str:
    value: Any = {**row.common, "cuid": row.cuid, "clickId": row.click_id}
    for name in path:
        value = value.get(name, "") if isinstance(value, dict) else ""
    return value if isinstance(value, str) else ""


@dataclass
class _Order:
    """One row that became an order, with its latest amount."""

    row: SovrnRow
    totals: OrderTotals
    live: Decimal = ZERO

    def update(self, now: Decimal) -> None:
        """Follow the amount: a rise is approved, a fall refunded, at most the order's net."""
        now = max(now, ZERO)
        if now > self.live:
            self.totals.approved += now - self.live
        else:
            self.refund(self.live - now)
        self.live = now

    def refund(self, amount: Decimal) -> Decimal:
        """Refund up to the order's net; return what was refunded."""
        refunded = min(amount, self.totals.net)
        self.totals.refunded += refunded
        return refunded


@dataclass
class _Return:
    """One separate negative row: its amount, how much of it was applied, and to which orders."""

    row: SovrnRow
    amount: Decimal = ZERO
    applied: Decimal = ZERO
    refunds: list[tuple[_Order, Decimal]] = field(default_factory=list)

    def apply(self, parents: Sequence[_Order]) -> None:
        """Refund what was added to the amount, or reinstate what was taken off; an excess over the net is dropped."""
        change = self.amount - self.applied
        for order in parents if change > 0 else ():
            part = order.refund(change)
            self.refunds.append((order, part))
            change -= part
        while change < 0 and self.refunds:
            order, part = self.refunds.pop()
            reinstated = min(-change, part)
            order.totals.approved += reinstated
            change += reinstated
            if part > reinstated:
                self.refunds.append((order, part - reinstated))
        self.applied = self.amount


@dataclass
class Expected:
    """The orders by SourceID, and the negative rows without an order."""

    orders: dict[str, OrderTotals]
    unmatched: list[dict[str, str]]


class _Orders:
    """Orders and returns as the syncs read them, row by row."""

    def __init__(self, settings: SovrnOracleSettings) -> None:
        self._settings = settings
        self.orders: dict[str, _Order] = {}
        self.returns: dict[str, _Return] = {}
        self._by_click: dict[tuple[int, str, int], list[_Order]] = {}
        self._by_commission: dict[tuple[int, str], list[_Order]] = {}

    def add(self, row: SovrnRow, amount: Decimal) -> None:
        """Record one amount that a sync read."""
        key = source_id(row)
        if key not in self.orders:
            if amount < 0 or key in self.returns:
                self.returns.setdefault(key, _Return(row)).amount = max(-amount, ZERO)
                return
            if amount == 0:  # the order starts with the first amount that rounds to a cent or more
                return
            month = day_of(row.committed_at, self._settings.zone)[:7]
            order = self.orders[key] = _Order(row, OrderTotals(month, self._settings.currency, gross=amount))
            self._by_click.setdefault(_click_key(row), []).append(order)
            self._by_commission.setdefault((row.account_id, row.commission_id), []).append(order)
        self.orders[key].update(amount)

    def apply_returns(self) -> None:
        """Apply returns to their orders; a return without an order stays, in case the order comes later."""
        for negative in self.returns.values():
            if parents := self._parents(negative.row):
                negative.apply(parents)

    def _parents(self, row: SovrnRow) -> list[_Order]:
        """Return the orders of the same click and merchant group, else of the same commission (D5)."""
        found = self._by_click.get(_click_key(row), []) if row.click_id else []
        found = found or self._by_commission.get((row.account_id, row.commission_id), [])
        return sorted(found, key=lambda order: order.row.commission_id != row.commission_id)

    def unmatched(self) -> list[dict[str, str]]:
        """Return the negative rows without an order."""
        return [
            {"source_id": key, "amount": str(-negative.amount)}
            for key, negative in self.returns.items()
            if negative.amount and not self._parents(negative.row)
        ]


def _click_key(row: SovrnRow) -> tuple[int, str, int]:
    return row.account_id, row.click_id, int(row.common["merchantGroupId"])


def source_id(row: SovrnRow) -> str:
    """Return the order's SourceID (D4)."""
    return f"sovrn-{row.account_id}-{row.revenue_id}-{row.commission_id}"


def expected(rows: Iterable[SovrnRow], instants: Sequence[int], settings: SovrnOracleSettings) -> Expected:
    """Return every order that syncs at these instants must have made."""
    syncs = sorted(instants)
    seen: list[list[tuple[SovrnRow, Decimal]]] = [[] for _ in syncs]
    for row in rows:
        if settings.wanted(row):
            for number, state in _observed(row, syncs, settings):
                seen[number].append((row, settings.amount(state)))
    orders = _Orders(settings)
    for amounts in seen:
        for row, amount in amounts:
            orders.add(row, amount)
        orders.apply_returns()  # after the whole sync: an order edited later has a later day than its return
    has_contact = settings.has_contact()
    found = {key: order.totals for key, order in orders.orders.items() if has_contact(order.row)}
    for totals in found.values():
        totals.status = "live" if totals.net else "declined"
    return Expected(found, orders.unmatched())


def _observed(row: SovrnRow, syncs: list[int], settings: SovrnOracleSettings) -> Iterable[tuple[int, SovrnState]]:
    """Yield the number of the first sync that reads each state; one replaced before the next sync is never read."""
    for position, state in enumerate(row.states):
        number = bisect_left(syncs, state.visible_at)
        last = position + 1 == len(row.states)
        if number == len(syncs) or (not last and row.states[position + 1].visible_at <= syncs[number]):
            continue
        if settings.not_before is None or state.updated_at >= settings.not_before:
            yield number, state
