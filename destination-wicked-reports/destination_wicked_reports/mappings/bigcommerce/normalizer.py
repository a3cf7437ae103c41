"""Maps the streams of Airbyte's source-bigcommerce: customers, products, orders, their items and transactions.

The streams arrive in any order, and each run repeats their last day. Customers and products become rows at once. All
records of an order are collected in the ledger, in one document per order, and sent at the end of the input, so an
order leaves with its items and payments nested in it. Items and payments that arrive later are sent as rows of their
own. A customer or product that did not change since the start date is never read; its row is then made from the order
and its items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

from destination_wicked_reports.api.endpoints import CONTACTS, ORDER_ITEMS, ORDER_PAYMENTS, ORDERS, PRODUCTS
from destination_wicked_reports.config.mappings import BigcommerceMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.order_documents import OrderDocuments
from destination_wicked_reports.mappings.base import BoundedSet, Normalizer
from destination_wicked_reports.mappings.bigcommerce import records as records_of
from destination_wicked_reports.mappings.bigcommerce.order import OrderDraft
from destination_wicked_reports.mappings.bigcommerce.payments_and_refunds import (
    Money,
    due_payments,
    foreign_currency_ids,
)
from destination_wicked_reports.mappings.bigcommerce.records import OrderItem, ShopOrder, identifier
from destination_wicked_reports.mappings.bigcommerce.rows import Shop, order_id
from destination_wicked_reports.mappings.field_rules import FieldRule
from destination_wicked_reports.model import LAST_SEQUENCE, OrderState, Record, Reject, Row, Skip

DELETED = "order deleted before it was sent"
NO_BUYER = "order without a customer and an email address; Wicked Reports attributes revenue to contacts"
ORDER_UNREAD = "order not read yet; its items or transactions wait in the ledger"
_FOREIGN_CURRENCY = FieldError("Currency", "the transaction's currency differs from the order's")
#: More contact and product rows than a run can have made without the ledger listing them yet.
_MAX_UNSETTLED = 50_000

Output = list[Row | Reject | Skip]
#: Adds a record to its order; returns the reason if the record is skipped.
Change = Callable[[OrderDraft], str | None]
T = TypeVar("T")
NEVER = float("inf")


class BigcommerceNormalizer(Normalizer):
    """Reads a shop's records. `durable` if the ledger outlives the run, and with it the orders collected there."""

    streams = frozenset({"customers", "products", "orders", "order_products", "transactions"})

    def __init__(self, mapping: BigcommerceMapping, durable: bool = True) -> None:
        self.mapping = mapping
        self._durable = durable
        self._shop = Shop(mapping.source_system)
        self._subscription_rules = [
            FieldRule(rule.field, rule.pattern, f"subscription_rules[{number}]")
            for number, rule in enumerate(mapping.subscription_rules)
        ]
        self._made_in_run = BoundedSet(_MAX_UNSETTLED)
        self._readers: Mapping[str, Callable[[Record], tuple[str, Change] | Row | Skip]] = {
            "customers": lambda record: self._shop.customer(record.data, record.sequence),
            "products": lambda record: self._shop.product(record.data, record.sequence),
            "orders": self._read_order,
            "order_products": self._read_item,
            "transactions": self._read_transaction,
        }

    # -- records ----------------------------------------------------------------------------------------------------

    def endpoint_of(self, stream: str) -> str:
        """Return the endpoint that a record of this stream counts for if it cannot be read."""
        return _ENDPOINTS[stream]

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of customers and products; add all other records to their orders in the ledger."""
        output: Output = []
        changes: list[tuple[Record, str, Change]] = []
        for record in records:
            read = self._read(record)
            if isinstance(read, tuple):
                changes.append((record, *read))
            else:
                output.append(read)
        return iter([*output, *self._store(changes, orders.documents)])

    def _read(self, record: Record) -> tuple[str, Change] | Row | Reject | Skip:
        """Return the row of a record, or the key of the order that it changes and the change."""
        try:
            return self._readers[record.stream](record)
        except FieldError as error:
            return _reject(error, record)

    def _store(self, changes: Sequence[tuple[Record, str, Change]], documents: OrderDocuments) -> Iterator[Skip]:
        drafts: dict[str, OrderDraft] = {}
        documents.load({key for _, key, _ in changes})
        for record, key, change in changes:
            if key not in drafts:
                document = documents.get(key)
                drafts[key] = OrderDraft(key) if document is None else OrderDraft.of(document)
            reason = change(drafts[key])
            if reason is not None:
                yield Skip(reason, record.sequence)
            if not self._durable:
                self.oldest_buffered = min(self.oldest_buffered, record.sequence)
        for draft in drafts.values():
            documents.put(draft.document())
        documents.save()

    def _read_order(self, record: Record) -> tuple[str, Change] | Skip:
        if records_of.is_incomplete(record.data):
            return Skip(records_of.INCOMPLETE, record.sequence)
        key = self._shop.key(identifier(record.data, "id", "SourceID"))
        order = records_of.read_order(record.data, self._subscription_rules)
        return key, lambda draft: draft.add_order(order)

    def _read_item(self, record: Record) -> tuple[str, Change] | Skip:
        if self.mapping.bundled_lines == "skip" and records_of.is_bundled(record.data):
            return Skip(records_of.BUNDLED, record.sequence)
        key = self._shop.key(identifier(record.data, "order_id", "OrderID"))
        name, item = identifier(record.data, "id", "SourceID"), records_of.read_item(record.data)
        return key, lambda draft: draft.add_item(name, item)

    def _read_transaction(self, record: Record) -> tuple[str, Change] | Skip:
        key = self._shop.key(identifier(record.data, "order_id", "OrderID"))
        name, transaction = identifier(record.data, "id", "SourceID"), records_of.read_transaction(record.data)
        if isinstance(transaction, str):
            return Skip(transaction, record.sequence)
        return key, lambda draft: draft.add_transaction(name, transaction)

    # -- orders -----------------------------------------------------------------------------------------------------

    def finish(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of every order that changed, oldest order first.

        An order stays due until a later run finds nothing to send for it, so rows that did not arrive are sent again.
        The ids nested in an order's row are saved before that row is yielded.
        """
        documents = orders.documents
        for page in documents.pending(self._shop.key("")):
            drafts = [OrderDraft.of(document) for document in page]
            orders.load([draft.key for draft in drafts])
            known = self._known(drafts, documents)
            outputs = [(draft, self._finish_order(draft, orders.get(draft.key), known)) for draft in drafts]
            for draft, _ in outputs:
                documents.put(draft.document())
            documents.save()
            for draft, output in outputs:
                yield from self._with_sequence(output)
                if not any(isinstance(row, Row) for row in output):
                    documents.put(replace(draft.document(), pending=""))
            documents.save()
        self.oldest_buffered = NEVER

    def _with_sequence(self, output: Output) -> Output:
        """Give the rows the sequence of the oldest buffered record, so that they block the same STATEs."""
        for row in output:
            if isinstance(row, Row) and self.oldest_buffered < NEVER:
                row.sequence = int(self.oldest_buffered)
        return output

    def _known(self, drafts: Sequence[OrderDraft], documents: OrderDocuments) -> Mapping[str, frozenset[str]]:
        """Return the keys, by endpoint, of the rows that these orders may need and the ledger lists as sent."""
        shop, contacts, products = self._shop, set(), set()
        items: set[str] = set()
        payments: set[str] = set()
        for draft in drafts:
            if draft.order is not None:
                if not draft.order_sent:
                    contacts.add(shop.key(draft.order.buyer_id))
                products |= {shop.key(item.product_id) for item in draft.items.values()}
                items |= {shop.item_key(draft.key, name) for name in draft.items}
                payments |= {shop.payment_key(draft.key, name) for name in draft.transactions}
        return {
            CONTACTS.name: documents.known(CONTACTS.name, contacts),
            PRODUCTS.name: documents.known(PRODUCTS.name, products),
            ORDER_ITEMS.name: documents.known(ORDER_ITEMS.name, items),
            ORDER_PAYMENTS.name: documents.known(ORDER_PAYMENTS.name, payments),
        }

    def _finish_order(self, draft: OrderDraft, state: OrderState | None, known: Mapping[str, frozenset[str]]) -> Output:
        order = draft.order
        if order is None:
            return [Skip(ORDER_UNREAD, LAST_SEQUENCE)]
        output: Output = []
        for name in foreign_currency_ids(order, draft.transactions):
            transaction = draft.transactions[name]
            facts = {"transaction": name, **asdict(transaction)}
            output.append(self._dead_letter(_FOREIGN_CURRENCY, ORDER_PAYMENTS.name, draft, facts))
            draft.transactions[name] = replace(transaction, kind="foreign")
        try:
            money = Money(order, self.mapping.order_total, self.mapping.currency)
            if state is None:
                return [*output, *self._new_order(draft, order, money, known)]
            return [*output, *self._changes(draft, order, money, state, known)]
        except FieldError as error:
            return [*output, self._dead_letter(error, ORDERS.name, draft, asdict(order))]

    def _new_order(
        self, draft: OrderDraft, order: ShopOrder, money: Money, known: Mapping[str, frozenset[str]]
    ) -> Output:
        """Return the rows of an order that was not sent yet."""
        if order.deleted:
            return [Skip(DELETED, LAST_SEQUENCE)]
        if not order.buyer_id:
            return [Skip(NO_BUYER, LAST_SEQUENCE)]
        state = OrderState(total=money.total(order), currency=money.currency)
        due = due_payments(order, draft.transactions, (), state, money)
        if due.payments:
            state = due.payments[-1].state
        nested, output = self._make_items(draft, lambda name, item: self._shop.nested_item(name, item, money))
        row = self._shop.order(draft.key, order, nested, due.payments, state)
        draft.sent_transaction_ids, draft.sent_item_ids = set(draft.transactions), set(draft.items)
        if order.buyer_email and self._is_new(CONTACTS.name, self._shop.key(order.buyer_id), known):
            output.append(self._shop.buyer(order))
        return [*output, *self._make_products(draft, known), row]

    def _changes(
        self,
        draft: OrderDraft,
        order: ShopOrder,
        money: Money,
        state: OrderState,
        known: Mapping[str, frozenset[str]],
    ) -> Output:
        """Return the items and payments that are missing in Wicked Reports, for an order that was sent."""
        if state.currency and money.currency and state.currency != money.currency:
            raise FieldError("OrderCurrency", "the order was sent in another currency")
        shop, key = self._shop, draft.key
        sent_payments, sent_items = known[ORDER_PAYMENTS.name], known[ORDER_ITEMS.name]
        draft.order_sent = True
        draft.sent_transaction_ids |= {n for n in draft.transactions if shop.payment_key(key, n) in sent_payments}
        draft.sent_item_ids |= {name for name in draft.items if shop.item_key(key, name) in sent_items}
        draft.items = {name: item for name, item in draft.items.items() if name not in draft.sent_item_ids}
        items, rejected = self._make_items(draft, lambda name, item: shop.item(key, name, item, money))
        sent_ids = draft.sent_transaction_ids & draft.transactions.keys()
        due = due_payments(order, draft.transactions, sent_ids, state, money)
        draft.sent_transaction_ids |= due.covered_ids
        payments = [shop.payment(key, payment) for payment in due.payments]
        return [*rejected, *self._make_products(draft, known), *items, *payments]

    def _make_items(self, draft: OrderDraft, make: Callable[[str, OrderItem], T]) -> tuple[list[T], Output]:
        """Return what `make` returns for each item, and dead letters for invalid items, which the draft drops."""
        made: list[T] = []
        rejected: Output = []
        for name, item in list(draft.items.items()):
            result = _attempt(make, name, item)
            if isinstance(result, FieldError):
                rejected.append(self._dead_letter(result, ORDER_ITEMS.name, draft, {"SourceID": name, **asdict(item)}))
                del draft.items[name]
            else:
                made.append(result)
        return made, rejected

    def _make_products(self, draft: OrderDraft, known: Mapping[str, frozenset[str]]) -> Output:
        output: Output = []
        for item in draft.items.values():
            if item.product_id and self._is_new(PRODUCTS.name, self._shop.key(item.product_id), known):
                try:
                    output.append(self._shop.sold_product(item))
                except FieldError as error:
                    output.append(self._dead_letter(error, PRODUCTS.name, draft, asdict(item)))
        return output

    def _dead_letter(self, error: FieldError, endpoint: str, draft: OrderDraft, facts: Mapping[str, Any]) -> Reject:
        """Return the dead letter of stored order data, with the ids by which it can be found in the shop."""
        stream = next(stream for stream, name in _ENDPOINTS.items() if name == endpoint)
        row = {"SourceSystem": self.mapping.source_system, "OrderID": order_id(draft.key), **facts}
        return Reject(error.reason, error.field, endpoint, stream, row, LAST_SEQUENCE, from_ledger=True)

    def _is_new(self, endpoint: str, key: str, known: Mapping[str, frozenset[str]]) -> bool:
        return key not in known[endpoint] and self._made_in_run.add(f"{endpoint} {key}")


def _attempt(make: Callable[[str, OrderItem], T], name: str, item: OrderItem) -> T | FieldError:
    try:
        return make(name, item)
    except FieldError as error:
        return error


_ENDPOINTS = {
    "customers": CONTACTS.name,
    "products": PRODUCTS.name,
    "orders": ORDERS.name,
    "order_products": ORDER_ITEMS.name,
    "transactions": ORDER_PAYMENTS.name,
}


def _reject(error: FieldError, record: Record) -> Reject:
    return Reject(error.reason, error.field, _ENDPOINTS[record.stream], record.stream, record.data, record.sequence)
