"""What is known of one BigCommerce order, collected from records of several streams and stored in the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import orjson

from destination_wicked_reports.mappings.bigcommerce.records import (
    TEST_TRANSACTION,
    OrderItem,
    ShopOrder,
    Transaction,
)
from destination_wicked_reports.model import Document

OUTDATED = "older than the order version already read"

#: Sort key of drafts whose order was not read yet. It sorts after every date.
_AFTER_ALL_DATES = "~"


@dataclass(slots=True)
class OrderDraft:
    """One order (None until it is read), its transactions, and its items that were not sent yet, by their ids.

    - `sent_item_ids` are known to be in Wicked Reports, nested in the order's row or found in the ledger.
    - `reported` names what dead letters were written about, each once.
    - `sent` if the ledger lists the order as sent. Its personal data is then deleted.
    - `erased` if the personal data was deleted before the order was sent. Reading the order again restores it.
    - `waiting_since` is the day (YYYY-MM-DD) on which the order was first found waiting for its payment.
    - `due` is the sort key by which the draft waits for the end of the input; "" if nothing is to be sent.
    """

    key: str
    order: ShopOrder | None = None
    transactions: dict[str, Transaction] = field(default_factory=dict)
    items: dict[str, OrderItem] = field(default_factory=dict)
    sent_item_ids: set[str] = field(default_factory=set)
    reported: set[str] = field(default_factory=set)
    sent: bool = False
    erased: bool = False
    waiting_since: str = ""
    due: str = ""

    @classmethod
    def of(cls, document: Document) -> OrderDraft:
        """Return the draft that the ledger stores in this document."""
        stored = orjson.loads(document.facts)
        return cls(
            document.key,
            ShopOrder(**stored["order"]) if stored["order"] else None,
            {name: Transaction(**values) for name, values in stored["transactions"].items()},
            {name: OrderItem(**values) for name, values in stored["items"].items()},
            set(stored["sent_item_ids"]),
            set(stored["reported"]),
            stored["sent"],
            stored["erased"],
            stored["waiting_since"],
            document.pending,
        )

    def document(self) -> Document:
        """Return the document that stores this draft, without personal data once nothing is to be sent."""
        order = self.order
        if order is not None and (self.erased or (self.sent and not self.due)):
            order = order.without_personal_data()
        stored = {
            "order": order,
            "transactions": self.transactions,
            "items": self.items,
            "sent_item_ids": sorted(self.sent_item_ids),
            "reported": sorted(self.reported),
            "sent": self.sent,
            "erased": self.erased,
            "waiting_since": self.waiting_since,
        }
        return Document(self.key, orjson.dumps(stored, option=orjson.OPT_SORT_KEYS), self.due)

    @property
    def empty(self) -> bool:
        """Whether nothing is known of the order."""
        return self == OrderDraft(self.key)

    # -- records ----------------------------------------------------------------------------------------------------

    def add_order(self, order: ShopOrder) -> str | None:
        """Store the order; return the reason to skip it if a later version is stored already."""
        former = self.order
        if former is not None and order.modified < former.modified:
            return OUTDATED
        if not order.is_paid or (former is not None and (former.was_unpaid or not former.is_paid)):
            order = replace(order, was_unpaid=True)
        if self.sent and former is not None and order.without_personal_data() == former.without_personal_data():
            return None
        if order != former or self.erased:
            self.order = order
            self.erased = False
            self._mark_due()
        return None

    def add_transaction(self, name: str, transaction: Transaction) -> str | None:
        """Store a transaction; return the reason to skip it if it moves no money."""
        if self.transactions.get(name) != transaction:
            self.transactions[name] = transaction
            self._mark_due()
        return TEST_TRANSACTION if transaction.kind == "test" else None

    def drop_transaction(self, name: str, reason: str) -> str:
        """Forget an earlier version of a transaction that moved no money after all; return the reason."""
        if self.transactions.pop(name, None) is not None:
            self._mark_due()
        return reason

    def add_item(self, name: str, item: OrderItem) -> None:
        """Store an item unless it was sent: Wicked Reports cannot update an item."""
        if name not in self.sent_item_ids and self.items.get(name) != item:
            self.items[name] = item
            self._mark_due()

    def _mark_due(self) -> None:
        self.due = self.order.created if self.order is not None else _AFTER_ALL_DATES
