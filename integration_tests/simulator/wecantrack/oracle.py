"""What Wicked Reports must store of wecantrack's commissions, computed from the scripted transactions alone.

`sales.py` has the rules, independently of the connectors; this module says what each sync sees of a transaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..clock import stamp
from ..oracle import OrderTotals, cents
from ..sales import Books, Rules, SeenRow
from .transactions import State, Transaction

_CLICK_ID = re.compile(r"(?:WCT|wct)[0-9]{12}[A-Za-z0-9]{1,5}")


@dataclass(frozen=True)
class OracleSettings:
    """How the destination is configured and which window the source reads.

    `identity` are rules as `field:pattern` (`sub_ids.*:U\\d+-`); an order for which none of them finds a contact is
    skipped, and without rules none is. `not_before` and `lag_seconds` bound the source's window of `last_wct_update`.
    """

    rules: Rules = field(default_factory=Rules)
    revenue_basis: str = "commission_amount"
    currency: str = "transaction"
    identity: tuple[str, ...] = ()
    not_before: int | None = None
    lag_seconds: int = 0

    def __post_init__(self) -> None:
        if self.revenue_basis not in ("commission_amount", "sale_amount"):
            raise ValueError("revenue_basis is commission_amount or sale_amount")
        if self.currency not in ("transaction", "euro"):
            raise ValueError("currency is transaction or euro")

    def seen(self, transaction: Transaction, state: State) -> SeenRow:
        """Return a state as the destination reads it."""
        in_euro = self.currency == "euro"
        currency = "EUR" if in_euro else state.currency
        amount = getattr(state, f"{self.revenue_basis}_euro" if in_euro else self.revenue_basis)
        return SeenRow(
            name=sale_name(transaction),
            month=stamp(transaction.ordered_at)[:7],
            currency=currency,
            amount=cents(amount),
            status=state.status,
            links=_links(transaction, currency),
        )

    def has_contact(self) -> Callable[[Transaction], bool]:
        """Return the function that checks whether the rules find a contact."""
        if not self.identity:
            return lambda _transaction: True
        return lambda transaction: next(self._matches(transaction), None) is not None

    def contact_id(self, transaction: Transaction) -> str:
        """Return the group `contact_id` of the first rule that matches, "" if none does."""
        match = next(self._matches(transaction), None)
        return "" if match is None else str(match["contact_id"])

    def _matches(self, transaction: Transaction) -> Iterator[re.Match[str]]:
        for rule in self.identity:
            path, _, pattern = rule.partition(":")
            yield from _found(transaction.fields(), path.split("."), re.compile(pattern))


def sale_name(transaction: Transaction) -> str:
    """Return the SourceID of a sale's first order."""
    return f"wct-{transaction.account_id}-{transaction.transaction_id}"


def _found(value: Any, path: list[str], pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    if not path:
        match = pattern.search(value) if isinstance(value, str) else None
        if match is not None:
            yield match
    elif isinstance(value, dict):
        for item in value.values() if path[0] == "*" else [value.get(path[0])]:
            yield from _found(item, path[1:], pattern)


def _links(transaction: Transaction, currency: str) -> tuple[tuple[str, ...], ...]:
    """Return what a negative row has in common with its sale: the click's reference, else the order's number.

    Both count within one account, advertiser and currency. The reference may also be in a sub id.
    """
    fields = transaction.fields()
    scope = (str(transaction.account_id), str(fields.get("advertiser_id")), currency)
    reference, sub_ids = fields.get("reference"), fields.get("sub_ids")
    links = [("reference", *scope, str(reference))] if reference else []
    for value in sub_ids.values() if isinstance(sub_ids, dict) else ():
        click = _CLICK_ID.search(value) if isinstance(value, str) else None
        if click and click[0] != reference:
            links.append(("reference", *scope, click[0]))
            break
    if fields.get("order_ref"):
        links.append(("order_ref", *scope, str(fields["order_ref"])))
    return tuple(links)


def expected_orders(
    transactions: Iterable[Transaction], instants: Sequence[int], settings: OracleSettings
) -> dict[str, OrderTotals]:
    """Return every order that syncs at these instants must have made, by SourceID."""
    has_contact = settings.has_contact()
    wanted = [transaction for transaction in transactions if has_contact(transaction)]
    books = Books(settings.rules)
    last: list[State | None] = [None] * len(wanted)
    for instant in sorted(instants):
        rows = []
        for number, transaction in enumerate(wanted):
            state = _observed(transaction, instant, settings)
            if state is not None and state is not last[number]:
                last[number] = state
                rows.append(settings.seen(transaction, state))
        books.sync(rows)
    return books.orders()


def _observed(transaction: Transaction, instant: int, settings: OracleSettings) -> State | None:
    """Return what a sync reads of one row: its state then, if that was written inside the sync's window."""
    state = transaction.state_at(instant)
    if state is None or state.last_wct_update > instant - settings.lag_seconds:
        return None
    if settings.not_before is not None and state.last_wct_update < settings.not_before:
        return None
    return state
