"""A return that comes as a row of its own, and the sale it takes back from (`apis/affiliate-facts.md` B6, D5).

Sovrn says that a return is an edit of the sale's row or a separate row, and gives the separate one no reference. What
both have in common is the click and the merchant, else the network's commission. A return is counted as a part of
the sale it was matched with, and stays there, so that it takes back once however often it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.model import ZERO, Contribution, OrderState

UNMATCHED = "a negative row whose sale is not known: no order has its click and merchant, or its commission id"
EXCESS = "more is taken back than the order still stands for; the rest was not sent"
#: When an unmatched return is due: before any day, so at the end of the very run that read it.
AT_ONCE = "0"

State = Callable[[str], OrderState | None]


def aliases(parts: Collection[Contribution]) -> set[str]:
    """Return everything that other rows may have in common with these."""
    return {alias for part in parts for alias in (part.click, part.commission) if alias}


def parent(part: Contribution, sums: SaleTotals, state: State) -> str | None:
    """Return the sale that a return belongs to, None if none is known.

    Click and merchant decide before the commission. Of several sales of one click: that of the same commission, else
    one that the return cancels, else the one that most of is left of.
    """
    for alias in (part.click, part.commission):
        sales = [other for other in sums.related(alias) if alias and _is_sale(other, part, state)]
        if sales:
            return min(sales, key=lambda sale: _distance(sale, part, sums)).key
    return None


def orphans(sale: Contribution, sums: SaleTotals, state: State) -> list[Contribution]:
    """Return the returns that were read before their sale was, and may have waited for this one."""
    found = {part.key: part for alias in (sale.click, sale.commission) if alias for part in sums.related(alias)}
    return [
        part for part in found.values() if part.amount < 0 and part.sale_key == part.key and state(part.key) is None
    ]


def _is_sale(other: Contribution, part: Contribution, state: State) -> bool:
    own = other.key == other.sale_key and other.key != part.key
    return own and (other.amount > 0 or state(other.key) is not None)


def _distance(sale: Contribution, part: Contribution, sums: SaleTotals) -> tuple[bool, bool, object, str]:
    whole = sums.total(sale.sale_key)
    left = max(whole.amount, ZERO) if whole else ZERO
    return sale.commission != part.commission, left != -part.amount, -left, sale.key
