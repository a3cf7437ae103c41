"""What Wicked must hold, computed from the scripted lives alone, and what it does hold, from its rows alone.

Both are tables by (month of the order, currency), so that they can be compared cell by cell. Nothing is shared with
the connectors: the rules are read again from affiliate-facts D4 and D5 and DESIGN section 5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ..clock import stamp
from ..wicked.store import Row, WickedStore
from .transactions import State, Transaction

_CENT = Decimal("0.01")
_ZERO = Decimal(0)
_SUMS = ("gross", "approved", "refunded", "net")


def cents(amount: Any) -> Decimal:
    """Round to cents, half up, as every amount is before it is summed."""
    return Decimal(str(amount)).quantize(_CENT, ROUND_HALF_UP)


@dataclass
class OrderSum:
    """One order's part in the table."""

    month: str
    currency: str
    status: str = "pending"
    gross: Decimal = _ZERO
    approved: Decimal = _ZERO
    refunded: Decimal = _ZERO

    @property
    def net(self) -> Decimal:
        """What counts as revenue."""
        return self.approved - self.refunded

    def shown(self) -> dict[str, Any]:
        """Return it for the admin API."""
        sums = {name: str(cents(getattr(self, name))) for name in _SUMS}
        return {"month": self.month, "currency": self.currency, "status": self.status, **sums}


def table(orders: Iterable[OrderSum]) -> list[dict[str, Any]]:
    """Sum up by month and currency; `live` and `declined` count orders by how they stand last."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for order in orders:
        row = rows.setdefault(
            (order.month, order.currency),
            {"month": order.month, "currency": order.currency, "orders": 0, "live": 0, "declined": 0}
            | dict.fromkeys(_SUMS, _ZERO),
        )
        row["orders"] += 1
        if order.status in ("live", "declined"):
            row[order.status] += 1
        for name in _SUMS:
            row[name] += getattr(order, name)
    return [{**row, **{name: str(cents(row[name])) for name in _SUMS}} for _key, row in sorted(rows.items())]


@dataclass(frozen=True)
class TruthSettings:
    """How the destination is configured and what the source was asked for.

    `identity`: rules as `field:pattern` (`sub_ids.*:U\\d+-`); an order none of them finds a contact for is skipped;
    no rules, no skipping. `not_before` and `lag_seconds` bound the source's window of `last_wct_update`.
    """

    recognize: str = "pending"
    revenue_basis: str = "commission_amount"
    identity: tuple[str, ...] = ()
    not_before: int | None = None
    lag_seconds: int = 0

    def __post_init__(self) -> None:
        if self.recognize not in ("pending", "approved"):
            raise ValueError("recognize is pending or approved")
        if self.revenue_basis not in ("commission_amount", "sale_amount"):
            raise ValueError("revenue_basis is commission_amount or sale_amount")

    def live_amount(self, state: State) -> Decimal:
        """Return what a state is worth: nothing unless its status counts as revenue."""
        return cents(getattr(state, self.revenue_basis)) if self.counts(state) else _ZERO

    def counts(self, state: State) -> bool:
        """Tell whether a status counts as revenue; pending does unless only approved is recognized."""
        return state.status == "approved" or (state.status == "pending" and self.recognize == "pending")

    def has_contact(self) -> Callable[[Transaction], bool]:
        """Make the test for an identity from the rules."""
        rules = [(rule.split(":", 1)[0].split("."), re.compile(rule.split(":", 1)[1])) for rule in self.identity]
        if not rules:
            return lambda _life: True
        return lambda life: any(_found(life.fact(), path, pattern) for path, pattern in rules)


def _found(value: Any, path: list[str], pattern: re.Pattern[str]) -> bool:
    if not path:
        return isinstance(value, str) and pattern.search(value) is not None
    if not isinstance(value, dict):
        return False
    inner = value.values() if path[0] == "*" else [value.get(path[0])]
    return any(_found(item, path[1:], pattern) for item in inner)


def expected_orders(
    transactions: Iterable[Transaction],
    instants: Sequence[int],
    settings: TruthSettings,
    has_contact: Callable[[Transaction], bool] | None = None,
) -> dict[str, OrderSum]:
    """Compute every order that syncs at these instants must have made, under its SourceID (D4)."""
    has_contact = has_contact or settings.has_contact()
    syncs = sorted(instants)
    orders: dict[str, OrderSum] = {}
    for life in transactions:
        seen = _observed(life, syncs, settings)
        if seen and has_contact(life):
            orders[f"wct-{life.account_id}-{life.transaction_id}"] = _expected(life, seen, settings)
    return orders


def _observed(life: Transaction, syncs: list[int], settings: TruthSettings) -> list[State]:
    """Return what each sync saw of one row: its state then, if that was written inside the sync's window."""
    seen: list[State] = []
    for instant in syncs:
        state = life.state_at(instant)
        if state is None or state.last_wct_update > instant - settings.lag_seconds:
            continue
        if settings.not_before is None or state.last_wct_update >= settings.not_before:
            seen.append(state)
    return seen


