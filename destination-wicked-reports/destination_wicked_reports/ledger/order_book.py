"""The state of affiliate and shop orders: what the ledger stores, overlaid with rows whose outcome is not known yet."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_documents import OrderDocuments
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.model import OrderState, Row


class OrderBook:
    """What mappings may ask the ledger.

    Memory is bounded: an order is kept only while one of its rows is queued or in flight, and from one `load` to the
    next.
    """

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._queued: dict[str, tuple[OrderState, int]] = {}
        self._loaded: dict[str, OrderState] = {}

    def load(self, keys: Iterable[str]) -> None:
        """Fetch these orders in one query for the following calls of `get`."""
        self._loaded = self._ledger.orders([key for key in dict.fromkeys(keys) if key not in self._queued])

    def get(self, key: str) -> OrderState | None:
        """Return the order's state after the last row made for it, or None if there never was one."""
        queued = self._queued.get(key)
        return queued[0] if queued else self._loaded.get(key)

    @cached_property
    def sale_totals(self) -> SaleTotals:
        """Sums over a source's rows. The first access creates the tables."""
        return SaleTotals(self._ledger)

    @cached_property
    def documents(self) -> OrderDocuments:
        """What is known about each order. The first access creates the table."""
        return OrderDocuments(self._ledger)

    def is_queued(self, key: str) -> bool:
        """Tell whether a row of this order is queued or in flight."""
        return key in self._queued

    def queue(self, row: Row) -> None:
        """Overlay the order's state with the one after this row."""
        if row.order_key and row.order:
            known, count = self._queued.get(row.order_key, (row.order, 0))
            latest = row.order if row.order.version > known.version else known
            self._queued[row.order_key] = latest, count + 1

    def release(self, rows: Iterable[Row]) -> None:
        """Drop rows whose outcome is known; from now on the ledger has their orders' state."""
        for row in rows if self._queued else ():
            if row.order_key in self._queued:
                state, count = self._queued.pop(row.order_key)
                if count > 1:
                    self._queued[row.order_key] = state, count - 1
