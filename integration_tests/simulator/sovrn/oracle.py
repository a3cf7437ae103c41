"""What Wicked Reports must store of Sovrn's commissions, computed from the scripted rows alone.

`sales.py` has the rules, independently of the connectors. Sovrn has no status, so a commission is revenue from when it
appears until it is taken back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from ..oracle import ZERO, OrderTotals, cents
from ..sales import Books, Rules, Sale, SeenRow
from .transactions import SovrnRow, SovrnState, day_of

_BASES = {"commission": "revenue", "sale_amount": "order_value"}
#: A CPC order is sent when its day is more than so many days past; growth waits for at most so many days.
_CPC_COMPLETE_DAYS, _CPC_GROWTH_DAYS = 5, 30


@dataclass(frozen=True)
class SovrnOracleSettings:
    """How the destination is configured and from when on the source reads.

    `identity` are rules as `field:pattern` (`cuid:^U\\d+_`, `pageUtmInfo.utmCampaign:...`); an order for which none of
    them finds a contact is skipped, and without rules none is. Updates before `not_before` are never read.
    """

    rules: Rules = field(default_factory=Rules)
    revenue_basis: str = "commission"
    identity: tuple[str, ...] = ()
    not_before: int | None = None
    cpc: bool = False
    cpc_smallest_change: Decimal = Decimal(1)
    without_networks: tuple[str, ...] = ()
    currency: str = "USD"
    zone: str = "utc"

    def __post_init__(self) -> None:
        if self.revenue_basis not in _BASES:
            raise ValueError(f"revenue_basis is one of {', '.join(_BASES)}")

    def amount(self, state: SovrnState) -> Decimal:
        """Return a state's exact amount."""
        return Decimal(getattr(state, _BASES[self.revenue_basis]))

    def seen(self, row: SovrnRow, state: SovrnState) -> SeenRow:
        """Return a state as the destination reads it."""
        return SeenRow(
            name=source_id(row),
            month=day_of(row.committed_at, self.zone)[:7],
            currency=self.currency,
            amount=cents(self.amount(state)),
            links=_links(row),
        )

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


def _is_cpc(row: SovrnRow) -> bool:
    return row.program_type.lower() == "cpc"


def _links(row: SovrnRow) -> tuple[tuple[str, ...], ...]:
    """Return what a negative row has in common with its sale: the click, else the commission.

    Both count within one account and merchant group; the currency is always the same.
    """
    scope = (str(row.account_id), str(row.common["merchantGroupId"]))
    click = (("click", *scope, row.click_id),) if row.click_id else ()
    return (*click, ("commission", *scope, row.commission_id))


def source_id(row: SovrnRow) -> str:
    """Return the SourceID of a sale's first order (D4)."""
    return f"sovrn-{row.account_id}-{row.revenue_id}-{row.commission_id}"


@dataclass
class Expected:
    """The orders by SourceID, and the negative rows without a sale.

    CPC orders have readable names here, but a hash in the destination.
    """

    orders: dict[str, OrderTotals]
    unmatched: list[dict[str, str]]


@dataclass
class _CpcGroup:
    """The rows paid by the click of one day, campaign, merchant and page: their amounts add up to one sale."""

    sale: Sale
    day: str
    amounts: dict[str, Decimal] = field(default_factory=dict)
    updated_on: str = ""
    paid_on: str = ""

    def settle(self, today: str, settings: SovrnOracleSettings) -> None:
        """Bring the orders to the sum, unless the day is not complete or the growth still waits."""
        sale = self.sale
        sale.own, sale.currency = cents(sum(self.amounts.values(), ZERO)), settings.currency
        growth = sale.worth - sale.net
        if not growth or _days(self.day, today) <= _CPC_COMPLETE_DAYS:
            return
        if sale.net and ZERO < growth < settings.cpc_smallest_change and _days(self.paid_on, today) < _CPC_GROWTH_DAYS:
            return
        self.paid_on = self.updated_on if sale.orders else self.day
        sale.settle(settings.rules)


def _days(start: str, end: str) -> int:
    return (date.fromisoformat(end) - date.fromisoformat(start)).days


def expected(rows: Iterable[SovrnRow], instants: Sequence[int], settings: SovrnOracleSettings) -> Expected:
    """Return every order that syncs at these instants must have made."""
    has_contact = settings.has_contact()
    wanted = [row for row in rows if settings.wanted(row)]
    books = Books(settings.rules)
    groups: dict[tuple[str, ...], _CpcGroup] = {}
    contacts: set[str] = set()
    last: list[SovrnState | None] = [None] * len(wanted)
    for instant in sorted(instants):
        seen = []
        for number, row, state in _observed(wanted, instant, settings):
            if state is last[number]:
                continue
            last[number] = state
            if _is_cpc(row):
                group = _add_to_group(groups, row, state, settings)
                name = group.sale.name
            else:
                seen.append(settings.seen(row, state))
                name = source_id(row)
            if has_contact(row):
                contacts.add(name)
        books.sync(seen)
        for group in groups.values():
            group.settle(day_of(instant, "utc"), settings)
    sales = [*books.sales.values(), *(group.sale for group in groups.values())]
    orders = {name: totals for sale in sales if sale.name in contacts for name, totals in sale.orders.items()}
    unmatched = [
        {"source_id": returned.row.name, "amount": str(cents(returned.amount))} for returned in books.unmatched()
    ]
    return Expected(orders, unmatched)


def _add_to_group(
    groups: dict[tuple[str, ...], _CpcGroup], row: SovrnRow, state: SovrnState, settings: SovrnOracleSettings
) -> _CpcGroup:
    """Add the present amount of a row to its group."""
    day = day_of(row.committed_at, settings.zone)
    common = row.common
    key: tuple[str, ...] = (str(row.account_id), day, str(common["campaignId"]), str(common["merchantGroupId"]))
    key += tuple(str(value) for value in common.get("pageUtmInfo", {}).values())
    group = groups.setdefault(key, _CpcGroup(Sale("sovrn-cpc-" + "-".join(key), day[:7]), day))
    group.amounts[source_id(row)] = settings.amount(state)
    group.updated_on = max(group.updated_on, day_of(state.updated_at, settings.zone))
    return group


def _observed(
    rows: Sequence[SovrnRow], instant: int, settings: SovrnOracleSettings
) -> Iterator[tuple[int, SovrnRow, SovrnState]]:
    """Yield number, row and state of all rows that a sync reads."""
    for number, row in enumerate(rows):
        state = row.state_at(instant)
        if state is not None and (settings.not_before is None or state.updated_at >= settings.not_before):
            yield number, row, state
