"""The state of sales: what the ledger stores, overlaid with rows whose outcome is not known yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property

from destination_wicked_reports.ledger.contact_answers import ContactAnswers
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_documents import OrderDocuments
from destination_wicked_reports.ledger.record_times import RecordTimes
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.model import Row, SaleState


class OrderBook:
    """What mappings may ask the ledger.

    Memory is bounded: a sale is kept only while one of its rows is queued or in flight, and from one `load` to the
    next.
    """

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        #: By sale: its state after the last row, the endpoint of that row, and how many rows are unsettled.
        self._queued: dict[str, tuple[SaleState, str, int]] = {}
        self._loaded: dict[str, SaleState] = {}

    def load(self, keys: Iterable[str]) -> None:
        """Fetch these sales in one query for the following calls of `get`."""
        self._loaded = self._ledger.sales([key for key in dict.fromkeys(keys) if key not in self._queued])

    def get(self, key: str) -> SaleState | None:
        """Return the sale after the last row made for it, or None if there never was one."""
        queued = self._queued.get(key)
        return queued[0] if queued else self._loaded.get(key)

    def find(self, aliases: Collection[str]) -> dict[str, SaleState]:
        """Return the sales that have one of these aliases, by key, each after the last row made for it."""
        found = self._ledger.sales_by_alias(aliases)
        wanted = set(aliases)
        found.update((key, sale) for key, (sale, *_) in self._queued.items() if not wanted.isdisjoint(sale.aliases))
        return found

    @cached_property
    def sale_totals(self) -> SaleTotals:
        """Sums over a source's rows. The first access creates the tables."""
        return SaleTotals(self._ledger)

    @cached_property
    def record_times(self) -> RecordTimes:
        """The times of records that made no row. The first access creates the table."""
        return RecordTimes(self._ledger)

    @cached_property
    def documents(self) -> OrderDocuments:
        """What is known about each order. The first access creates the table."""
        return OrderDocuments(self._ledger)

    @cached_property
    def contact_answers(self) -> ContactAnswers:
        """What the contact lookup answered. The first access creates the table."""
        return ContactAnswers(self._ledger)

    def queued_endpoint(self, key: str) -> str | None:
        """Return the endpoint of the sale's last row if that is queued or in flight, else None."""
        queued = self._queued.get(key)
        return queued[1] if queued else None

    def queue(self, row: Row) -> None:
        """Overlay the sale's state with the one after this row."""
        if row.sale_key and row.sale:
            _, _, count = self._queued.get(row.sale_key, (row.sale, row.endpoint, 0))
            self._queued[row.sale_key] = row.sale, row.endpoint, count + 1

    def release(self, rows: Iterable[Row]) -> None:
        """Drop rows whose outcome is known; from now on the ledger has their sales' state."""
        for row in rows if self._queued else ():
            if row.sale_key in self._queued:
                sale, endpoint, count = self._queued.pop(row.sale_key)
                if count > 1:
                    self._queued[row.sale_key] = sale, endpoint, count - 1
