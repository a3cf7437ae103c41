"""Affiliate revenue in Wicked: the rules that hold for every affiliate source (`apis/affiliate-facts.md` D2 to D6).

A sale becomes one order, keyed, with its first payment nested in it, so that both arrive or neither does and a lost
reply may be answered by sending the row again. Later changes become payments, computed from what the ledger says
Wicked was told, never from an earlier record.

A record counts if it is not older than the last one that counted, by the source's own time of the change. A source
that reads a window again gets the present state; a file that is written twice, or a host that buffers, brings former
ones.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal

from destination_wicked_reports.api.endpoints import CLICKS, CONTACTS, ORDER_PAYMENTS, ORDERS, PRODUCTS
from destination_wicked_reports.api.fields import NUMBER_LIMIT, decimal, identity
from destination_wicked_reports.api.rows import FieldChecker, RowMaker
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.affiliate.contacts import Contact, ContactRule, find_contact, synthetic_contact
from destination_wicked_reports.mappings.base import BoundedSet, Normalizer
from destination_wicked_reports.mappings.order_payments import APPROVED, CLOSING, after, next_payment
from destination_wicked_reports.model import ZERO, OrderState, Record, Reject, Row, Skip, Unchanged

NO_CONTACT = "no contact rule matched"
REVIVED = "declined or refunded before, and live again"
EXCLUDED_NETWORK = "network excluded by configuration"
OUTDATED = "older than what Wicked was told of the order"
KNOWN = "Wicked was told of it already"

#: [guess] Wicked publishes one value for clicks; what a sale's click should be called is not known (wicked-facts 2.8).
CONVERSION_TYPE = "NEW_LEAD"

Status = Literal["pending", "approved", "declined"]


@dataclass(slots=True, frozen=True, kw_only=True)
class AffiliateRules:
    """What the user decides about affiliate revenue; a contact rule may also be given as its two texts."""

    source_system: str
    revenue_basis: Literal["commission", "sale_amount"] = "commission"
    recognize: Literal["pending", "approved"] = "pending"
    contact_rules: Sequence[ContactRule | Mapping[str, str]] = ()
    without_contact: Literal["skip", "synthetic"] = "skip"
    currency: Literal["transaction", "euro"] = "transaction"
    on_reinstatement: Literal["new_order", "skip"] = "new_order"
    exclude_networks: Collection[str] = ()


@dataclass(slots=True)
class Sale:
    """One affiliate sale as its source shows it now. Values of type Any are checked when they go on the wire.

    `ordered`, `approved` and `changed` are the dates of a sale, of its approval and of its last change;
    `click` names the click behind it, or the sale itself where no click is known.
    """

    record: Record
    source_id: str
    status: Status
    amount: Decimal
    currency: str
    ordered: Any
    approved: Any
    changed: Any
    product_id: Any
    product_name: str
    click: str


class AffiliateNormalizer(Normalizer):
    """Turns sales into products, contacts, orders, payments and clicks; a subclass finds them in a source's records."""

    #: The domain of synthetic contacts: <click>@<source>.invalid
    source: ClassVar[str]

    def __init__(self, rules: AffiliateRules) -> None:
        self.rules = rules
        #: Orders that came back after a decline or refund had been told, and were sent anew.
        self.revivals = 0
        self._contact_rules = [
            rule if isinstance(rule, ContactRule) else ContactRule(**rule) for rule in rules.contact_rules
        ]
        self._orders = RowMaker(ORDERS)
        self._product_id = FieldChecker([field for field in ORDERS.nested["OrderItems"] if field.name == "ProductID"])
        self._nested_payments = FieldChecker(ORDERS.nested["OrderPayments"])
        self._payments = RowMaker(ORDER_PAYMENTS)
        self._products = RowMaker(PRODUCTS)
        self._contacts = RowMaker(CONTACTS)
        self._clicks = RowMaker(CLICKS)
        self._recent = BoundedSet()

    @abstractmethod
    def clicked(self, sale: Sale) -> tuple[Any, Mapping[str, Any]]:
        """Return when the click behind a sale happened, None if unknown, and its UTMs in Wicked's names."""

    def notes(self) -> Iterator[str]:
        """Yield how many sales came back."""
        if self.revivals:
            yield f"{self.revivals:,} sales came back after a decline or refund and were sent as new orders"

    def _target(self, sale: Sale, net: Decimal) -> Decimal:
        """Return what Wicked should count for a sale now."""
        if sale.status == "declined":
            return ZERO
        if sale.status == "pending" and self.rules.recognize == "approved" and net <= 0:
            return ZERO
        return sale.amount

    def _rows(self, sale: Sale, key: str, state: OrderState | None) -> list[Row | Reject | Skip]:
        if state is None:
            return self._new_order(sale, key, OrderState(total=sale.amount, currency=sale.currency))
        if state.currency != sale.currency:
            raise FieldError("OrderCurrency", "the order was sent in another currency, and amounts cannot be mixed")
        target = self._target(sale, state.net)
        if target > 0 and state.status in CLOSING:
            return self._revive(sale, key, state)
        payment = next_payment(state, target, sale.amount if sale.status == "declined" else None)
        rows: list[Row | Reject | Skip] = [
            Unchanged(KNOWN, sale.record.sequence, ORDERS.name)
            if payment is None
            else self._payment(sale, key, state, *payment)
        ]
        if self.rules.without_contact == "synthetic":
            # The order may have been accepted and the run then killed before the click was: it is told again, under
            # the same key, and the ledger knows whether that is needed.
            contact = self._contact(sale)
            if contact is not None and contact.synthetic:
                rows.extend(self._click(sale, key, _order_id(sale, state), contact))
        return rows

    def _revive(self, sale: Sale, key: str, state: OrderState) -> list[Row | Reject | Skip]:
        """A sale is live again after Wicked was told that it is lost; only a new order can say that (D5)."""
        if self.rules.on_reinstatement == "skip":
            return [Skip(REVIVED, sale.record.sequence)]
        fresh = OrderState(
            total=sale.amount, payments=state.payments, revision=state.revision + 1, currency=state.currency
        )
        rows = self._new_order(sale, key, fresh)
        if any(isinstance(row, Row) for row in rows):
            self.revivals += 1
        return rows

    def _new_order(self, sale: Sale, key: str, state: OrderState) -> list[Row | Reject | Skip]:
        contact = self._contact(sale)
        if contact is None:
            return [Skip(NO_CONTACT, sale.record.sequence)]
        record = sale.record
        order_id = _order_id(sale, state)
        order = self._orders.check(
            {
                "SourceSystem": self.rules.source_system,
                "SourceID": order_id,
                "CreateDate": sale.ordered,
                "ContactID": contact.contact_id,
                "ContactEmail": contact.email,
                "OrderTotal": state.total,
                "OrderCurrency": state.currency,
            }
        )
        # The line takes the order's own id: ids of transactions repeat in other accounts and in revived orders.
        line = self._product_id.check({"ProductID": sale.product_id})
        order["OrderItems"] = [{"OrderItemID": order_id, **line, "Qty": 1, "PPU": order["OrderTotal"]}]
        payment = next_payment(state, self._target(sale, ZERO), sale.amount if sale.status == "declined" else None)
        if payment is not None:
            order["OrderPayments"] = [self._nested_payments.check(_payment_fields(sale, *payment))]
            state = after(state, *payment)
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
                "SourceSystem": self.rules.source_system,
                "OrderID": _order_id(sale, state),
                **_payment_fields(sale, status, amount),
            }
        )
        state = after(state, status, amount)
        # Two equal payments are two, so the number is what tells them apart.
        name = f"{key}#{state.payments}"
        return self._payments.encode(fields, sale.record.stream, sale.record.sequence, name, key, state)

    def _contact(self, sale: Sale) -> Contact | None:
        contact = find_contact(self._contact_rules, sale.record.data)
        if contact is None and self.rules.without_contact == "synthetic":
            return synthetic_contact(sale.click, self.source)
        return contact

    def _product(self, sale: Sale) -> Iterator[Row | Reject]:
        """The advertiser as a product, for the report per merchant (D4); a bad one does not hold up the order."""
        if sale.product_id in NO_ID or not self._recent.add(f"{PRODUCTS.name} {sale.product_id}"):
            return
        product = {
            "SourceSystem": self.rules.source_system,
            "SourceID": sale.product_id,
            "ProductName": sale.product_name.strip() or f"Advertiser {sale.product_id}",
            "ProductPrice": 0,
        }
        try:
            yield self._products.make(product, sale.record.stream, sale.record.sequence)
        except FieldError as error:
            yield rejected(error, PRODUCTS.name, sale.record)

    def _synthetic_contact(self, sale: Sale, contact: Contact) -> Iterator[Row]:
        when, _ = self.clicked(sale)
        fields = {
            "SourceSystem": self.rules.source_system,
            "SourceID": contact.email,
            "CreateDate": when or sale.ordered,
            "Email": contact.email,
        }
        row = self._contacts.make(fields, sale.record.stream, sale.record.sequence)
        if self._recent.add(f"{CONTACTS.name} {row.key}"):
            yield row

    def _click(self, sale: Sale, key: str, order_id: str, contact: Contact) -> Iterator[Row | Reject]:
        """The click behind a synthetic contact, so that Wicked can credit the ad; a bad one leaves the order alone."""
        name = f"{key}#click" if order_id == sale.source_id else f"{key}#click {order_id}"
        if not self._recent.add(f"{CLICKS.name} {name}"):
            return
        when, utms = self.clicked(sale)
        fields = {
            "Email": contact.email,
            "Date_Time": when or sale.ordered,
            "Timezone": "UTC",
            "ConversionType": CONVERSION_TYPE,
            "OrderID": order_id,
            **utms,
        }
        try:
            click = self._clicks.check(fields)
            yield self._clicks.encode(click, sale.record.stream, sale.record.sequence, name)
        except FieldError as error:
            yield rejected(error, CLICKS.name, sale.record)