def _expected(life: Transaction, seen: list[State], settings: TruthSettings) -> OrderSum:
    """Follow the live amount: up is approved, down is refunded; the total is what was seen first (D5)."""
    order = OrderSum(stamp(life.ordered_at)[:7], life.currency, gross=cents(getattr(seen[0], settings.revenue_basis)))
    live = _ZERO
    for state in seen:
        now = settings.live_amount(state)
        order.approved += max(now - live, _ZERO)
        order.refunded += max(live - now, _ZERO)
        live = now
    order.status = "live" if settings.counts(seen[-1]) else seen[-1].status
    return order


@dataclass
class Held:
    """What a Wicked store holds, with everything about it that should not be."""

    orders: dict[str, OrderSum] = field(default_factory=dict)
    duplicate_orders: list[str] = field(default_factory=list)
    orphan_payments: int = 0
    other_statuses: dict[str, int] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """Return it for the admin API."""
        return {
            "table": table(self.orders.values()),
            "duplicate_orders": self.duplicate_orders,
            "orphan_payments": self.orphan_payments,
            "other_statuses": self.other_statuses,
        }


def held(store: WickedStore) -> Held:
    """Sum up a store. Net is what Wicked reports as net: approved payments less refunds (wicked-facts 3.3)."""
    result = Held()
    by_key: dict[tuple[str, str], OrderSum] = {}
    for row in store.listed("orders"):
        key = (row["SourceSystem"], str(row["SourceID"]))
        if key in by_key:
            by_key[key].gross += cents(row["OrderTotal"])
            continue
        order = OrderSum(row["CreateDate"][:7], str(row.get("OrderCurrency") or ""), gross=cents(row["OrderTotal"]))
        by_key[key] = result.orders[_name(key, result.orders)] = order
    result.duplicate_orders = sorted("/".join(key) for key in store.repeated["orders"])
    refused = {back for row in store.listed("orderpayments") if (back := _pay(row, by_key, result)) is not None}
    for key, order in by_key.items():
        if order.net:
            order.status = "live"
        elif key in refused:
            order.status = "declined"
    return result


def _name(key: tuple[str, str], taken: dict[str, OrderSum]) -> str:
    return key[1] if key[1] not in taken else "/".join(key)


def _pay(row: Row, orders: dict[tuple[str, str], OrderSum], result: Held) -> tuple[str, str] | None:
    """Book one payment; return the order's key if the payment takes the order back as a whole."""
    key = (row["SourceSystem"], str(row["OrderID"]))
    order = orders.get(key)
    if order is None:
        result.orphan_payments += 1
        return None
    status = str(row["Status"] or "APPROVED").upper()  # an empty status counts as APPROVED (2.5)
    if status == "APPROVED":
        order.approved += cents(row["Amount"])
    elif status in ("REFUNDED", "PARTIALLY REFUNDED"):
        order.refunded += cents(row["Amount"])
    elif status != "DECLINED":
        result.other_statuses[status] = result.other_statuses.get(status, 0) + 1
    return key if status in ("REFUNDED", "DECLINED") else None
