"""What Wicked Reports must store of wecantrack's commissions, computed from the scripted transactions alone.

It implements docs/guides/affiliate-revenue.md What is sent, by event, independently of the connectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..clock import stamp
from ..oracle import ZERO, OrderTotals, cents
from .transactions import State, Transaction


@dataclass(frozen=True)
class OracleSettings:
    """How the destination is configured and which window the source reads.

    `identity` are rules as `field:pattern` (`sub_ids.*:U\\d+-`); an order for which none of them finds a contact is
    skipped, and without rules none is. `not_before` and `lag_seconds` bound the source's window of `last_wct_update`.
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
        """Return the revenue of a state: zero unless its status counts."""
        return cents(getattr(state, self.revenue_basis)) if self.counts(state) else ZERO

    def counts(self, state: State) -> bool:
        """Return whether a status counts as revenue; pending does unless only approved is recognized."""
        return state.status == "approved" or (state.status == "pending" and self.recognize == "pending")

    def has_contact(self) -> Callable[[Transaction], bool]:
        """Return the function that checks whether the rules find a contact."""
        rules = [(rule.split(":", 1)[0].split("."), re.compile(rule.split(":", 1)[1])) for rule in self.identity]
        if not rules:
            return lambda _transaction: True
        return lambda transaction: any(_found(transaction.fields(), path, pattern) for path, pattern in rules)


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
    settings: OracleSettings,
    has_contact: Callable[[Transaction], bool] | None = None,
) -> dict[str, OrderTotals]:
    """Return every order that syncs at these instants must have made, by SourceID (D4)."""
    has_contact = has_contact or settings.has_contact()
    syncs = sorted(instants)
    orders: dict[str, OrderTotals] = {}
    for transaction in transactions:
        seen = _observed(transaction, syncs, settings)
        if seen and has_contact(transaction):
            orders[f"wct-{transaction.account_id}-{transaction.transaction_id}"] = _expected(
                transaction, seen, settings
            )
    return orders


def _observed(transaction: Transaction, syncs: list[int], settings: OracleSettings) -> list[State]:
    """Return what each sync read of one row: its state then, if that was written inside the sync's window."""
    seen: list[State] = []
    for instant in syncs:
        state = transaction.state_at(instant)
        if state is None or state.last_wct_update > instant - settings.lag_seconds:
            continue
        if settings.not_before is None or state.last_wct_update >= settings.not_before:
            seen.append(state)
    return seen


def _expected(transaction: Transaction, seen: list[State], settings: OracleSettings) -> OrderTotals:
    """Follow the live amount: rises are approved, falls are refunded; the total is the first amount read (D5)."""
    gross = cents(getattr(seen[0], settings.revenue_basis))
    order = OrderTotals(stamp(transaction.ordered_at)[:7], transaction.currency, gross=gross)
    live = ZERO
    for state in seen:
        now = settings.live_amount(state)
        order.approved += max(now - live, ZERO)
        order.refunded += max(live - now, ZERO)
        live = now
    order.status = "live" if settings.counts(seen[-1]) else seen[-1].status
    return order
