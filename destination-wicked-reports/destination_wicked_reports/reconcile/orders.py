"""An order as the destination told it, and as Wicked shows it: what the two sides of a reconciliation are made of.

Gross is the sum of all orders whatever became of them; net is what was approved less what was refunded (wicked-facts
3.3). Amounts are Decimal, in cents, rounded once and half up; times are UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from destination_wicked_reports.ledger.history import SLASH
from destination_wicked_reports.mappings.payments_and_refunds import APPROVED, PARTIALLY_REFUNDED, REFUNDED, cents

NIL = Decimal("0.00")
#: The source system and the id in it: what Wicked tells orders apart by (wicked-facts 2.3, 2.10).
Name = tuple[str, str]

#: An empty status counts as APPROVED (wicked-facts 2.5). MANUAL is known from the outbound reference alone, and is on
#: no list of what net revenue leaves out [guess].
_MONEY_IN = frozenset({"", APPROVED, "MANUAL"})
_MONEY_BACK = frozenset({REFUNDED, PARTIALLY_REFUNDED})


class Paid(NamedTuple):
    """What the payments of an order add up to, and their number, with those that move no money; None: not known."""

    approved: Decimal = NIL
    refunded: Decimal = NIL
    number: int | None = 0

    def plus(self, status: Any, amount: Any) -> Paid:
        """Return the sum with one more payment."""
        counted, word = money(amount), str(status or "").upper()
        return Paid(
            self.approved + (counted if word in _MONEY_IN else NIL),
            self.refunded + (counted if word in _MONEY_BACK else NIL),
            None if self.number is None else self.number + 1,
        )

    def agrees(self, other: Paid) -> bool:
        """Tell whether both say the same, as far as both know it."""
        return self[:2] == other[:2] and (None in (self.number, other.number) or self.number == other.number)


@dataclass(slots=True)
class Step:
    """What Wicked had been told of an order's payments once a row was sent, `at` UNIX seconds."""

    at: int
    paid: Paid


@dataclass(slots=True)
class SentOrder:
    """An order as it was sent; `total` is None if nobody remembers the amounts.

    `at` is when it was sent, in UNIX seconds; None if the ledger does not know it, so that it was never sent.
    `steps` are in the order in which they were told; `notes` is what else a person should know.
    """

    at: int | None
    total: Decimal | None = None
    currency: str = ""
    date: str = ""
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def paid(self) -> Paid:
        """What the payments that were told add up to."""
        return self.steps[-1].paid if self.steps else Paid()


@dataclass(slots=True)
class ShownOrder:
    """An order as Wicked's outbound API shows it."""

    total: Decimal
    currency: str
    date: str
    paid: Paid


def money(value: Any) -> Decimal:
    """Return an amount in cents; what is no number counts as nothing."""
    try:
        return cents(Decimal(str(value)))
    except (InvalidOperation, ValueError):
        return NIL


def paid_by(payments: Iterable[tuple[Any, Any]]) -> Paid:
    """Return what payments add up to, each given as status and amount."""
    paid = Paid()
    for status, amount in payments:
        paid = paid.plus(status, amount)
    return paid


def shown_name(name: Name) -> str:
    """Return an order's name for a report. One that holds an e-mail address is replaced by a digest of itself."""
    text = SLASH.join(name)
    if "@" not in text:
        return text
    return f"{name[0]}{SLASH}(an e-mail address, SHA-256 {hashlib.sha256(name[1].encode()).hexdigest()[:12]})"
