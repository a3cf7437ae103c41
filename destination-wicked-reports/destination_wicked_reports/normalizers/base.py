"""What every normalizer takes and gives: records in, rows for Wicked's inbound endpoints out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

ZERO = Decimal(0)


@dataclass(slots=True)
class Record:
    """One RECORD message: its stream, its fields, and its place in the input (which STATEs it holds back)."""

    stream: str
    data: dict[str, Any]
    sequence: int = 0


@dataclass(slots=True, frozen=True)
class OrderState:
    """What Wicked has been told about one affiliate order; the ledger keeps it, money in the order's currency.

    `status` is that of the last payment told, empty before the first. `payments` counts the payments so far, over all
    revisions, and numbers the next one, so that two equal payments stay two. `revision` counts the orders that stand
    for the sale: 2 once it was told anew after a decline or a refund.
    """

    total: Decimal
    approved: Decimal = ZERO
    refunded: Decimal = ZERO
    status: str = ""
    payments: int = 0
    revision: int = 1
    currency: str = ""

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


class Orders(Protocol):
    """The ledger's memory of affiliate orders, with what is queued but not yet accepted laid over it."""

    def load(self, keys: Iterable[str]) -> None:
        """Fetch these orders in one query, so that `get` costs nothing."""

    def get(self, key: str) -> OrderState | None:
        """Return the order as of the last row made for it, or None if none was ever made."""


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


@dataclass(slots=True, frozen=True)
class Reject:
    """A row that may not be sent, and why; it goes to the dead-letter file.

    `reason` says which rule was broken without quoting the value; `field` is Wicked's field name or "".
    """

    reason: str
    field: str
    endpoint: str
    stream: str
    row: dict[str, Any]
    sequence: int = 0


@dataclass(slots=True, frozen=True)
class Skip:
    """A record that by configuration makes no row; only counted, under `reason`."""

    reason: str
    sequence: int = 0


class Normalizer(ABC):
    """Turns the records of one source system into rows."""

    #: the streams this mapping understands, by name; an unmapped stream is refused before anything is read.
    streams: frozenset[str]

    @abstractmethod
    def normalize(self, records: Sequence[Record], orders: Orders) -> Iterator[Row | Reject | Skip]:
        """Yield what these records become, in their order; never raises for a bad record."""

    def notes(self) -> Iterator[str]:
        """Yield what the user should hear at the end of the run, without any value of a record."""
        yield from ()
