"""Decides which sale a separate return of Sovrn reduces.

A return is either an edit of the sale's row or a separate row with a negative amount and without a reference to the
sale (docs/vendors/sovrn.md B6). A separate return is matched by click and merchant, else by the network's commission
id (docs/vendors/affiliate-revenue.md D5). The ledger stores it as a contribution to the matched sale, so it reduces
the sale once, however often it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.model import ZERO, Contribution, OrderState

UNMATCHED = "return without a known sale: no order has the same click and merchant, or the same commission id"
EXCESS = "return larger than what is left of its order; the excess was not sent"
#: The due date of an unmatched return. It sorts before every day, so the run that reads the return reports it.
AT_ONCE = "0"

#: Returns the present state of an order by its ledger key.
StateOf = Callable[[str], OrderState | None]


def aliases(contributions: Collection[Contribution]) -> set[str]:
    """Return the click and commission names by which related rows can be found."""
    return {alias for one in contributions for alias in (one.click, one.commission) if alias}


def find_sale(returned: Contribution, sums: SaleTotals, state_of: StateOf) -> str | None:
    """Return the key of the sale that a return reduces, or None if no sale is known.

    Click and merchant take precedence over the commission. If several sales match, prefer the one with the same
    commission, then the one that the return cancels exactly, then the one with the most left.
    """
    for alias in (returned.click, returned.commission):
        sales = [other for other in sums.related(alias) if alias and _is_sale(other, returned, state_of)]
        if sales:
            return min(sales, key=lambda sale: _distance(sale, returned, sums)).key
    return None


def waiting_returns(sale: Contribution, sums: SaleTotals, state_of: StateOf) -> list[Contribution]:
    """Return the unmatched returns that were read before this sale and may belong to it."""
    related = {one.key: one for alias in (sale.click, sale.commission) if alias for one in sums.related(alias)}
    return [one for one in related.values() if one.amount < 0 and one.sale_key == one.key and state_of(one.key) is None]


def _is_sale(other: Contribution, returned: Contribution, state_of: StateOf) -> bool:
    separate = other.key == other.sale_key and other.key != returned.key
    return separate and (other.amount > 0 or state_of(other.key) is not None)


def _distance(sale: Contribution, returned: Contribution, sums: SaleTotals) -> tuple[bool, bool, object, str]:
    total = sums.total(sale.sale_key)
    left = max(total.amount, ZERO) if total else ZERO
    return sale.commission != returned.commission, left != -returned.amount, -left, sale.key
