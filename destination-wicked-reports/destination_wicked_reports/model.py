"""Data that the stages of a write share: records, rows, and what the ledger keeps of a sale."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)


#: The sequence of a row that holds no STATE back, because what it is made from is in the ledger.
AFTER_ALL = sys.maxsize


@dataclass(slots=True)
class Record:
    """One RECORD message: its stream, its fields, and its place in the input (which STATEs it holds back)."""

    stream: str
    data: dict[str, Any]
    sequence: int = 0


@dataclass(slots=True, frozen=True)
class OpenOrder:
    """An order of a sale of which something is left. `paid_at` is the latest PaymentDate of its payments."""

    number: int
    total: Decimal
    refunded: Decimal = ZERO
    paid_at: str = ""

    @property
    def left(self) -> Decimal:
        """What the order still counts for."""
        return self.total - self.refunded


@dataclass(slots=True, frozen=True)
class SaleState:
    """What was sent of one sale, and what its further orders repeat; the ledger keeps it.

    Amounts are whole cents of `currency`. `order_count` counts the orders ever made, `version` the rows ever made: of
    two states the one with the greater version is the later. `value` is what the source's own record of the sale was
    worth when the last row was made, before money that came back as rows of its own. `aliases` are what such rows may
    have in common with the sale. `source_updated_at` is the source's own time of that record, "" where it gives none.
    """

    currency: str = ""
    open_orders: tuple[OpenOrder, ...] = ()
    order_count: int = 0
    version: int = 0
    value: Decimal = ZERO
    ordered_at: str = ""
    product_id: str = ""
    contact_id: str = ""
    contact_email: str = ""
    aliases: tuple[str, ...] = ()
    source_updated_at: str = ""

    @property
    def net(self) -> Decimal:
        """What the sale's orders count for at Wicked."""
        return sum((order.left for order in self.open_orders), ZERO)


@dataclass(slots=True, frozen=True)
class OrderState:
    """What Wicked has been told about one affiliate order; the ledger keeps it, money in the order's currency.

    `status` is that of the last payment told, empty before the first. `payments` counts the payments so far, over all
    revisions, and numbers the next one, so that two equal payments stay two. `revision` counts the orders that stand
    for the sale: 2 once it was told anew after a decline or a refund. `changed` is the source's own time of the change
    that was told last, "" where there is none: what is older is not told any more.
    """

    total: Decimal
    approved: Decimal = ZERO
    refunded: Decimal = ZERO
    status: str = ""
    payments: int = 0
    revision: int = 1
    currency: str = ""
    changed: str = ""

    @property
    def net(self) -> Decimal:
        """What Wicked counts as revenue now: approved less refunded."""
        return self.approved - self.refunded

    @property
    def place(self) -> tuple[int, int]:
        """Where this state stands in the order's story: of two, the greater place is the later.

        Rows leave by endpoint, so a new order can be settled before the refund that made it necessary.
        """
        return self.revision, self.payments


@dataclass(slots=True, frozen=True)
class Contribution:
    """What one row of a source adds to the sale `whole`; below zero if it takes back.

    `click` and `commission` are what other rows of the same sale may have in common with it; empty if nothing.
    `changed` is the source's own date of the row's last change, "" where it gives none.
    """

    key: str
    whole: str
    amount: Decimal
    click: str = ""
    commission: str = ""
    changed: str = ""


@dataclass(slots=True)
class SaleTotal:
    """A sale as the sum of its parts. `facts`: the record, as JSON, that its rows are made from.

    `due` says that `Normalizer.finish` must look at it, and from which day on; empty if nothing waits.
    """

    key: str
    facts: bytes
    amount: Decimal = ZERO
    due: str = ""


@dataclass(slots=True, frozen=True)
class Document:
    """What is known of one order that arrives in pieces; `facts` is JSON in the normalizer's own form.

    `due` says that `Normalizer.finish` must look at it, and in which order among the others; empty if nothing waits.
    """

    key: str
    facts: bytes
    due: str = ""


@dataclass(slots=True)
class Row:
    """One row for one endpoint, encoded once and never again.

    `key` is the name the ledger knows the row by. `order_key` and `order` are set for rows of an affiliate order:
    what the ledger must remember of it once Wicked has accepted this row.
    """

    endpoint: str
    key: str
    body: bytes
    digest: bytes
    stream: str
    sequence: int = 0
    order_key: str | None = None
    order: OrderState | None = None

    @property
    def identity(self) -> str:
        """What no two rows under way may share: the order whose story they tell, else their own key."""
        return self.order_key or self.key


@dataclass(slots=True, frozen=True)
class Reject:
    """A row that may not be sent, and why; it goes to the dead-letter file.

    `reason` says which rule was broken without quoting the value; `field` is Wicked's field name or "". `kept` says
    that `row` is no record but what the ledger keeps of several, from which `replay` can make nothing.
    """

    reason: str
    field: str
    endpoint: str
    stream: str
    row: dict[str, Any]
    sequence: int = 0
    kept: bool = False


@dataclass(slots=True, frozen=True)
class Skip:
    """A record that by configuration makes no row; only counted, under `reason`."""

    reason: str
    sequence: int = 0


@dataclass(slots=True, frozen=True)
class Unchanged(Skip):
    """A record that says nothing new of a sale; counted with the rows of `endpoint` that Wicked has already."""

    endpoint: str = ""
