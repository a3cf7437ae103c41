"""A BigCommerce shop, as Airbyte's source-bigcommerce reads it: customers, products, orders, their lines and payments.

The streams come in any order, and each repeats its last day with every run. Customers and products are rows at once.
What belongs to an order is put together in the ledger, one document an order, and is told when the input has ended:
then its customer and products were read if they ever will be, and an order leaves with its lines and payments in it.
What comes later is told as lines and payments of their own. Where the sources' records end (a customer or a product
that did not change since the start date is never read), the order and its lines say enough to make the row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from destination_wicked_reports.api.endpoints import CONTACTS, ORDER_ITEMS, ORDER_PAYMENTS, ORDERS, PRODUCTS
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.order_documents import OrderDocuments
from destination_wicked_reports.mappings.base import BoundedSet, Normalizer
from destination_wicked_reports.mappings.bigcommerce import records as records_of
from destination_wicked_reports.mappings.bigcommerce.order import OrderDraft
from destination_wicked_reports.mappings.bigcommerce.payments import Money, foreigners, settle
from destination_wicked_reports.mappings.bigcommerce.records import FOREIGN, SubscriptionRule, identifier
from destination_wicked_reports.mappings.bigcommerce.rows import Shop, email, order_id
from destination_wicked_reports.model import LAST_SEQUENCE, OrderState, Record, Reject, Row, Skip

DELETED = "order that was deleted before Wicked was told of it"
NOBODY = "order without a customer and without an e-mail address: Wicked attributes revenue to people"
ORDER_UNREAD = "order of which lines or payments were read, and not itself: they wait in the ledger"
_MIXED = FieldError("Currency", "the transaction is in another currency than its order, and amounts cannot be mixed")
#: Rows of people and products made in the run that are not in the ledger yet, with room to spare.
_MOST_UNDER_WAY = 50_000

Made = list[Row | Reject | Skip]
#: How a record changes its order; returns why it changes nothing, if so.
Change = Callable[[OrderDraft], str | None]
T = TypeVar("T")
NEVER = float("inf")


@dataclass(slots=True, frozen=True, kw_only=True)
class BigcommerceRules:
    """What the user decides about a shop."""

    source_system: str = "BigCommerce"
    order_total: Literal["total_inc_tax", "total_ex_tax"] = "total_inc_tax"
    currency: Literal["order", "store"] = "order"
    bundled_lines: Literal["skip", "keep"] = "skip"
    subscription_rules: Sequence[SubscriptionRule] = ()


class BigcommerceNormalizer(Normalizer):
    """Reads a shop's records. `durable` says whether what waits for the end of the input would outlive a crash."""

    streams = frozenset({"customers", "products", "orders", "order_products", "transactions"})

    def __init__(self, rules: BigcommerceRules, durable: bool = True) -> None:
        self.rules = rules
        self._durable = durable
        self._shop = Shop(rules.source_system)
        self._under_way = BoundedSet(_MOST_UNDER_WAY)
        self._readers: Mapping[str, Callable[[Record], tuple[str, Change] | Row | Skip]] = {
            "customers": lambda record: self._shop.customer(record.data, record.sequence),
            "products": lambda record: self._shop.product(record.data, record.sequence),
            "orders": self._order,
            "order_products": self._line,
            "transactions": self._transaction,
        }

    # -- records ----------------------------------------------------------------------------------------------------

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of customers and products, and file everything else under its order."""
        made: Made = []
        changes: list[tuple[Record, str, Change]] = []
        for record in records:
            read = self._read(record)
            if isinstance(read, tuple):
                changes.append((record, *read))
            else:
                made.append(read)
        return iter([*made, *self._file(changes, orders.documents)])

    def _read(self, record: Record) -> tuple[str, Change] | Row | Reject | Skip:
        """Return the row of a record, or which order it changes and how."""
        try:
            return self._readers[record.stream](record)
        except FieldError as error:
            return _rejected(error, record)

    def _file(self, changes: Sequence[tuple[Record, str, Change]], documents: OrderDocuments) -> Iterator[Skip]:
        pieces: dict[str, OrderDraft] = {}
        documents.load({key for _, key, _ in changes})
        for record, key, change in changes:
            if key not in pieces:
                document = documents.get(key)
                pieces[key] = OrderDraft(key) if document is None else OrderDraft.of(document)
            reason = change(pieces[key])
            if reason is not None:
                yield Skip(reason, record.sequence)
            if not self._durable:
                self.oldest_buffered = min(self.oldest_buffered, record.sequence)
        for piece in pieces.values():
            documents.put(piece.document())
        documents.save()

    def _order(self, record: Record) -> tuple[str, Change] | Skip:
        if records_of.is_incomplete(record.data):
            return Skip(records_of.INCOMPLETE, record.sequence)
        key = self._shop.key(identifier(record.data, "id", "SourceID"))
        facts = records_of.read_order(record.data, self.rules.subscription_rules)
        return key, lambda pieces: pieces.read_order(facts)

    def _line(self, record: Record) -> tuple[str, Change] | Skip:
        if self.rules.bundled_lines == "skip" and records_of.is_bundled(record.data):
            return Skip(records_of.BUNDLED, record.sequence)
        key = self._shop.key(identifier(record.data, "order_id", "OrderID"))
        name, facts = identifier(record.data, "id", "SourceID"), records_of.read_line(record.data)
        return key, lambda pieces: pieces.read_line(name, facts)

    def _transaction(self, record: Record) -> tuple[str, Change] | Skip:
        key = self._shop.key(identifier(record.data, "order_id", "OrderID"))
        name, facts = identifier(record.data, "id", "SourceID"), records_of.read_transaction(record.data)
        if isinstance(facts, str):
            return Skip(facts, record.sequence)
        return key, lambda pieces: pieces.read_transaction(name, facts)

    # -- orders -----------------------------------------------------------------------------------------------------

    def finish(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield what is to be told of every order that has changed, oldest order first.

        An order stays due until a later look finds nothing to tell, so what did not arrive is told by a later run.
        What goes inside an order's own row is written down before that row leaves.
        """
        documents = orders.documents
        for page in documents.pending(self._shop.key("")):
            found = [OrderDraft.of(document) for document in page]
            orders.load([pieces.key for pieces in found])
            known = self._known(found, documents)
            told = [(pieces, self._tell(pieces, orders.get(pieces.key), known)) for pieces in found]
            for pieces, _ in told:
                documents.put(pieces.document())
            documents.save()
            for pieces, made in told:
                yield from self._held_back(made)
                if not any(isinstance(row, Row) for row in made):
                    documents.put(replace(pieces.document(), pending=""))
            documents.save()
        self.oldest_buffered = NEVER

    def _held_back(self, made: Made) -> Made:
        """Let the rows hold the STATEs back that their records would, if nothing else remembers them."""
        for row in made:
            if isinstance(row, Row) and self.oldest_buffered < NEVER:
                row.sequence = int(self.oldest_buffered)
        return made

    def _known(self, found: Sequence[OrderDraft], documents: OrderDocuments) -> Mapping[str, frozenset[str]]:
        """Return what the ledger has of the rows that these orders may need, by endpoint."""
        shop, contacts, products = self._shop, set(), set()
        lines: set[str] = set()
        payments: set[str] = set()
        for pieces in found:
            if pieces.order is not None:
                if not pieces.sent:
                    contacts.add(shop.key(_buyer(pieces.order)))
                products |= {shop.key(line["product"]) for line in pieces.lines.values()}
                lines |= {shop.line_key(pieces.key, name) for name in pieces.lines}
                payments |= {shop.payment_key(pieces.key, name) for name in pieces.events}
        return {
            CONTACTS.name: documents.known(CONTACTS.name, contacts),
            PRODUCTS.name: documents.known(PRODUCTS.name, products),
            ORDER_ITEMS.name: documents.known(ORDER_ITEMS.name, lines),
            ORDER_PAYMENTS.name: documents.known(ORDER_PAYMENTS.name, payments),
        }

    def _tell(self, pieces: OrderDraft, state: OrderState | None, known: Mapping[str, frozenset[str]]) -> Made:
        order = pieces.order
        if order is None:
            return [Skip(ORDER_UNREAD, LAST_SEQUENCE)]
        made: Made = []
        for name in foreigners(order, pieces.events):
            made.append(self._lost(_MIXED, ORDER_PAYMENTS.name, pieces, {"transaction": name, **pieces.events[name]}))
            pieces.events[name] = {**pieces.events[name], "kind": FOREIGN}
        try:
            money = Money(order, self.rules.order_total, self.rules.currency)
            if state is None:
                return [*made, *self._new(pieces, money, known)]
            return [*made, *self._news(pieces, money, state, known)]
        except FieldError as error:
            return [*made, self._lost(error, ORDERS.name, pieces, order)]

    def _new(self, pieces: OrderDraft, money: Money, known: Mapping[str, frozenset[str]]) -> Made:
        """Return the rows of an order that Wicked does not have."""
        order = pieces.order or {}
        if order["deleted"]:
            return [Skip(DELETED, LAST_SEQUENCE)]
        buyer = _buyer(order)
        if not buyer:
            return [Skip(NOBODY, LAST_SEQUENCE)]
        state = OrderState(total=money.total(order), currency=money.currency)
        settlement = settle(order, pieces.events, (), state, money)
        if settlement.payments:
            state = settlement.payments[-1].state
        nested, made = self._lines(pieces, lambda name, line: self._shop.nested_line(name, line, money))
        row = self._shop.order(pieces.key, order, nested, settlement.payments, state)
        pieces.told = {f"t{name}" for name in pieces.events} | {f"l{name}" for name in pieces.lines}
        if email(order) and self._is_new(CONTACTS.name, self._shop.key(buyer), known):
            made.append(self._shop.buyer(order, buyer))
        return [*made, *self._products(pieces, known), row]

    def _news(self, pieces: OrderDraft, money: Money, state: OrderState, known: Mapping[str, frozenset[str]]) -> Made:
        """Return the lines and payments that Wicked does not have, of an order that it has."""
        if state.currency and money.currency and state.currency != money.currency:
            raise FieldError("OrderCurrency", "the order was sent in another currency, and amounts cannot be mixed")
        shop, order = self._shop, pieces.order or {}
        pieces.sent = True
        pieces.told |= _found("t", pieces.events, known[ORDER_PAYMENTS.name], lambda n: shop.payment_key(pieces.key, n))
        pieces.told |= _found("l", pieces.lines, known[ORDER_ITEMS.name], lambda n: shop.line_key(pieces.key, n))
        pieces.lines = {name: line for name, line in pieces.lines.items() if f"l{name}" not in pieces.told}
        lines, bad = self._lines(pieces, lambda name, line: shop.line(pieces.key, name, line, money))
        told = {name for name in pieces.events if f"t{name}" in pieces.told}
        settlement = settle(order, pieces.events, told, state, money)
        pieces.told |= {f"t{name}" for name in settlement.absorbed}
        payments = [shop.payment(pieces.key, payment) for payment in settlement.payments]
        return [*bad, *self._products(pieces, known), *lines, *payments]

    def _lines(self, pieces: OrderDraft, make: Callable[[str, Mapping[str, Any]], T]) -> tuple[list[T], Made]:
        """Return the order's lines as `make` makes them, and the bad ones, which it leaves behind."""
        good: list[T] = []
        bad: Made = []
        for name, line in list(pieces.lines.items()):
            made = _attempt(make, name, line)
            if isinstance(made, FieldError):
                bad.append(self._lost(made, ORDER_ITEMS.name, pieces, {"SourceID": name, **line}))
                del pieces.lines[name]
            else:
                good.append(made)
        return good, bad

    def _products(self, pieces: OrderDraft, known: Mapping[str, frozenset[str]]) -> Made:
        made: Made = []
        for line in pieces.lines.values():
            if line["product"] and self._is_new(PRODUCTS.name, self._shop.key(line["product"]), known):
                try:
                    made.append(self._shop.sold_product(line))
                except FieldError as error:
                    made.append(self._lost(error, PRODUCTS.name, pieces, line))
        return made

    def _lost(self, error: FieldError, endpoint: str, pieces: OrderDraft, facts: Mapping[str, Any]) -> Reject:
        """Return the dead letter of what is kept of an order, named so that it can be found in the shop."""
        stream = next(stream for stream, name in _ENDPOINTS.items() if name == endpoint)
        row = {"SourceSystem": self.rules.source_system, "OrderID": order_id(pieces.key), **facts}
        return Reject(error.reason, error.field, endpoint, stream, row, LAST_SEQUENCE, from_ledger=True)

    def _is_new(self, endpoint: str, key: str, known: Mapping[str, frozenset[str]]) -> bool:
        return key not in known[endpoint] and self._under_way.add(f"{endpoint} {key}")


def _buyer(order: Mapping[str, Any]) -> str:
    """Return the SourceID of an order's contact: the customer's id, a guest's e-mail address, or "" for nobody."""
    return order["customer"] or email(order)


def _found(mark: str, names: Collection[str], known: frozenset[str], key: Callable[[str], str]) -> set[str]:
    return {f"{mark}{name}" for name in names if key(name) in known}


def _attempt(make: Callable[[str, Mapping[str, Any]], T], name: str, line: Mapping[str, Any]) -> T | FieldError:
    try:
        return make(name, line)
    except FieldError as error:
        return error


_ENDPOINTS = {
    "customers": CONTACTS.name,
    "products": PRODUCTS.name,
    "orders": ORDERS.name,
    "order_products": ORDER_ITEMS.name,
    "transactions": ORDER_PAYMENTS.name,
}


def _rejected(error: FieldError, record: Record) -> Reject:
    return Reject(error.reason, error.field, _ENDPOINTS[record.stream], record.stream, record.data, record.sequence)
