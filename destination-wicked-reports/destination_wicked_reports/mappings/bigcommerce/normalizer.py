"""Maps the streams of Airbyte's source-bigcommerce: customers, products, orders, their items and transactions.

The streams arrive in any order, and each run repeats their last day. Customers and products become rows at once. All
records of an order are collected in the ledger, in one document per order, and sent at the end of the input, so an
order leaves with its items, its payment and its refunds nested in it. Items that arrive later are sent as rows of their
own, changes of its value as refunds and further orders (`mappings/revenue.py`). A customer or product that did not
change since the start date is never read; its row is then made from the order and its items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, TypeVar

from destination_wicked_reports.api.endpoints import CONTACTS, ORDER_ITEMS, ORDER_PAYMENTS, ORDERS, PRODUCTS
from destination_wicked_reports.config.mappings import BigcommerceMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.order_documents import OrderDocuments
from destination_wicked_reports.mappings.base import BoundedSet, Normalizer
from destination_wicked_reports.mappings.bigcommerce import records as records_of
from destination_wicked_reports.mappings.bigcommerce.balance import Balance, Money, in_other_currency, read_balance
from destination_wicked_reports.mappings.bigcommerce.order import OrderDraft
from destination_wicked_reports.mappings.bigcommerce.records import OrderItem, ShopOrder, identifier
from destination_wicked_reports.mappings.bigcommerce.rows import Shop, order_id
from destination_wicked_reports.mappings.field_rules import FieldRule
from destination_wicked_reports.mappings.revenue import Step, cents, plan
from destination_wicked_reports.model import LAST_SEQUENCE, ZERO, OrderFacts, Record, Reject, Row, SaleState, Skip

WORTHLESS = "order worth less than one cent"
DELETED = "order deleted before it was sent"
NO_BUYER = "order without a customer and an email address; Wicked Reports attributes revenue to contacts"
TEST_ORDER = "order paid in the gateway's test mode"
NEVER_PAID = "order cancelled, declined, void or expired without payment"
DEPOSIT_KEPT = "order that ended paid only in part"
UNPAID = "order not paid yet, waiting in the ledger"
DEPOSIT = "order paid only in part so far, waiting in the ledger"
RISE_WAITS = "order whose raised total is not paid in full yet"
WAITED_TOO_LONG = "order unpaid for more than 90 days; its personal data was deleted from the ledger"
ERASED = "order whose personal data was deleted before it was paid; it is sent once the order itself is read again"
ORDER_UNREAD = "order not read yet; its items or transactions wait in the ledger"
_EXCESS = FieldError("Amount", "refunds beyond what was paid for the order; the excess was not sent")
_FOREIGN_CURRENCY = FieldError("Currency", "the transaction's currency differs from the order's")
#: More contact and product rows than a run can have made without the ledger listing them yet.
_MAX_UNSETTLED = 50_000

#: How many waiting deposits the end of a run names.
_NAMED_DEPOSITS = 10
#: After so many days, an order that still waits for its payment loses its personal data.
WAIT_DAYS = 90

Output = list[Row | Reject | Skip]
#: Adds a record to its order; returns the reason if the record is skipped.
Change = Callable[[OrderDraft], str | None]
T = TypeVar("T")
NEVER = float("inf")


def utc_today() -> date:
    """Return today's date in UTC."""
    return datetime.now(timezone.utc).date()


@dataclass(slots=True)
class Result:
    """What the end of the input makes of one order.

    `due` if later runs visit the order again although nothing was sent, `erases` if its personal data is deleted.
    `dropped_items` and `reported` are what the dead letters in `output` are about.
    """

    output: Output = field(default_factory=list)
    due: bool = False
    erases: bool = False
    dropped_items: set[str] = field(default_factory=set)
    reported: set[str] = field(default_factory=set)

    def skip(self, reason: str) -> None:
        """Count the order by this reason."""
        self.output.append(Skip(reason, LAST_SEQUENCE))

    def report(self, draft: OrderDraft, name: str, letter: Reject) -> None:
        """Add a dead letter unless one of this name was written before."""
        if name not in draft.reported:
            self.output.append(letter)
            self.reported.add(name)

    def settle(self, draft: OrderDraft) -> None:
        """Change the draft accordingly, once `output` was taken."""
        draft.items = {name: item for name, item in draft.items.items() if name not in self.dropped_items}
        draft.reported |= self.reported
        draft.erased = draft.erased or self.erases
        if not self.due and not any(isinstance(row, Row) for row in self.output):
            draft.due = ""


