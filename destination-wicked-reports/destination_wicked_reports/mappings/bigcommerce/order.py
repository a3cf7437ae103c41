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

    `sent_transaction_ids` and `sent_item_ids` are known to be in Wicked Reports, nested in the order's row or found in
    the ledger. `order_sent` if the ledger lists the order itself as sent; its personal data is then deleted.
    `due` is the sort key by which the draft waits for the end of the input; "" if nothing is to be sent.
    """

    key: str
    order: ShopOrder | None = None
    transactions: dict[str, Transaction] = field(default_factory=dict)
    items: dict[str, OrderItem] = field(default_factory=dict)
    sent_transaction_ids: set[str] = field(default_factory=set)
    sent_item_ids: set[str] = field(default_factory=set)
    order_sent: bool = False
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
            set(stored["sent_transaction_ids"]),
            set(stored["sent_item_ids"]),
            stored["order_sent"],
            document.pending,
        )

    def document(self) -> Document:
        """Return the document that stores this draft, without personal data once the order is sent."""
        order = self.order
        if self.order_sent and order is not None:
            order = order.without_personal_data()
        stored = {
            "order": order,
            "transactions": self.transactions,
            "items": self.items,
            "sent_transaction_ids": sorted(self.sent_transaction_ids),
            "sent_item_ids": sorted(self.sent_item_ids),
            "order_sent": self.order_sent,
        }
        return Document(self.key, orjson.dumps(stored, option=orjson.OPT_SORT_KEYS), self.due)

    # -- records ----------------------------------------------------------------------------------------------------

    def add_order(self, order: ShopOrder) -> str | None:
        """Store the order; return the reason to skip it if a later version is stored already."""
        former = self.order
        if former is not None and order.modified < former.modified:
            return OUTDATED
        if self.order_sent:
            order = order.without_personal_data()
        if order.payment_state == "" or (former is not None and (former.was_unpaid or former.payment_state == "")):
            order = replace(order, was_unpaid=True)
        if order != former:
            self.order = order
            self._mark_due()
        return None

    def add_transaction(self, name: str, transaction: Transaction) -> str | None:
        """Store a transaction unless it was sent; return the reason to skip it if it makes no payment."""
        former = self.transactions.get(name)
        is_new = former != transaction and (former is None or former.kind != "foreign")
        if is_new and name not in self.sent_transaction_ids:
            self.transactions[name] = transaction
            self._mark_due()
        return TEST_TRANSACTION if transaction.kind == "test" else None

    def add_item(self, name: str, item: OrderItem) -> None:
        """Store an item unless it was sent: Wicked Reports cannot update an item."""
        if name not in self.sent_item_ids and self.items.get(name) != item:
            self.items[name] = item
            self._mark_due()

    def _mark_due(self) -> None:
        self.due = self.order.created if self.order is not None else _AFTER_ALL_DATES
