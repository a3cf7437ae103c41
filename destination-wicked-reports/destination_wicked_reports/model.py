"""Data types shared by the stages of a write: records, rows, and what the ledger stores about a sale."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

ZERO = Decimal(0)

#: The sequence of rows made from what the ledger stores: no STATE waits for them.
LAST_SEQUENCE = sys.maxsize

#: The outcome of a row whose response was lost, so that Wicked may or may not have it; in the ledger, the dead-letter
#: file and the counts.
IN_DOUBT = "in_doubt"

#: What an order says about its buyer; WAITING is an order that waits for the address of its contact.
ADDRESS, ID_ALONE, SYNTHETIC, WAITING = "address", "id", "synthetic", "waiting"


@dataclass(slots=True)
class Record:
    """One RECORD message. `sequence` is its position in the input; see `delivery/writer.py`."""

    stream: str
    data: dict[str, Any]
    sequence: int = 0


class OpenOrder(NamedTuple):
    """An order of a sale of which something is left. `paid_at` is the latest PaymentDate of its payments."""

    number: int
    total: Decimal
    refunded: Decimal = ZERO
    paid_at: str = ""

    @property
    def left(self) -> Decimal:
        """What the order still counts for."""
        return self.total - self.refunded


class SaleState(NamedTuple):
    """What was sent of one sale, and what its further orders repeat; the ledger keeps it.

    Amounts are whole cents of `currency`. `order_count` counts the orders ever made, `version` the rows ever made: of
    two states the one with the greater version is the later. `aliases` are what such rows may
    have in common with the sale. `source_updated_at` is the source's own time of that record, "" where it gives none.
    `contact_hash` stands for an address that the ledger must not store; see `affiliate/contact_lookup.py`.
    `renamed` has the former source systems, oldest first, each with the number of the last order sent under it.

    The ledger stores the fields in this order, see `ledger/sale_json.py`: a new one goes to the end.
    """

    currency: str = ""
    open_orders: tuple[OpenOrder, ...] = ()
    order_count: int = 0
    version: int = 0
    ordered_at: str = ""
    product_id: str = ""
    contact_id: str = ""
    contact_email: str = ""
    contact_hash: str = ""
    aliases: tuple[str, ...] = ()
    source_updated_at: str = ""
    renamed: tuple[tuple[str, int], ...] = ()

    @property
    def net(self) -> Decimal:
        """What the sale's orders count for at Wicked."""
        return sum([order.left for order in self.open_orders], ZERO)

    def sent_as(self, number: int, source_system: str) -> str:
        """Return the SourceSystem that order `number` has at Wicked, where the ledger has it as `source_system`."""
        return next((former for former, last in self.renamed if number <= last), source_system)


class SalePayment(NamedTuple):
    """A payment of a sale's order: APPROVED, REFUNDED or PARTIALLY REFUNDED."""

    number: int
    status: str
    amount: Decimal


@dataclass(slots=True, frozen=True)
class Contribution:
    """What one row of a source adds to the sale `sale_key`; negative if it takes money back.

    `aliases` relate it to other rows of the same sale. `source_updated_at` is the source's modification date of the
    row, "" if it has none; so is `currency` where all rows have the same.
    """

    key: str
    sale_key: str
    amount: Decimal
    aliases: tuple[str, ...] = ()
    source_updated_at: str = ""
    currency: str = ""


@dataclass(slots=True)
class SaleTotal:
    """A sale as the sum of its contributions. `facts` is the record, as JSON, that its rows are made from.

    `pending` is the day (YYYY-MM-DD) from which `Normalizer.finish` has to look at it; empty if nothing is pending.
    """

    key: str
    facts: bytes
    amount: Decimal = ZERO
    pending: str = ""


@dataclass(slots=True, frozen=True)
class Document:
    """What is known about one order whose parts arrive separately. `facts` is JSON in the mapping's own format.

    `pending` is the sort key by which `Normalizer.finish` visits it; empty if nothing is pending.
    """

    key: str
    facts: bytes
    pending: str = ""


@dataclass(slots=True)
class Row:
    """One row for one endpoint. `body` is its JSON, encoded once.

    `key` identifies the row in the ledger. Rows of a sale have a `sale_key`, the `sale` after the row, which the ledger
    stores once Wicked has accepted it, and the `payments` that the row carries. `left_out` has the
    optional fields that the row lacks because their values were invalid, each with the reason. `sale_json` is `sale`
    as the ledger stores it, once it was encoded.
    """

    endpoint: str
    key: str
    body: bytes
    digest: bytes
    stream: str
    sequence: int = 0
    sale_key: str | None = None
    sale: SaleState | None = None
    payments: tuple[SalePayment, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    #: the sequence of the record that the row was made of, if `sequence` is that of an earlier one
    record: int = 0
    sale_json: str = field(default="", compare=False, repr=False)

    @property
    def identity(self) -> str:
        """What no two rows in flight may share: the sale they belong to, else their own key."""
        return self.sale_key or self.key


class OrderFacts(NamedTuple):
    """What tells whether two orders of equal id are the same. `created_at` is UTC, `YYYY-MM-DD HH:MM:SS`."""

    source_system: str
    source_id: str
    created_at: str
    total: Decimal
    sequence: int
    #: the order as it would be sent, if it is a row already
    body: bytes = b""


@dataclass(slots=True, frozen=True)
class Reject:
    """A record that cannot become a row. It goes to the dead-letter file.

    `reason` names the broken rule without quoting the value; `field` is Wicked's field name or "". `from_ledger` says
    that `row` is no record of the source but what the ledger stores about one order; `replay` cannot send it.
    """

    reason: str
    field: str
    endpoint: str
    stream: str
    row: dict[str, Any]
    sequence: int = 0
    from_ledger: bool = False


@dataclass(slots=True, frozen=True)
class Skip:
    """A record that by configuration becomes no row. It is only counted, by `reason`.

    `sample` is what the closing log may show of it: an id, without personal data.
    """

    reason: str
    sequence: int = 0
    sample: str = field(default="", kw_only=True, compare=False)


@dataclass(slots=True, frozen=True)
class Unattributed(Skip):
    """A sale that is left out because no rule finds its buyer."""


@dataclass(slots=True, frozen=True)
class Stored(Skip):
    """A record whose sale is stored in the ledger until `Normalizer.finish` looks at it. It is not counted."""


@dataclass(slots=True, frozen=True)
class Waiting(Skip):
    """An order that waits in the ledger for the address of its contact. It is counted with those on who bought."""


@dataclass(slots=True, frozen=True)
class Unchanged(Skip):
    """A record that changes nothing about its sale. It is counted with the unchanged rows of `endpoint`."""

    endpoint: str = ""


@dataclass(slots=True, frozen=True)
class Deleted(Skip):
    """A record that says that a row of `stream` was deleted at the source."""

    stream: str = ""
