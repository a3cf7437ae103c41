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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar, Literal

from destination_wicked_reports.api.endpoints import CLICKS, CONTACTS, ORDERS, PRODUCTS
from destination_wicked_reports.api.fields import MISSING, NUMBER_LIMIT, decimal, identity, utc
from destination_wicked_reports.api.rows import RowMaker
from destination_wicked_reports.config.mappings import AffiliateMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.affiliate.contacts import Contact, ContactFinder, synthetic_contact
from destination_wicked_reports.mappings.base import BoundedSet, Normalizer
from destination_wicked_reports.mappings.revenue import plan
from destination_wicked_reports.mappings.sale_rows import SaleRowMaker
from destination_wicked_reports.model import LAST_SEQUENCE, ZERO, Record, Reject, Row, SaleState, Skip, Unchanged

NO_CONTACT = "no contact rule matched"
NOT_APPROVED = "pending, waiting for the network's approval"
NEVER_EARNED = "declined before it was sent"
WORTHLESS = "worth less than one cent so far"
SMALL_CHANGE = "change smaller than smallest_change, waiting until differences add up"
REINSTATED = "reinstated after a decline or refund"
EXCLUDED_NETWORK = "network excluded by configuration"
OUTDATED = "older than the version already sent"
ALREADY_SENT = "already sent"

#: [guess] The only documented value for clicks; none is documented for the click of a sale
#: (docs/vendors/wicked-reports.md 2.8).
CONVERSION_TYPE = "NEW_LEAD"

Status = Literal["pending", "approved", "declined"]
Output = list[Row | Reject | Skip]


@dataclass(slots=True)
class Sale:
    """One affiliate sale in its present state. Values of type Any are not validated yet.

    `ordered_at`, `approved_at` and `updated_at` are the times of the sale, of its approval and of its last change.
    `click_id` identifies the click, or the sale itself if the source names no click. `aliases` relate the sale to rows
    that take money back from it.
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
    aliases: tuple[str, ...] = ()


class AffiliateNormalizer(Normalizer):
    """Turns sales into products, contacts, orders, refunds and clicks. A subclass reads the sales from records."""

    #: the domain of synthetic contacts: <click id>@<source>.invalid
    source: ClassVar[str]

    def __init__(self, mapping: AffiliateMapping) -> None:
        self.mapping = mapping
        #: the number of sales sent as further orders after a decline or refund
        self.reinstated = 0
        self._smallest_change = Decimal(mapping.smallest_change)
        self._contact_finder = ContactFinder(mapping.contact_rules)
        self._sale_rows = SaleRowMaker(mapping.source_system)
        self._products = RowMaker(PRODUCTS)
        self._contacts = RowMaker(CONTACTS)
        self._clicks = RowMaker(CLICKS)
        self._already_made = BoundedSet()

    @abstractmethod
    def click_details(self, sale: Sale) -> tuple[Any, Mapping[str, Any]]:
        """Return the time of the sale's click, None if unknown, and its UTMs by their Wicked Reports field names."""

    def notes(self) -> Iterator[str]:
        """Yield the number of reinstated sales."""
        if self.reinstated:
            yield f"{self.reinstated:,} sales were reinstated after a decline or refund and sent as further orders"

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
            return [Skip(NO_CONTACT, record.sequence)]
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
        return [
            *self._product(sale),
            *(self._synthetic_contact(sale, contact) if contact.synthetic else ()),
            *self._sale_rows.rows(key, steps, record.stream, record.sequence),
            *(self._click(sale, key, contact) if contact.synthetic else ()),
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
            state = replace(state, source_updated_at=updated_at, aliases=sale.aliases)
        if not state.contact_email:
            state = self._with_email(sale, state)
        changed_at = read_time("PaymentDate", sale.updated_at)
        if not net:
            self.reinstated += 1
        steps = plan(state, target, sale.currency, changed_at, changed_at)
        return list(self._sale_rows.rows(key, steps, record.stream, record.sequence))

    def _with_email(self, sale: Sale, state: SaleState) -> SaleState:
        """Add an address that the contact rules find only now."""
        with contextlib.suppress(FieldError):  # a text that cannot be searched must not stop the change
            contact = self._contact_finder.find(sale.record.data)
            if contact is not None and contact.email:
                return replace(state, contact_email=contact.email)
        return state

    def _repeat_click(self, sale: Sale, key: str) -> Iterator[Row | Reject]:
        """Yield the click of a synthetic contact again, under the same key; the ledger drops it if it was sent.

        A run may have ended between the first order and its click.
        """
        with contextlib.suppress(FieldError):  # a text that cannot be searched must not stop the change
            if self.mapping.without_contact == "synthetic":
                contact = self._contact(sale)
                if contact is not None and contact.synthetic:
                    yield from self._click(sale, key, contact)

    # -- who bought -------------------------------------------------------------------------------------------------

    def _contact(self, sale: Sale) -> Contact | None:
        contact = self._contact_finder.find(sale.record.data)
        if contact is None and self.mapping.without_contact == "synthetic":
            return synthetic_contact(sale.click_id, self.source)
        return contact

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

    def _synthetic_contact(self, sale: Sale, contact: Contact) -> Iterator[Row]:
        clicked_at, _ = self.click_details(sale)
        fields = {
            "SourceSystem": self.mapping.source_system,
            "SourceID": contact.email,
            "CreateDate": clicked_at or sale.ordered_at,
            "Email": contact.email,
        }
        row = self._contacts.make(fields, sale.record.stream, sale.record.sequence)
        if self._already_made.add(f"{CONTACTS.name} {row.key}"):
            yield row

    def _click(self, sale: Sale, key: str, contact: Contact) -> Iterator[Row | Reject]:
        """Yield the click of a synthetic contact, so that Wicked Reports can credit the ad.

        An invalid click does not stop the order.
        """
        click_key = f"{key}#click"
        if not self._already_made.add(f"{CLICKS.name} {click_key}"):
            return
        clicked_at, utms = self.click_details(sale)
        fields = {
            "Email": contact.email,
            "Date_Time": clicked_at or sale.ordered_at,
            "Timezone": "UTC",
            "ConversionType": CONVERSION_TYPE,
            "OrderID": sale.source_id,
            **utms,
        }
        try:
            click = self._clicks.check(fields)
            yield self._clicks.encode(click, sale.record.stream, sale.record.sequence, click_key)
        except FieldError as error:
            yield reject(error, CLICKS.name, sale.record)


def in_sequence(output: Output) -> Output:
    """Lower sequences so that none is above a later one: delivery takes a queue's first row for its oldest."""
    lowest = LAST_SEQUENCE
    for row in reversed(output):
        if isinstance(row, Row):
            lowest = row.sequence = min(row.sequence, lowest)
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
