"""What every normalizer takes and gives: records in, rows for Wicked's inbound endpoints out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, TypeVar

from destination_wicked_reports.api.endpoints import ENDPOINTS, ORDERS
from destination_wicked_reports.api.rows import find_column
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.model import OrderFacts, Record, Reject, Row, SaleState, Skip


class Normalizer(ABC):
    """Turns the records of one source system into rows."""

    #: the streams this mapping understands, by name; an unmapped stream is refused before anything is read.
    streams: frozenset[str]
    #: Lowest sequence of a record buffered in memory, or in a ledger that ends with the run; STATEs at or above it are
    #: not released.
    oldest_buffered: float = float("inf")
    #: Whether the mapping itself finds out who bought, as the affiliate mappings do.
    finds_buyers: ClassVar[bool] = False

    @abstractmethod
    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield what these records become, in their order; never raises for a bad record."""

    def route(self, stream: str, namespace: str = "", object_name: str = "") -> str | None:
        """Return what the records of a configured stream are to be called, or None if there is no place for them.

        `object_name` is the endpoint that the catalog asks for, if any; most mappings choose endpoints themselves.
        """
        if object_name:
            return None
        return stream if stream in self.streams else find_column(stream, self.streams)

    def endpoint_of(self, stream: str) -> str:
        """Return the endpoint that a record of this stream counts for if it cannot be read."""
        return stream if stream in ENDPOINTS else ORDERS.name

    def check(self) -> Iterator[str]:
        """Check what the mapping needs besides the API key, and yield warnings; for the command `check`.

        Raises ConfigurationError or AirbyteTracedException for what cannot work.
        """
        yield from ()

    def as_stored(self, sale: SaleState) -> SaleState:
        """Return a sale as the ledger may store it; for `replay`, which takes it from a dead letter."""
        return sale

    def notes(self) -> Iterator[str]:
        """Yield what the user should hear at the end of the run, without any value of a record."""
        yield from ()

    def take_stored_orders(self) -> list[OrderFacts]:
        """Return the orders that `normalize` stored in the ledger instead of making rows of them, since the last call.

        They let the destination notice a changed source system before their STATE is released.
        """
        return []

    def finish(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield what can be told only after the last record of a run; asked for once the input has ended."""
        return iter(())


Value = TypeVar("Value")


class BoundedDict(Generic[Value]):
    """The values set last: at least `size` of them, at most twice as many.

    Setting a value of a new name is several times as fast as with an OrderedDict that drops its oldest.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._latest: dict[str, Value] = {}
        self._earlier: dict[str, Value] = {}

    def get(self, name: str) -> Value | None:
        """Return the value of a name, or None."""
        return self._latest[name] if name in self._latest else self._earlier.get(name)

    def set(self, name: str, value: Value) -> None:
        """Set the value of a name."""
        if len(self._latest) >= self._size and name not in self._latest:
            self._latest, self._earlier = {}, self._latest
        self._latest[name] = value


class BoundedSet:
    """The names added last: at least `size` of them, at most twice as many."""

    def __init__(self, size: int = 4096) -> None:
        self._names = BoundedDict[bool](size)

    def add(self, name: str) -> bool:
        """Add a name; return whether it was not here."""
        if self._names.get(name):
            return False
        self._names.set(name, True)
        return True
