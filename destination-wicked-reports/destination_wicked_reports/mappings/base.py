"""What every normalizer takes and gives: records in, rows for Wicked's inbound endpoints out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from destination_wicked_reports.model import (
    Contribution,
    Document,
    OrderState,
    Record,
    Reject,
    Row,
    SaleTotal,
    Skip,
)


class Sums(Protocol):
    """The ledger's memory of what a source's rows add up to; what is `put` or `set` counts once it is saved."""

    def load(self, keys: Collection[str], whole_keys: Collection[str], aliases: Collection[str]) -> None:
        """Fetch parts by their keys and by what they have in common, and the wholes named or reached by them."""

    def part(self, key: str) -> Contribution | None:
        """Return what a row adds, or None if it was never counted."""

    def kin(self, alias: str) -> list[Contribution]:
        """Return the parts that have this click or commission in common."""

    def whole(self, key: str) -> SaleTotal | None:
        """Return the sum of a sale, or None if no row was ever counted for it."""

    def loaded(self) -> list[str]:
        """Return the keys of all wholes at hand."""

    def due(self, start: str, limit: str) -> Iterator[list[SaleTotal]]:
        """Yield, in pages, the wholes whose key begins so and that are due by this day."""

    def put(self, part: Contribution, facts: bytes | None = None, due: str | None = None) -> None:
        """Count a row as this part, in place of what it counted as before; facts and due are the whole's."""

    def set(self, key: str, facts: bytes | None = None, due: str | None = None) -> None:
        """Change what is known of a whole; None leaves it."""

    def save(self) -> None:
        """Make everything durable at once."""


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


class BoundedSet:
    """The names added last, a bounded number of them."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._names: OrderedDict[str, None] = OrderedDict()  # a dict searches longer for its first, the more are gone

    def add(self, name: str) -> bool:
        """Add a name; return whether it was not here."""
        if name in self._names:
            return False
        if len(self._names) >= self._size:
            self._names.popitem(last=False)
        self._names[name] = None
        return True
