"""The ledger's affiliate orders, with what is queued but not yet accepted laid over them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_documents import OrderDocuments
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.mappings.base import Documents, Sums
from destination_wicked_reports.model import OrderState, Row


class OrderBook:
    """What a normalizer may ask of the ledger; see `base.Orders`.

    Memory is bounded: an order is held only while a row of it is on its way, and between `load` and the next `load`.
    """

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._queued: dict[str, tuple[OrderState, int]] = {}
        self._loaded: dict[str, OrderState] = {}

    def load(self, keys: Iterable[str]) -> None:
        """Fetch these orders in one go; see `base.Orders.load`."""
        self._loaded = self._ledger.orders([key for key in dict.fromkeys(keys) if key not in self._queued])

    def get(self, key: str) -> OrderState | None:
        """Return the order as of the last row made for it; see `base.Orders.get`."""
        queued = self._queued.get(key)
        return queued[0] if queued else self._loaded.get(key)

    @cached_property
    def sums(self) -> Sums:
        """What the rows of a source add up to; its tables are made when first asked for. See `base.Sums`."""
        return SaleTotals(self._ledger)

    @cached_property
    def documents(self) -> Documents:
        """What is known of each order; its table is made when first asked for. See `base.Documents`."""
        return OrderDocuments(self._ledger)

    def is_queued(self, key: str) -> bool:
        """Tell whether any row of this order is on its way."""
        return key in self._queued

    def queue(self, row: Row) -> None:
        """Remember the order as this row, now on its way, will leave it."""
        if row.order_key and row.order:
            known, count = self._queued.get(row.order_key, (row.order, 0))
            latest = row.order if row.order.place > known.place else known
            self._queued[row.order_key] = latest, count + 1

    def settle(self, rows: Iterable[Row]) -> None:
        """Forget rows whose outcome is known: from here on the ledger answers."""
        for row in rows if self._queued else ():
            if row.order_key in self._queued:
                state, count = self._queued.pop(row.order_key)
                if count > 1:
                    self._queued[row.order_key] = state, count - 1