def _order_id(sale: Sale, state: OrderState) -> str:
    return sale.source_id if state.revision == 1 else f"{sale.source_id}-r{state.revision}"


def _payment_fields(sale: Sale, status: str, amount: Decimal) -> dict[str, Any]:
    """Money that falls is dated by the change; money that comes by the sale while pending, else by the approval."""
    live = sale.ordered if sale.status == "pending" else sale.approved
    when = live if status == APPROVED else sale.changed
    return {"PaymentDate": when, "Amount": amount, "Status": status}


def rejected(error: FieldError, endpoint: str, record: Record) -> Reject:
    """Return the dead letter of a record that cannot make a row."""
    return Reject(error.reason, error.field, endpoint, record.stream, record.data, record.sequence)


#: What a source writes where there is no id; "0" counts as empty for Wicked, too.
NO_ID = (None, "", 0, "0")
_id = identity("SourceID", 500)


def read_id(data: Mapping[str, Any], name: str) -> str:
    """Return an id of the source's that becomes part of an order's, or raise FieldError."""
    value = data.get(name)
    if value is None:
        raise FieldError("SourceID", f"{name} is missing")
    try:
        checked: str = _id(value)
    except FieldError as error:
        raise FieldError(error.field, f"{name}: {error.reason}") from None
    return checked


def read_amount(data: Mapping[str, Any], name: str) -> Decimal:
    """Return an amount digit for digit, of any sign, or raise FieldError."""
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
