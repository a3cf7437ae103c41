"""The interface of all normalizers: records in, rows for the inbound endpoints of Wicked Reports out."""

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

    #: the streams that the mapping accepts, by name. Other streams are refused before any record is read.
    streams: frozenset[str]
    #: the lowest sequence of a record buffered in memory only. STATEs at or above it are not released.
    oldest_buffered: float = float("inf")

    @abstractmethod
    def normalize(self, records: Sequence[Record], orders: Orders) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of these records, in order. A bad record yields a Reject; it never raises."""

    def route(self, stream: str, namespace: str = "", object_name: str = "") -> str | None:
        """Return the stream name for a configured stream's records, or None if the mapping does not accept it.

        `object_name` is the endpoint that the catalog requests, if any. Most mappings choose endpoints themselves and
        accept no object name.
        """
        return stream if stream in self.streams and not object_name else None

    def notes(self) -> Iterator[str]:
        """Yield messages for the end of the run. They contain no values of records."""
        yield from ()

    def finish(self, orders: Orders) -> Iterator[Row | Reject | Skip]:
        """Yield the rows that can be made only after the last record of the run. Called once, at the end of input."""
        return iter(())


class BoundedSet:
    """A set that forgets its oldest members beyond a maximum size."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._names: OrderedDict[str, None] = OrderedDict()  # finding a dict's first key slows down with deletions

    def add(self, name: str) -> bool:
        """Add a name; return whether it was new."""
        if name in self._names:
            return False
        if len(self._names) >= self._size:
            self._names.popitem(last=False)
        self._names[name] = None
        return True
