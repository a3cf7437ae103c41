"""Revenue rules of all affiliate mappings: sales as orders and payments (docs/vendors/affiliate-revenue.md D5).

A sale becomes one order with its first payment nested in it: one row with a key, so it is safe to send again after a
lost reply. Later changes become payments, computed from the order's state in the ledger and never from an earlier
record; `mappings/payments_and_refunds.py` decides which.

A record is skipped if its own update time is older than that of the last record sent for the order. Files that were
written twice and orchestrators that buffer deliver such records.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal

from destination_wicked_reports.api.endpoints import CLICKS, CONTACTS, ORDER_PAYMENTS, ORDERS, PRODUCTS
from destination_wicked_reports.api.fields import NUMBER_LIMIT, decimal, identity
from destination_wicked_reports.api.rows import FieldChecker, RowMaker
from destination_wicked_reports.config.mappings import AffiliateMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.affiliate.contacts import Contact, ContactFinder, synthetic_contact
from destination_wicked_reports.mappings.base import BoundedSet, Normalizer
from destination_wicked_reports.mappings.payments_and_refunds import APPROVED, CLOSING, apply_payment, next_payment
from destination_wicked_reports.model import ZERO, OrderState, Record, Reject, Row, Skip, Unchanged

NO_CONTACT = "no contact rule matched"
REINSTATED = "reinstated after a decline or refund"
EXCLUDED_NETWORK = "network excluded by configuration"
OUTDATED = "older than the version already sent"
ALREADY_SENT = "already sent"

#: [guess] The only documented value for clicks; none is documented for the click of a sale
#: (docs/vendors/wicked-reports.md 2.8).
CONVERSION_TYPE = "NEW_LEAD"

Status = Literal["pending", "approved", "declined"]


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


class AffiliateNormalizer(Normalizer):
    """Turns sales into products, contacts, orders, payments and clicks. A subclass reads the sales from records."""

    #: the domain of synthetic contacts: <click id>@<source>.invalid
    source: ClassVar[str]

    def __init__(self, mapping: AffiliateMapping) -> None:
        self.mapping = mapping
        #: the number of sales sent as new orders after a decline or refund
        self.reinstated = 0
        self._contact_finder = ContactFinder(mapping.contact_rules)
        self._orders = RowMaker(ORDERS)
        self._product_id = FieldChecker([field for field in ORDERS.nested["OrderItems"] if field.name == "ProductID"])
        self._nested_payments = FieldChecker(ORDERS.nested["OrderPayments"])
        self._payments = RowMaker(ORDER_PAYMENTS)
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
            yield f"{self.reinstated:,} sales were reinstated after a decline or refund and sent as new orders"

    def _target(self, sale: Sale, net: Decimal) -> Decimal:
        """Return the net that Wicked Reports should count for the sale now; `net` is what it counts so far."""
        if sale.status == "declined":
            return ZERO
        if sale.status == "pending" and self.mapping.recognize == "approved" and net <= 0:
            return ZERO
        return sale.amount

    def _rows(self, sale: Sale, key: str, state: OrderState | None) -> list[Row | Reject | Skip]:
        if state is None:
            return self._new_order(sale, key, OrderState(total=sale.amount, currency=sale.currency))
        if state.currency != sale.currency:
            raise FieldError("OrderCurrency", "the order was sent in another currency")
        target = self._target(sale, state.net)
        if target > 0 and state.status in CLOSING:
            return self._reinstate(sale, key, state)
        payment = next_payment(state, target, sale.amount if sale.status == "declined" else None)
        rows: list[Row | Reject | Skip] = [
            Unchanged(ALREADY_SENT, sale.record.sequence, ORDERS.name)
            if payment is None
            else self._payment(sale, key, state, *payment)
        ]
        if self.mapping.without_contact == "synthetic":
            # A run may have ended between the order and its click. Make the click again, under the same key: the
            # ledger drops it if it was sent.
            contact = self._contact(sale)
            if contact is not None and contact.synthetic:
                rows.extend(self._click(sale, key, _order_id(sale, state), contact))
        return rows

    def _reinstate(self, sale: Sale, key: str, state: OrderState) -> list[Row | Reject | Skip]:
        """Return the new order of a sale reinstated after a decline or refund, which cannot be undone.

        See docs/vendors/affiliate-revenue.md D5.
        """
        if self.mapping.on_reinstatement == "skip":
            return [Skip(REINSTATED, sale.record.sequence)]
        new_state = OrderState(
            total=sale.amount, payments=state.payments, revision=state.revision + 1, currency=state.currency
        )
        rows = self._new_order(sale, key, new_state)
        if any(isinstance(row, Row) for row in rows):
            self.reinstated += 1
        return rows

    def _new_order(self, sale: Sale, key: str, state: OrderState) -> list[Row | Reject | Skip]:
        contact = self._contact(sale)
        if contact is None:
            return [Skip(NO_CONTACT, sale.record.sequence)]
        record = sale.record
        order_id = _order_id(sale, state)
        order = self._orders.check(
            {
                "SourceSystem": self.mapping.source_system,
                "SourceID": order_id,
                "CreateDate": sale.ordered_at,
                "ContactID": contact.contact_id,
                "ContactEmail": contact.email,
                "OrderTotal": state.total,
                "OrderCurrency": state.currency,
            }
        )
        # Use the order's id for the item: transaction ids repeat across accounts and in reinstated orders.
        product = self._product_id.check({"ProductID": sale.product_id})
        order["OrderItems"] = [{"OrderItemID": order_id, **product, "Qty": 1, "PPU": order["OrderTotal"]}]
        payment = next_payment(state, self._target(sale, ZERO), sale.amount if sale.status == "declined" else None)
        if payment is not None:
            order["OrderPayments"] = [self._nested_payments.check(_payment_fields(sale, *payment))]
            state = apply_payment(state, *payment)
        order_row = self._orders.encode(order, record.stream, record.sequence, order_key=key, order=state)
        return [
            *self._product(sale),
            *(self._synthetic_contact(sale, contact) if contact.synthetic else ()),
            order_row,
            *(self._click(sale, key, order_id, contact) if contact.synthetic else ()),
        ]

    def _payment(self, sale: Sale, key: str, state: OrderState, status: str, amount: Decimal) -> Row:
        fields = self._payments.check(
            {
                "SourceSystem": self.mapping.source_system,
                "OrderID": _order_id(sale, state),
                **_payment_fields(sale, status, amount),
            }
        )
        state = apply_payment(state, status, amount)
        # The payment's number keeps two equal payments of one order apart.
        payment_key = f"{key}#{state.payments}"
        return self._payments.encode(fields, sale.record.stream, sale.record.sequence, payment_key, key, state)

    def _contact(self, sale: Sale) -> Contact | None:
        contact = self._contact_finder.find(sale.record.data)
        if contact is None and self.mapping.without_contact == "synthetic":
            return synthetic_contact(sale.click_id, self.source)
        return contact

    def _product(self, sale: Sale) -> Iterator[Row | Reject]:
        """Yield the advertiser as a product, so that reports can group by merchant.

        See docs/vendors/affiliate-revenue.md D4. An invalid product does not stop the order.
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

    def _click(self, sale: Sale, key: str, order_id: str, contact: Contact) -> Iterator[Row | Reject]:
        """Yield the click of a synthetic contact, so that Wicked Reports can credit the ad.

        An invalid click does not stop the order.
        """
        click_key = f"{key}#click" if order_id == sale.source_id else f"{key}#click {order_id}"
        if not self._already_made.add(f"{CLICKS.name} {click_key}"):
            return
        clicked_at, utms = self.click_details(sale)
        fields = {
            "Email": contact.email,
            "Date_Time": clicked_at or sale.ordered_at,
            "Timezone": "UTC",
            "ConversionType": CONVERSION_TYPE,
            "OrderID": order_id,
            **utms,
        }
        try:
            click = self._clicks.check(fields)
            yield self._clicks.encode(click, sale.record.stream, sale.record.sequence, click_key)
        except FieldError as error:
            yield reject(error, CLICKS.name, sale.record)


def _order_id(sale: Sale, state: OrderState) -> str:
    return sale.source_id if state.revision == 1 else f"{sale.source_id}-r{state.revision}"


def _payment_fields(sale: Sale, status: str, amount: Decimal) -> dict[str, Any]:
    """Return the payment's fields. Approvals carry the time of the sale while pending, then that of its approval.

    All other payments carry the time of the change.
    """
    if status == APPROVED:
        paid_at = sale.ordered_at if sale.status == "pending" else sale.approved_at
    else:
        paid_at = sale.updated_at
    return {"PaymentDate": paid_at, "Amount": amount, "Status": status}


def reject(error: FieldError, endpoint: str, record: Record) -> Reject:
    """Return the dead letter of a record that makes no valid row."""
    return Reject(error.reason, error.field, endpoint, record.stream, record.data, record.sequence)


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
