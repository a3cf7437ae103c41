"""Turns the sales of affiliate networks into orders, refunds, contacts, products and clicks.

`mappings/revenue.py` decides which orders and refunds a sale needs; this module decides what a sale is worth to the
user now (recognition, reinstatement, small changes) and who bought. The value is compared with what the ledger says
was sent, never with an earlier record, so reading a record again sends nothing.

A record is skipped if its own update time is older than that of the last record sent for the sale. Files that were
written twice and orchestrators that buffer deliver such records.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal

from destination_wicked_reports.api.endpoints import CLICKS, CONTACTS, ORDERS, PRODUCTS
from destination_wicked_reports.api.fields import MISSING, NUMBER_LIMIT, decimal, identity, utc
from destination_wicked_reports.api.rows import RowMaker
from destination_wicked_reports.api.samples import MOST_SAMPLES, name_of_record
from destination_wicked_reports.config.mappings import AffiliateMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.mappings.affiliate.contact_lookup import (
    FIRST_WAITING,
    LAST_WAITING,
    ContactLookup,
    address_hash,
)
from destination_wicked_reports.mappings.affiliate.contacts import Contact, ContactFinder, synthetic_contact
from destination_wicked_reports.mappings.base import BoundedSet, Normalizer
from destination_wicked_reports.mappings.revenue import Step, plan
from destination_wicked_reports.mappings.sale_rows import SaleRowMaker
from destination_wicked_reports.model import (
    LAST_SEQUENCE,
    ZERO,
    Record,
    Reject,
    Row,
    SaleState,
    SaleTotal,
    Skip,
    Unattributed,
    Unchanged,
    Waiting,
)

NO_CONTACT = "no contact rule matched"
NOT_APPROVED = "pending, waiting for the network's approval"
NEVER_EARNED = "declined before it was sent"
WORTHLESS = "worth less than one cent so far"
SMALL_CHANGE = "change smaller than smallest_change, waiting until differences add up"
REINSTATED = "reinstated after a decline or refund"
EXCLUDED_NETWORK = "network excluded by configuration"
NO_ADDRESS = "order waiting in the ledger for the email address of its contact"
ONLY_IDS = (
    "Warning: the contact rules find ids, but no email addresses, and there is no contact_lookup. Wicked Reports joins "
    "clicks, contacts and orders by email address, so these orders are likely to stay without a person. Set "
    "contact_lookup to `wicked` or `file`, or add a rule with a group `email`."
)
NO_RULES = (
    "Warning: there are no contact_rules, and without_contact is `skip`, so every new sale is skipped. Set "
    "contact_rules to what your clicks carry, or without_contact to `synthetic`."
)
OUTDATED = "older than the version already sent"
ALREADY_SENT = "already sent"

#: [guess] The only documented value for clicks; none is documented for the click of a sale
#: (docs/vendors/wicked-reports.md 2.8).
CONVERSION_TYPE = "NEW_LEAD"

Status = Literal["pending", "approved", "declined"]
Output = list[Row | Reject | Skip]
#: A click's time, None if unknown, and its UTMs by their Wicked Reports field names.
ClickDetails = tuple[Any, Mapping[str, Any]]


@dataclass(slots=True)
class Sale:
    """One affiliate sale in its present state. Values of type Any are not validated yet.

    `ordered_at`, `approved_at` and `updated_at` are the times of the sale, of its approval and of its last change.
    `click_id` identifies the click, or the sale itself if the source names no click.
    """

    record: Record
    source_id: str
    status: Status
    amount: Decimal
    currency: str
    ordered_at: Any
    approved_at: Any
    updated_at: Any
    product_id: Any
    product_name: str
    click_id: str
    read_aliases: Callable[[], tuple[str, ...]] = tuple

    @property
    def aliases(self) -> tuple[str, ...]:
        """Texts that relate the sale to rows that take money back from it. Most records need none."""
        return self.read_aliases()


class AffiliateNormalizer(Normalizer):
    """Turns sales into products, contacts, orders, refunds and clicks. A subclass reads the sales from records.

    `lookup` finds the address of a contact id. `durable` says that the ledger outlives the run, so that an order whose
    contact is not found can wait in it.
    """

    #: the domain of synthetic contacts: <click id>@<source>.invalid
    source: ClassVar[str]
    finds_buyers = True

    def __init__(self, mapping: AffiliateMapping, lookup: ContactLookup | None = None, *, durable: bool = True) -> None:
        self.mapping = mapping
        self._lookup = lookup
        self._durable = durable
        #: the number of sales sent as further orders after a decline or refund
        self.reinstated = 0
        self._smallest_change = Decimal(mapping.smallest_change)
        self._contact_finder = ContactFinder(mapping.contact_rules)
        self._sale_rows = SaleRowMaker(mapping.source_system)
        self._products = RowMaker(PRODUCTS)
        self._contacts = RowMaker(CONTACTS)
        self._clicks = RowMaker(CLICKS)
        self._already_made = BoundedSet()
        self._searched_samples = 0

    @abstractmethod
    def click_details(self, sale: Sale) -> ClickDetails:
        """Return what the source says about the sale's click."""

    def check(self) -> Iterator[str]:
        """Check the lookup; warn of sales that are all skipped, and of orders that will have an id alone."""
        if not self.mapping.contact_rules and self.mapping.without_contact == "skip":
            yield NO_RULES
        if self._lookup is not None:
            self._lookup.check()
        elif self._contact_finder.finds_only_ids:
            yield ONLY_IDS

    def notes(self) -> Iterator[str]:
        """Yield the number of reinstated sales, and the notes of the lookup."""
        if self.reinstated:
            yield f"{self.reinstated:,} sales were reinstated after a decline or refund and sent as further orders"
        if self._lookup is not None:
            yield from self._lookup.notes()

    def finish(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield what `_finish_sales` yields, and let the lookup prepare for it and clean up."""
        if self._lookup is not None:
            prefix = self._sale_rows.key("")
            self._lookup.expect(orders.sale_totals.count_pending(prefix, FIRST_WAITING, LAST_WAITING))
        yield from self._finish_sales(orders)
        if self._lookup is not None:
            self._lookup.end_run(orders)

    def as_stored(self, sale: SaleState) -> SaleState:
        """Return a sale without an address that may have been looked up, unless the ledger may store it."""
        return self._lookup.without_address(sale) if self._lookup is not None and sale.contact_id else sale

    @abstractmethod
    def _finish_sales(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of what the ledger stores of sales that wait, and dead letters of returns without a sale."""

    # -- what a sale is worth ---------------------------------------------------------------------------------------

    def _recognized(self, sale: Sale, sent: Decimal | None, *, same_currency: bool = True) -> Decimal | str:
        """Return what the user's revenue from a sale is now, or the reason why it is not sent yet.

        `sent` is what was recognized when the sale was last sent, None if it never was. A commission that was sent
        stays sent if it turns pending again: a fall is sent at once, a rise waits for the approval.
        """
        if sale.status == "declined":
            return NEVER_EARNED if sent is None else ZERO
        waits = sale.status == "pending" and self.mapping.recognize == "approved"
        if waits and (sent is None or sale.amount > sent or not same_currency):
            return NOT_APPROVED
        return sale.amount

    def _rows(self, sale: Sale, key: str, state: SaleState | None) -> Output:
        """Return the rows of a sale whose record has its whole value."""
        if state is None:
            value = self._recognized(sale, None)
            return self._first_order(sale, key, value)
        same_currency = state.currency == sale.currency
        value = self._recognized(sale, state.net, same_currency=same_currency)
        return [*self._changes(sale, key, state, value), *self._repeat_click(sale, key)]

    def _first_order(self, sale: Sale, key: str, value: Decimal | str) -> Output:
        """Return the first order of a sale with its product, contact and click, or the reason why there is none."""
        record = sale.record
        if isinstance(value, str):
            return [Skip(value, record.sequence)]
        if value <= 0:
            return [Skip(WORTHLESS, record.sequence)]
        contact = self._contact(sale)
        if contact is None:
            return [self._without_contact(record)]
        if self._lookup is not None and not contact.email:
            known = self._lookup.known(contact.contact_id)
            contact.email = self._lookup.ask(contact.contact_id) if known is None else known
            contact.looked_up = bool(contact.email)
        begun = SaleState(
            currency=sale.currency,
            ordered_at=read_time("CreateDate", sale.ordered_at),
            product_id=self._sale_rows.product_id(sale.product_id),
            contact_id=contact.contact_id,
            contact_email=contact.email,
            aliases=sale.aliases,
            source_updated_at=sort_time(sale.updated_at),
        )
        paid_at = read_time("PaymentDate", sale.ordered_at if sale.status == "pending" else sale.approved_at)
        steps = plan(begun, value, sale.currency, paid_at, paid_at)
        order = self._sale_rows_of(key, steps, record, looked_up=contact.looked_up)
        if not contact.synthetic:
            return [*self._product(sale), *order]
        click = self.click_details(sale)
        return [
            *self._product(sale),
            *self._synthetic_contact(sale, contact, click),
            *order,
            *self._click(sale, key, contact, click),
        ]

    def _changes(
        self, sale: Sale, key: str, state: SaleState, value: Decimal | str, *, own_record: bool = True
    ) -> Output:
        """Return the rows that bring a sale that was sent to this value; a negative value counts as zero.

        `own_record` is False if `sale` is a return, whose update time says nothing about the sale's own record.
        """
        record = sale.record
        if isinstance(value, str):
            return [Skip(value, record.sequence)]
        target, net = max(value, ZERO), state.net
        same_currency = state.currency == sale.currency or not net
        if target == net and same_currency:
            return [Unchanged(ALREADY_SENT, record.sequence, ORDERS.name)]
        if net and target and same_currency and abs(target - net) < self._smallest_change:
            return [Skip(SMALL_CHANGE, record.sequence)]
        if not net and self.mapping.on_reinstatement == "skip":
            return [Skip(REINSTATED, record.sequence)]
        if own_record:
            updated_at = sort_time(sale.updated_at) or state.source_updated_at
            state = state._replace(source_updated_at=updated_at, aliases=sale.aliases)
        looked_up = False
        if not state.contact_email and (target > net or not same_currency):
            state, looked_up = self._with_address(sale, state)
        changed_at = read_time("PaymentDate", sale.updated_at)
        if not net:
            self.reinstated += 1
        steps = plan(state, target, sale.currency, changed_at, changed_at)
        return list(self._sale_rows_of(key, steps, record, looked_up=looked_up))

    def _sale_rows_of(self, key: str, steps: Iterable[Step], record: Record, *, looked_up: bool) -> Iterator[Row]:
        """Yield the row of each step. The ledger stores an address that was looked up only if it may."""
        for row in self._sale_rows.rows(key, steps, record.stream, record.sequence):
            assert row.sale is not None
            if looked_up:
                row.sale = self.as_stored(row.sale)
            yield row

    def _repeat_click(self, sale: Sale, key: str) -> Iterator[Row | Reject]:
        """Yield the click of a synthetic contact again, under the same key; the ledger drops it if it was sent.

        A run may have ended between the first order and its click.
        """
        with contextlib.suppress(FieldError):  # a text that cannot be searched must not stop the change
            if self.mapping.without_contact == "synthetic":
                contact = self._contact(sale)
                if contact is not None and contact.synthetic:
                    yield from self._click(sale, key, contact, self.click_details(sale))

    # -- who bought -------------------------------------------------------------------------------------------------

    def _contact(self, sale: Sale) -> Contact | None:
        contact = self._contact_finder.find(sale.record.data)
        if contact is None and self.mapping.without_contact == "synthetic":
            return synthetic_contact(sale.click_id, self.source)
        return contact

    def _prepare_lookup(self, sales: Iterable[tuple[Mapping[str, Any], SaleState | None]], orders: OrderBook) -> None:
        """Fetch what the lookup knows about the contacts of these sales, given as records and states."""
        if self._lookup is None:
            return
        ids = set()
        for data, state in sales:
            if state is not None:
                ids.add("" if state.contact_email else state.contact_id)
                continue
            with contextlib.suppress(FieldError):  # the sale is rejected later
                contact = self._contact_finder.find(data)
                if contact is not None and not contact.email:
                    ids.add(contact.contact_id)
        self._lookup.prepare(ids - {""}, orders)

    def _must_wait(self, sale: Sale) -> bool:
        """Return whether a first order has to wait in the ledger for its contact's address.

        `finish` looks the contact up, once everything else was sent. Without a durable ledger nothing can wait.
        """
        if self._lookup is None or not self._durable or sale.amount <= 0:
            return False
        contact = self._contact(sale)
        return contact is not None and not contact.email and not self._lookup.known(contact.contact_id)

    def _with_address(self, sale: Sale, state: SaleState) -> tuple[SaleState, bool]:
        """Add an address of the first order's contact that is found only now; tell whether it was looked up.

        The contact of the first order stays, whatever the rules find now.
        """
        with contextlib.suppress(FieldError):  # a text that cannot be searched must not stop the change
            contact = self._contact_finder.find(sale.record.data)
            if contact is not None and contact.email and contact.contact_id in ("", state.contact_id):
                return state._replace(contact_email=contact.email), False
        if self._lookup is not None and state.contact_id:
            found = state._replace(contact_email=self._lookup.ask(state.contact_id))
            if found.contact_email and state.contact_hash in ("", address_hash(found)):
                return found, True
        return state, False

    def _finish_waiting(
        self, waiting: Sequence[SaleTotal], orders: OrderBook, read: Callable[[SaleTotal], Sale | Skip | Reject]
    ) -> Iterator[Row | Reject | Skip]:
        """Look up the contacts of sales that wait for an address; yield the orders of those that wait no longer.

        `read` returns the sale that the ledger stores. A sale stays marked until a later run finds its order, so an
        order that did not arrive is sent again.
        """
        totals = orders.sale_totals
        orders.load([total.key for total in waiting])
        sales = []
        for total in waiting:
            if orders.get(total.key) is None:
                sales.append((total, read(total)))
            else:
                self._forget_waiting(total, totals)
        found = [(sale.record.data, None) for _, sale in sales if isinstance(sale, Sale)]
        self._prepare_lookup(found, orders)
        for total, sale in sales:
            made = self._order_or_wait(sale, total, totals) if isinstance(sale, Sale) else [sale]
            if not any(isinstance(one, Waiting) or (isinstance(one, Row) and one.sale) for one in made):
                self._forget_waiting(total, totals)
            yield from made

    def _order_or_wait(self, sale: Sale, total: SaleTotal, totals: SaleTotals) -> Output:
        """Return the order of a sale that waits, unless it has to wait longer."""
        try:
            if self._lookup is not None and self._durable:
                contact = self._contact(sale)
                found = contact is None or contact.email or self._lookup.ask(contact.contact_id)
                if not found and not self._lookup.waited_enough(total.pending):
                    totals.update(total.key, pending=self._lookup.waiting(total.pending))
                    return [Waiting(NO_ADDRESS, LAST_SEQUENCE)]
            return self._first_order(sale, total.key, sale.amount)
        except FieldError as error:
            return [reject(error, ORDERS.name, sale.record)]

    def _forget_waiting(self, total: SaleTotal, totals: SaleTotals) -> None:
        """Mark a sale as not waiting any more."""
        totals.update(total.key, pending="")

    def _without_contact(self, record: Record) -> Skip:
        """Return the skip of a sale whose buyer no rule finds; the first ones say what was searched."""
        sample = name_of_record(record.data, record.sequence)
        if self._searched_samples < MOST_SAMPLES:
            self._searched_samples += 1
            sample += f": {self._contact_finder.searched(record.data)}"
        return Unattributed(NO_CONTACT, record.sequence, sample=sample)

    def _product(self, sale: Sale) -> Iterator[Row | Reject]:
        """Yield the advertiser as a product, so that reports can group by merchant.

        See docs/guides/affiliate-revenue.md What an order holds. An invalid product does not stop the order.
        """
        if sale.product_id in EMPTY_IDS or not self._already_made.add(f"{PRODUCTS.name} {sale.product_id}"):
            return
        product = {
            "SourceSystem": self.mapping.source_system,
            "SourceID": sale.product_id,
            "ProductName": sale.product_name.strip() or f"Advertiser {sale.product_id}",
            "ProductPrice": 0,
        }
        try:
            yield self._products.make(product, sale.record.stream, sale.record.sequence)
        except FieldError as error:
            yield reject(error, PRODUCTS.name, sale.record)

    def _synthetic_contact(self, sale: Sale, contact: Contact, click: ClickDetails) -> Iterator[Row]:
        clicked_at, _ = click
        # Only the time needs a check: `synthetic_contact` made the address.
        fields = {
            "SourceSystem": self.mapping.source_system,
            "SourceID": contact.email,
            "CreateDate": read_time("CreateDate", clicked_at or sale.ordered_at),
            "Email": contact.email,
        }
        row = self._contacts.encode(fields, sale.record.stream, sale.record.sequence)
        if self._already_made.add(f"{CONTACTS.name} {row.key}"):
            yield row

    def _click(self, sale: Sale, key: str, contact: Contact, click: ClickDetails) -> Iterator[Row | Reject]:
        """Yield the click of a synthetic contact, so that Wicked Reports can credit the ad.

        An invalid click does not stop the order.
        """
        click_key = f"{key}#click"
        if not self._already_made.add(f"{CLICKS.name} {click_key}"):
            return
        clicked_at, utms = click
        fields = {
            "Email": contact.email,
            "Date_Time": clicked_at or sale.ordered_at,
            "Timezone": "UTC",
            "ConversionType": CONVERSION_TYPE,
            "OrderID": sale.source_id,
            **utms,
        }
        try:
            checked = self._clicks.check(fields)
            yield self._clicks.encode(checked, sale.record.stream, sale.record.sequence, click_key)
        except FieldError as error:
            yield reject(error, CLICKS.name, sale.record)


def in_sequence(output: Output) -> Output:
    """Lower sequences so that none is above a later one: delivery takes a queue's first row for its oldest."""
    lowest = LAST_SEQUENCE
    for row in reversed(output):
        if isinstance(row, Row):
            lowest = min(row.sequence, lowest)
            if row.sequence > lowest:
                row.record, row.sequence = row.sequence, lowest
    return output


def reject(error: FieldError, endpoint: str, record: Record) -> Reject:
    """Return the dead letter of a record that makes no valid row."""
    return Reject(error.reason, error.field, endpoint, record.stream, record.data, record.sequence)


_sort_time = utc("PaymentDate")


def read_time(field: str, value: Any) -> str:
    """Return a time as it is sent, `YYYY-MM-DD HH:MM:SS` in UTC. Raises FieldError for `field`."""
    if value is None or value == "":
        raise FieldError(field, MISSING)
    checked: str = _TIMES[field](value)
    return checked


def sort_time(value: Any) -> str:
    """Return a time in a form that sorts; "" if it is missing or invalid."""
    try:
        return str(_sort_time(value))
    except FieldError:
        return ""


_TIMES = {field: utc(field) for field in ("CreateDate", "PaymentDate")}

#: Values that sources use for a missing id. Wicked Reports also treats "0" as empty.
EMPTY_IDS = (None, "", 0, "0")
_check_id = identity("SourceID", 500)


def read_id(data: Mapping[str, Any], name: str) -> str:
    """Return an id that becomes part of an order's SourceID; raises FieldError."""
    value = data.get(name)
    if value is None:
        raise FieldError("SourceID", f"{name} is missing")
    try:
        checked: str = _check_id(value)
    except FieldError as error:
        raise FieldError(error.field, f"{name}: {error.reason}") from None
    return checked


def read_amount(data: Mapping[str, Any], name: str) -> Decimal:
    """Return an amount without rounding; it may be negative. Raises FieldError."""
    value = data.get(name)
    if value is None or value == "":
        raise FieldError("OrderTotal", f"{name} is missing")
    try:
        amount = decimal("OrderTotal", value)
    except FieldError as error:
        raise FieldError(error.field, f"{name}: {error.reason}") from None
    if amount.adjusted() > NUMBER_LIMIT - 4:
        raise FieldError("OrderTotal", f"{name} has too many digits")
    return amount
