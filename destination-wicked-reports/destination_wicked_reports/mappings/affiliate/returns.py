"""Finds the sale that a return reduces, where a network reports returns as rows of their own.

Such a row has a negative amount and no reference to the sale's own row. What both have in common are aliases: texts
built from a reference, a click or an order number, each within one account, advertiser and currency
(docs/vendors/wecantrack.md H3, docs/vendors/sovrn.md B6). The ledger stores a return as a contribution to the sale
that it was matched with, so it reduces the sale once, however often it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple

from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.model import ZERO, Contribution, SaleState

UNMATCHED = "return without a known sale: it is stored, and applied when its sale is read"
EXCESS = "return larger than what is left of its sale; the excess was not sent"
#: Reasons that no change of the data or the mapping removes: the ledger has the return already.
NOTHING_TO_FIX = frozenset({UNMATCHED, EXCESS})
#: The `pending` value of an unmatched return. It sorts before every day, so the run that reads the return reports it.
AT_ONCE = "0"

#: Letters and digits that rise with time, too few to identify a person.
_LEADING_NUMBER = re.compile(r"(?:[A-Za-z]{0,4}[0-9]{1,6})?", re.ASCII).match

#: Returns the present state of a sale by its ledger key.
StateOf = Callable[[str], SaleState | None]


class Candidate(NamedTuple):
    """A sale that a return may belong to. `left` is what it is worth now."""

    key: str
    aliases: Collection[str]
    left: Decimal


def alias(source_system: str, scope: str, value: str) -> str:
    """Return a text that two rows share if and only if all three are equal; it starts with the source system.

    It sorts by the number that `value` starts with, if any: click ids and order numbers rise with time, and the
    ledger's index is faster to write if rows of one time are neighbors.
    """
    digest = blake2b(f"{scope}{SEPARATOR}{value}".encode(errors="surrogatepass"), digest_size=10).hexdigest()
    return f"{source_system}{SEPARATOR}{_LEADING_NUMBER(value)[0]}-{digest}"  # type: ignore[index]


def choose_sale(returned: Contribution, candidates: Iterable[Candidate]) -> str | None:
    """Return the key of the sale that a return reduces, or None if there is no candidate.

    An earlier alias of the return takes precedence over a later one. Of several sales with that alias, prefer the one
    that the return cancels exactly, then the one with the most left.
    """
    sales = list(candidates)
    for one in returned.aliases:
        matching = [sale for sale in sales if one in sale.aliases]
        if matching:
            return min(matching, key=lambda sale: (sale.left != -returned.amount, -sale.left, sale.key)).key
    return None


def find_sale(returned: Contribution, totals: SaleTotals, state_of: StateOf) -> str | None:
    """Return the key of the sale that a return reduces, among the loaded contributions; None if there is none."""
    related = {one.key: one for name in returned.aliases for one in totals.related(name)}
    return choose_sale(
        returned,
        (
            Candidate(one.key, one.aliases, _left(one, totals))
            for one in related.values()
            if one.key == one.sale_key != returned.key and (one.amount > 0 or state_of(one.key) is not None)
        ),
    )


def waiting_returns(aliases: Collection[str], totals: SaleTotals, state_of: StateOf) -> list[Contribution]:
    """Return the loaded unmatched returns that have one of these aliases."""
    related = {one.key: one for name in aliases for one in totals.related(name)}
    return [one for one in related.values() if one.amount < 0 and one.sale_key == one.key and state_of(one.key) is None]


def _left(sale: Contribution, totals: SaleTotals) -> Decimal:
    total = totals.total(sale.sale_key)
    return max(total.amount, ZERO) if total else ZERO
