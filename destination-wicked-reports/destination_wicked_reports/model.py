"""Data types shared by the stages of a write: records, rows, and what the ledger stores about a sale."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)

#: The sequence of rows made from what the ledger stores: no STATE waits for them.
LAST_SEQUENCE = sys.maxsize

#: The outcome of a row whose response was lost, so that Wicked may or may not have it; in the ledger, the dead-letter
#: file and the counts.
IN_DOUBT = "in_doubt"


@dataclass(slots=True)
class Record:
    """One RECORD message. `sequence` is its position in the input; see `delivery/writer.py`."""

    stream: str
    data: dict[str, Any]
    sequence: int = 0


@dataclass(slots=True, frozen=True)
class OrderState:
    """What was sent to Wicked for one affiliate or shop order so far. Amounts are in the order's currency.

    `status` is the status of the last payment sent, empty before the first. `payments` counts the payments sent over
    all revisions; it numbers the next one, so that two equal payments get different keys. `revision` counts the orders
    sent for the sale: 2 after a declined or refunded sale was reinstated. `source_updated_at` is the source's own
    modification time of the last record sent, "" if it has none; older records are ignored.
    """

    total: Decimal
    approved: Decimal = ZERO
    refunded: Decimal = ZERO
    status: str = ""
    payments: int = 0
    revision: int = 1
    currency: str = ""
    source_updated_at: str = ""

    @property
    def net(self) -> Decimal:
        """What Wicked counts as revenue: approved less refunded."""
        return self.approved - self.refunded

    @property
    def version(self) -> tuple[int, int]:
        """Orders the states of one order: the later state has the greater version.

        Rows are sent by endpoint, so the order of a reinstated sale can be accepted before the refund it follows.
        """
        return self.revision, self.payments


@dataclass(slots=True, frozen=True)
class Contribution:
    """What one row of a source adds to the sale `sale_key`; negative if it takes money back.

    `click` and `commission` relate it to other rows of the same sale; empty if unknown. `source_updated_at` is the
    source's modification date of the row, "" if it has none.
    """

    key: str
    sale_key: str
    amount: Decimal
    click: str = ""
    commission: str = ""
    source_updated_at: str = ""


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

    `key` identifies the row in the ledger. `order_key` and `order` are set for the rows of an affiliate or shop order:
    the state that the ledger stores for it once Wicked has accepted this row. `left_out` has the optional fields that
    the row lacks because their values were invalid, each with the reason.
    """

    endpoint: str
    key: str
    body: bytes
    digest: bytes
    stream: str
    sequence: int = 0
    order_key: str | None = None
    order: OrderState | None = None
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def identity(self) -> str:
        """What no two rows in flight may share: the order they belong to, else their own key."""
        return self.order_key or self.key


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
    """A record that by configuration becomes no row. It is only counted, by `reason`."""

    reason: str
    sequence: int = 0


@dataclass(slots=True, frozen=True)
class Unchanged(Skip):
    """A record that changes nothing about its sale. It is counted with the unchanged rows of `endpoint`."""

    endpoint: str = ""


@dataclass(slots=True, frozen=True)
class Deleted(Skip):
    """A record that says that a row of `stream` was deleted at the source."""

    stream: str = ""