class BigcommerceNormalizer(Normalizer):
    """Reads a shop's records. `durable` if the ledger outlives the run, and with it the orders collected there.

    `today` determines how long an unpaid order has waited.
    """

    streams = frozenset({"customers", "products", "orders", "order_products", "transactions"})

    def __init__(
        self, mapping: BigcommerceMapping, durable: bool = True, today: Callable[[], date] = utc_today
    ) -> None:
        self.mapping = mapping
        self._durable = durable
        self._today = today
        self._deposits: list[str] = []
        self._deposit_count = 0
        self._shop = Shop(mapping.source_system)
        self._subscription_rules = [
            FieldRule(rule.field, rule.pattern, f"subscription_rules[{number}]")
            for number, rule in enumerate(mapping.subscription_rules)
        ]
        self._stored_orders: list[OrderFacts] = []
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
            if not draft.empty:
                documents.put(draft.document())
        documents.save()

    def _read_order(self, record: Record) -> tuple[str, Change] | Skip:
        if records_of.is_incomplete(record.data):
            return Skip(records_of.INCOMPLETE, record.sequence)
        key = self._shop.order_key(record.data, "id", "SourceID")
        order = records_of.read_order(record.data, self._subscription_rules)
        self._note_order(key, order, record.sequence)
        return key, lambda draft: draft.add_order(order)

    def _note_order(self, key: str, order: ShopOrder, sequence: int) -> None:
        try:
            total = Money(order, self.mapping.order_total, self.mapping.currency).total
        except FieldError:
            return
        facts = OrderFacts(self.mapping.source_system, order_id(key), order.created, total, sequence)
        self._stored_orders.append(facts)

    def take_stored_orders(self) -> list[OrderFacts]:
        """Return the orders read since the last call; they become rows at the end of the input."""
        taken, self._stored_orders = self._stored_orders, []
        return taken

    def _read_item(self, record: Record) -> tuple[str, Change] | Skip:
        if self.mapping.bundled_lines == "skip" and records_of.is_bundled(record.data):
            return Skip(records_of.BUNDLED, record.sequence)
        key = self._shop.order_key(record.data, "order_id", "OrderID")
        name, item = identifier(record.data, "id", "SourceID"), records_of.read_item(record.data)
        return key, lambda draft: draft.add_item(name, item)

    def _read_transaction(self, record: Record) -> tuple[str, Change]:
        key = self._shop.order_key(record.data, "order_id", "OrderID")
        name, transaction = identifier(record.data, "id", "SourceID"), records_of.read_transaction(record.data)
        if isinstance(transaction, str):
            reason = transaction
            return key, lambda draft: draft.drop_transaction(name, reason)
        return key, lambda draft: draft.add_transaction(name, transaction)

    # -- orders -----------------------------------------------------------------------------------------------------

    def finish(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of every order that changed, oldest order first.

        An order stays due until a later run finds nothing to send for it, so rows that did not arrive are sent again.
        So does an order that waits for its payment or cannot be made into rows. The ids nested in an order's row are
        saved before that row is yielded; what is dropped from the ledger only afterwards, when the writer has synced
        the dead letters.
        """
        documents = orders.documents
        for page in documents.pending(self._shop.key("")):
            drafts = [OrderDraft.of(document) for document in page]
            orders.load([draft.key for draft in drafts])
            known = self._known(drafts, documents)
            results = [(draft, self._finish_order(draft, orders.get(draft.key), known)) for draft in drafts]
            for draft, _ in results:
                documents.put(draft.document())
            documents.save()
            for draft, result in results:
                yield from self._with_sequence(result.output)
                result.settle(draft)
                documents.put(draft.document())
            documents.save()
        self.oldest_buffered = NEVER

    def notes(self) -> Iterator[str]:
        """Yield the orders that wait for the rest of their payment."""
        if self._deposits:
            count, named = self._deposit_count, ", ".join(self._deposits)
            more = f" and {count - len(self._deposits):,} more" if count > len(self._deposits) else ""
            orders = "1 order waits" if count == 1 else f"{count:,} orders wait"
            yield f"{orders} for the rest of the payment and will be sent once paid in full: {named}{more}"

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
        for draft in drafts:
            if draft.order is not None:
                if not draft.sent:
                    contacts.add(shop.key(draft.order.buyer_id))
                products |= {shop.key(item.product_id) for item in draft.items.values()}
                items |= {shop.item_key(draft.key, name) for name in draft.items}
        return {
            CONTACTS.name: documents.known(CONTACTS.name, contacts),
            PRODUCTS.name: documents.known(PRODUCTS.name, products),
            ORDER_ITEMS.name: documents.known(ORDER_ITEMS.name, items),
        }

    def _finish_order(self, draft: OrderDraft, sale: SaleState | None, known: Mapping[str, frozenset[str]]) -> Result:
        order, result = draft.order, Result()
        if order is None:
            result.skip(ORDER_UNREAD)
            return result
        self._report_currencies(draft, order, result)
        balance = read_balance(order, draft.transactions)
        try:
            if sale is not None:
                self._change(draft, order, balance, sale, known, result)
            elif reason := self._ended(draft, order, balance):
                result.skip(reason)
                result.erases = True
            elif not balance.paid:
                self._wait(draft, order, balance, result)
            else:
                self._begin(draft, order, balance, known, result)
        except FieldError as error:
            result.output = [one for one in result.output if isinstance(one, Reject)]
            result.output.append(self._dead_letter(error, ORDERS.name, draft, asdict(order)))
            result.due = True
        return result

    def _ended(self, draft: OrderDraft, order: ShopOrder, balance: Balance) -> str | None:
        """Return why an order that was not sent never will be, as far as is known, or None."""
        if order.deleted:
            return DELETED
        if balance.is_test:
            return TEST_ORDER
        if balance.ended:
            return NEVER_PAID if balance.received <= 0 else DEPOSIT_KEPT
        if draft.erased:
            return ERASED
        if not order.buyer_id:
            return NO_BUYER
        return WORTHLESS if balance.total <= 0 else None

    def _wait(self, draft: OrderDraft, order: ShopOrder, balance: Balance, result: Result) -> None:
        """Let an unpaid order wait in the ledger. Its personal data is deleted after WAIT_DAYS."""
        draft.waiting_since = draft.waiting_since or self._today().isoformat()
        if (self._today() - date.fromisoformat(draft.waiting_since)).days > WAIT_DAYS:
            result.skip(WAITED_TOO_LONG)
            result.erases = True
            return
        result.due = True
        result.skip(UNPAID if balance.received <= 0 else DEPOSIT)
        if balance.received > 0:
            self._deposit_count += 1
            if len(self._deposits) < _NAMED_DEPOSITS:
                amounts = f"{cents(balance.received)} of {cents(balance.total)} {order.currency}".rstrip()
                self._deposits.append(f"order {order_id(draft.key)} ({amounts})")

    def _begin(
        self,
        draft: OrderDraft,
        order: ShopOrder,
        balance: Balance,
        known: Mapping[str, frozenset[str]],
        result: Result,
    ) -> None:
        """Add the rows of an order that was not sent yet and is paid: its total, and its refunds so far."""
        money = Money(order, self.mapping.order_total, self.mapping.currency)
        if money.total <= 0:
            result.skip(WORTHLESS)
            result.erases = True
            return
        begun = SaleState(
            currency=money.currency,
            ordered_at=order.created,
            contact_id=order.customer_id,
            contact_email=order.buyer_email,
        )
        (step,) = plan(begun, money.total, money.currency, balance.paid_at, balance.paid_at)
        refunds = self._steps(step.sale, balance.counted_value(money), balance, money)
        items = self._make_items(draft, lambda name, item: self._shop.nested_item(name, item, money), result)
        row = self._shop.first_order(draft.key, order, items, [step, *refunds])
        if order.buyer_email and self._is_new(CONTACTS.name, self._shop.key(order.buyer_id), known):
            result.output.append(self._shop.buyer(order))
        self._make_products(draft, known, result)
        result.output.append(row)
        draft.sent_item_ids = draft.items.keys() - result.dropped_items
        self._report_excess(draft, balance, money, result)

    def _change(
        self,
        draft: OrderDraft,
        order: ShopOrder,
        balance: Balance,
        sale: SaleState,
        known: Mapping[str, frozenset[str]],
        result: Result,
    ) -> None:
        """Add the items and the money that are missing in Wicked Reports, for an order that was sent."""
        money = Money(order, self.mapping.order_total, self.mapping.currency)
        shop, key = self._shop, draft.key
        sent_items = known[ORDER_ITEMS.name]
        draft.sent = True
        draft.sent_item_ids |= {name for name in draft.items if shop.item_key(key, name) in sent_items}
        draft.items = {name: item for name, item in draft.items.items() if name not in draft.sent_item_ids}
        items = self._make_items(draft, lambda name, item: shop.item(key, sale, name, item, money), result)
        value = balance.counted_value(money)
        if not balance.paid:
            sent = sale.net if sale.currency == money.currency else ZERO
            if value > sent:
                value, result.due = sent, True
                result.skip(RISE_WAITS)
        sale = sale._replace(contact_email=sale.contact_email or order.buyer_email)
        rows = list(shop.changes(key, self._steps(sale, value, balance, money)))
        self._make_products(draft, known, result)
        result.output += [*items, *rows]
        self._report_excess(draft, balance, money, result)

    def _steps(self, sale: SaleState, value: Decimal, balance: Balance, money: Money) -> Iterator[Step]:
        """Yield what brings a sale to this value, dated by what changed."""
        changed_at = balance.changed_at
        if sale.currency == money.currency and value < sale.net:
            latest = max(order.paid_at for order in sale.open_orders)
            changed_at = balance.fell_at(sale.net - value, latest, money)
        return plan(sale, value, money.currency, changed_at, changed_at)

    def _make_items(self, draft: OrderDraft, make: Callable[[str, OrderItem], T], result: Result) -> list[T]:
        """Return what `make` returns for each item; invalid items become dead letters, and are dropped."""
        made: list[T] = []
        for name, item in draft.items.items():
            attempted = _attempt(make, name, item)
            if isinstance(attempted, FieldError):
                facts = {"SourceID": name, **asdict(item)}
                result.output.append(self._dead_letter(attempted, ORDER_ITEMS.name, draft, facts))
                result.dropped_items.add(name)
            else:
                made.append(attempted)
        return made

    def _make_products(self, draft: OrderDraft, known: Mapping[str, frozenset[str]], result: Result) -> None:
        for name, item in draft.items.items():
            if (
                name not in result.dropped_items
                and item.product_id
                and self._is_new(PRODUCTS.name, self._shop.key(item.product_id), known)
            ):
                try:
                    result.output.append(self._shop.sold_product(item))
                except FieldError as error:
                    result.output.append(self._dead_letter(error, PRODUCTS.name, draft, asdict(item)))

    def _report_currencies(self, draft: OrderDraft, order: ShopOrder, result: Result) -> None:
        """Add a dead letter, once, for each transaction in another currency than the order."""
        for name, transaction in draft.transactions.items():
            if transaction.kind != "test" and in_other_currency(order, transaction):
                facts = {"transaction": name, **asdict(transaction)}
                letter = self._dead_letter(_FOREIGN_CURRENCY, ORDER_PAYMENTS.name, draft, facts)
                result.report(draft, f"currency {name}", letter)

    def _report_excess(self, draft: OrderDraft, balance: Balance, money: Money, result: Result) -> None:
        """Add a dead letter, once per amount, for refunds beyond what was paid."""
        excess = money.counted(balance.excess)
        if excess > 0:
            facts = {"Amount": str(excess), "Currency": money.currency}
            letter = self._dead_letter(_EXCESS, ORDER_PAYMENTS.name, draft, facts)
            result.report(draft, f"excess {excess}", letter)

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
