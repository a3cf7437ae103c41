"""What every normalizer takes and gives: records in, rows for Wicked's inbound endpoints out."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

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
class Part:
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
class Whole:
    """A sale as the sum of its parts. `facts`: the record, as JSON, that its rows are made from.

    `due` says that `Normalizer.finish` must look at it, and from which day on; empty if nothing waits.
    """

    key: str
    facts: bytes
    amount: Decimal = ZERO
    due: str = ""


class Sums(Protocol):
    """The ledger's memory of what a source's rows add up to; what is `put` or `set` counts once it is saved."""

    def load(self, keys: Collection[str], whole_keys: Collection[str], aliases: Collection[str]) -> None:
        """Fetch parts by their keys and by what they have in common, and the wholes named or reached by them."""

    def part(self, key: str) -> Part | None:
        """Return what a row adds, or None if it was never counted."""

    def kin(self, alias: str) -> list[Part]:
        """Return the parts that have this click or commission in common."""

    def whole(self, key: str) -> Whole | None:
        """Return the sum of a sale, or None if no row was ever counted for it."""

    def loaded(self) -> list[str]:
        """Return the keys of all wholes at hand."""

    def due(self, start: str, limit: str) -> Iterator[list[Whole]]:
        """Yield, in pages, the wholes whose key begins so and that are due by this day."""

    def put(self, part: Part, facts: bytes | None = None, due: str | None = None) -> None:
        """Count a row as this part, in place of what it counted as before; facts and due are the whole's."""

    def set(self, key: str, facts: bytes | None = None, due: str | None = None) -> None:
        """Change what is known of a whole; None leaves it."""

    def save(self) -> None:
        """Make everything durable at once."""


@dataclass(slots=True, frozen=True)
class Document:
    """What is known of one order that arrives in pieces; `facts` is JSON in the normalizer's own form.

    `due` says that `Normalizer.finish` must look at it, and in which order among the others; empty if nothing waits.
    """

    key: str
    facts: bytes
    due: str = ""


class Documents(Protocol):
    """The ledger's memory of orders that arrive in pieces; what is `put` counts once it is saved."""

    def load(self, keys: Collection[str]) -> None:
        """Fetch these documents, so that `get` costs nothing."""

    def get(self, key: str) -> Document | None:
        """Return a document at hand, None if there is none of this order."""

    def put(self, document: Document) -> None:
        """Replace a document."""

    def save(self) -> None:
        """Make everything durable at once."""

    def due(self, start: str) -> Iterator[list[Document]]:
        """Yield, in pages, the documents with something to tell, the earliest due first.

        Only those whose key begins so: several shops may share a ledger.
        """

    def known(self, endpoint: str, keys: Collection[str]) -> frozenset[str]:
        """Return which of these rows were sent in earlier requests, whatever source made them."""


class Orders(Protocol):
    """The ledger's memory of affiliate orders, with what is queued but not yet accepted laid over it."""

    def load(self, keys: Iterable[str]) -> None:
        """Fetch these orders in one query, so that `get` costs nothing."""

    def get(self, key: str) -> OrderState | None:
        """Return the order as of the last row made for it, or None if none was ever made."""

    @property
    def sums(self) -> Sums:
        """What the source's rows add up to, for sources whose rows are not whole sales."""

    @property
    def documents(self) -> Documents:
        """What is known of each order, for sources whose orders arrive in pieces."""


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


class Normalizer(ABC):
    """Turns the records of one source system into rows."""

    #: the streams this mapping understands, by name; an unmapped stream is refused before anything is read.
    streams: frozenset[str]
    #: the lowest sequence of a record that is neither a row yet nor in a ledger that outlives the run; it holds STATEs
    #: back as an unsettled row does.
    holds: float = float("inf")

    @abstractmethod
    def normalize(self, records: Sequence[Record], orders: Orders) -> Iterator[Row | Reject | Skip]:
        """Yield what these records become, in their order; never raises for a bad record."""

    def route(self, stream: str, namespace: str = "", object_name: str = "") -> str | None:
        """Return what the records of a configured stream are to be called, or None if there is no place for them.

        `object_name` is the endpoint that the catalog asks for, if any; most mappings choose endpoints themselves.
        """
        return stream if stream in self.streams and not object_name else None

    def notes(self) -> Iterator[str]:
        """Yield what the user should hear at the end of the run, without any value of a record."""
        yield from ()

    def finish(self, orders: Orders) -> Iterator[Row | Reject | Skip]:
        """Yield what can be told only after the last record of a run; asked for once the input has ended."""
        return iter(())
