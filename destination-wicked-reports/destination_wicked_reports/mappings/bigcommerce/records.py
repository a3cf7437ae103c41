"""Reads the records of Airbyte's source-bigcommerce (docs/vendors/bigcommerce.md 5.5).

The v2 API (orders and their items) has RFC 2822 dates and money as text; the v3 API (customers, products,
transactions) has ISO 8601 dates and money as numbers. The source converts one date of an order, `date_modified`, to
ISO. Ids are numbers in one stream and text in another. This module reads every value in either form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timezone
from typing import Any, Literal

from destination_wicked_reports.api.fields import YEARS, decimal, identity, utc, whole
from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.field_rules import FieldRule
from destination_wicked_reports.mappings.mail_dates import read_mail_date

TEST_TRANSACTION = "transaction in the gateway's test mode"
NO_MONEY_MOVED = "transaction that moved no money (authorization or pending)"
FAILED_PAYMENT = "payment attempt that failed or was declined"
FAILED_REFUND = "refund or void that failed"
INCOMPLETE = "incomplete order (abandoned checkout)"
BUNDLED = "item inside a bundle; the bundle's own item carries the price"

#: Values of an order's `payment_status` (v2) that mean it is paid, for orders without transactions.
_PAID = frozenset({"captured", "paid", "partially refunded", "refunded"})
#: `status_id` of paid orders without a gateway, whose `payment_status` is empty: shipped, partially shipped, refunded,
#: awaiting pickup, awaiting shipment, completed, awaiting fulfillment, disputed, partially refunded.
_PAID_STATUS_IDS = frozenset({"2", "3", "4", "8", "9", "10", "11", "13", "14"})
#: Values of `payment_status`, and of `status` in lower case, of an order that will not be paid.
_LOST = frozenset({"cancelled", "canceled", "declined", "expired", "void", "voided"})
#: The same by `status_id`: cancelled, declined.
_LOST_STATUS_IDS = frozenset({"5", "6"})
#: BigCommerce's gateway for trying a shop, as an order names it in `payment_method` and a transaction in `gateway`.
_TEST_GATEWAYS = frozenset({"testgateway", "testpaymentgateway"})
_SUCCEEDED = frozenset({"", "ok", "success", "succeeded", "approved", "complete", "completed", "settled"})
_MONEY_IN = frozenset({"purchase", "capture", "settled"})
_MONEY_BACK = frozenset({"refund", "void"})

_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
_quantity = whole("Qty", 0)

#: How an order describes its own payment; "" if it is not paid yet. `refunded` means refunded in full, `lost` that it
#: will not be paid.
PaymentState = Literal["paid", "refunded", "lost", ""]
#: What a transaction did. `test` was made in a gateway's test mode.
TransactionKind = Literal["purchase", "capture", "settled", "refund", "void", "test"]


@dataclass(slots=True, frozen=True)
class ShopOrder:
    """An order without its items. Amounts are decimal text in the order's currency, times are UTC, "" is unknown.

    `exchange_rate` converts from the store's currency to the order's. `is_test` if it was paid through the gateway for
    trying a shop. `was_unpaid` if any version of the order was read as unpaid.
    """

    created: str
    modified: str
    customer_id: str
    email: str
    first_name: str
    last_name: str
    city: str
    state: str
    country: str
    ip_address: str
    total: str
    total_ex_tax: str
    refunded: str
    currency: str
    exchange_rate: str
    store_currency: str
    payment_state: PaymentState
    deleted: bool
    is_test: bool
    subscription_id: str
    was_unpaid: bool = False

    @property
    def is_paid(self) -> bool:
        """Return whether the order calls itself paid, refunded or not."""
        return self.payment_state in ("paid", "refunded")

    @property
    def buyer_email(self) -> str:
        """Return the buyer's address, lower-cased for a guest, who has no other id."""
        return self.email if self.customer_id else self.email.lower()

    @property
    def buyer_id(self) -> str:
        """Return the SourceID of the contact: the customer id, a guest's address, or "" if there is neither."""
        return self.customer_id or self.buyer_email

    def without_personal_data(self) -> ShopOrder:
        """Return the order without the data of a person."""
        return replace(
            self,
            email="",
            first_name="",
            last_name="",
            city="",
            state="",
            country="",
            ip_address="",
            subscription_id="",
        )


@dataclass(slots=True, frozen=True)
class OrderItem:
    """An item of an order. Prices are decimal text per unit in the order's currency, "" if unknown."""

    product_id: str
    name: str
    quantity: int
    price: str
    price_ex_tax: str
    base_price: str


@dataclass(slots=True, frozen=True)
class Transaction:
    """A transaction of an order. `amount` is positive decimal text; `reference` is the id of the one it completes."""

    kind: TransactionKind
    amount: str
    when: str
    reference: str
    currency: str


def find_subscription(rules: Sequence[FieldRule], data: Mapping[str, Any]) -> str:
    """Return the subscription id that the first matching rule finds in an order, "" if none matches."""
    for rule in rules:
        for match in rule.matches(data):
            if match["subscription_id"]:
                return str(match["subscription_id"])
    return ""


def moment(data: Mapping[str, Any], name: str, field: str) -> str:
    """Return an RFC 2822 or ISO 8601 time as `YYYY-MM-DD HH:MM:SS` in UTC; raises FieldError."""
    value = data.get(name)
    if value is None or value == "":
        raise FieldError(field, f"{name} is missing")
    if isinstance(value, str) and not value[:4].isdigit():
        parsed = read_mail_date(value)
        if parsed is None or parsed.tzinfo is None:
            raise FieldError(field, f"{name}: not a time such as Fri, 31 May 2024 13:45:00 +0000")
        parsed = parsed.astimezone(timezone.utc)
        if parsed.year not in YEARS:
            raise FieldError(field, f"{name}: a date outside the years {YEARS[0]} to {YEARS[-1]}")
        return f"{parsed:%Y-%m-%d %H:%M:%S}"
    try:
        written: str = utc(field)(value)
    except FieldError as error:
        raise FieldError(field, f"{name}: {error.reason}") from None
    return written


def identifier(data: Mapping[str, Any], name: str, field: str) -> str:
    """Return an id as text; raises FieldError."""
    value = data.get(name)
    if value is None:
        raise FieldError(field, f"{name} is missing")
    try:
        written: str = identity(field, 500)(value)
    except FieldError as error:
        raise FieldError(field, f"{name}: {error.reason}") from None
    return written


def optional_id(data: Mapping[str, Any], name: str, field: str) -> str:
    """Return an id as text, "" if there is none, which BigCommerce writes as 0; raises FieldError."""
    if data.get(name) in (None, "", 0, "0"):
        return ""
    return identifier(data, name, field)


def amount(data: Mapping[str, Any], name: str, field: str, missing: str | None = None) -> str:
    """Return an amount as decimal text, or `missing` if it is absent; raises FieldError."""
    value = data.get(name)
    if value is None or value == "":
        if missing is not None:
            return missing
        raise FieldError(field, f"{name} is missing")
    try:
        number = decimal(field, value)
    except FieldError as error:
        raise FieldError(field, f"{name}: {error.reason}") from None
    if number.adjusted() > 14:
        raise FieldError(field, f"{name} has too many digits")
    return f"{number:f}"


def flag(value: Any) -> bool:
    """Return a boolean, which a cache may have stored as text or as a number."""
    return value in (True, 1) or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def currency(data: Mapping[str, Any], name: str) -> str:
    """Return a currency code, "" if there is none; raises FieldError."""
    value = data.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not _CURRENCY(value.upper()):
        raise FieldError("OrderCurrency", f"{name} is not a three-letter currency code")
    return value.upper()


def text(data: Mapping[str, Any], name: str) -> str:
    """Return stripped text, "" for any other value."""
    value = data.get(name)
    return value.strip() if isinstance(value, str) else ""


def read_order(data: Mapping[str, Any], subscription_rules: Sequence[FieldRule]) -> ShopOrder:
    """Return an order; raises FieldError.

    Its currency is `default_currency_code`, the transactional one; `currency_code` is what the shopper saw.
    `store_default_to_transactional_exchange_rate` converts from the store's currency to it (BigCommerce's reference of
    v2 orders, "Order Currency Fields").
    """
    address = decode_json_text(data.get("billing_address"))
    if not isinstance(address, dict):
        address = {}
    created = moment(data, "date_created", "CreateDate")
    shown_currency = currency(data, "currency_code")
    order_currency = currency(data, "default_currency_code") or shown_currency
    rate = amount(data, "store_default_to_transactional_exchange_rate", "OrderTotal", missing="")
    if not rate and shown_currency == order_currency:
        rate = amount(data, "currency_exchange_rate", "OrderTotal", missing="")
    return ShopOrder(
        created=created,
        modified=moment(data, "date_modified", "CreateDate") if data.get("date_modified") else created,
        customer_id=optional_id(data, "customer_id", "ContactID"),
        email=text(address, "email"),
        first_name=text(address, "first_name"),
        last_name=text(address, "last_name"),
        city=text(address, "city"),
        state=text(address, "state"),
        country=text(address, "country") or text(address, "country_iso2"),
        ip_address=text(data, "ip_address"),
        total=amount(data, "total_inc_tax", "OrderTotal"),
        total_ex_tax=amount(data, "total_ex_tax", "OrderTotal", missing=""),
        refunded=amount(data, "refunded_amount", "OrderTotal", missing="0"),
        currency=order_currency,
        exchange_rate=rate,
        store_currency=currency(data, "store_default_currency_code"),
        payment_state=_payment_state(data),
        deleted=flag(data.get("is_deleted")),
        is_test=_is_test_gateway(data, "payment_method"),
        subscription_id=find_subscription(subscription_rules, data),
    )


def is_incomplete(data: Mapping[str, Any]) -> bool:
    """Return whether this is an abandoned checkout, which BigCommerce lists as an order with status 0."""
    return str(data.get("status_id")) == "0"


def _payment_state(data: Mapping[str, Any]) -> PaymentState:
    payment_status = text(data, "payment_status").lower()
    status_id = str(data.get("status_id"))
    if payment_status in _PAID or (not payment_status and status_id in _PAID_STATUS_IDS):
        in_full = payment_status == "refunded" or (not payment_status and status_id == "4")
        return "refunded" if in_full else "paid"
    is_lost = payment_status in _LOST or status_id in _LOST_STATUS_IDS or text(data, "status").lower() in _LOST
    return "lost" if is_lost else ""


def _is_test_gateway(data: Mapping[str, Any], name: str) -> bool:
    return re.sub(r"[^a-z]", "", text(data, name).lower()) in _TEST_GATEWAYS


def read_item(data: Mapping[str, Any]) -> OrderItem:
    """Return an item of an order; raises FieldError."""
    quantity = data.get("quantity")
    if quantity is None or quantity == "":
        raise FieldError("Qty", "quantity is missing")
    try:
        quantity = _quantity(quantity)
    except FieldError as error:
        raise FieldError("Qty", f"quantity: {error.reason}") from None
    return OrderItem(
        product_id=optional_id(data, "product_id", "ProductID"),
        name=text(data, "name"),
        quantity=quantity,
        price=amount(data, "price_inc_tax", "PPU"),
        price_ex_tax=amount(data, "price_ex_tax", "PPU", missing=""),
        base_price=amount(data, "base_price", "ProductPrice", missing="0"),
    )


def is_bundled(data: Mapping[str, Any]) -> bool:
    """Return whether this item is part of a bundle, which has an item of its own."""
    return data.get("parent_order_product_id") not in (None, "", 0, "0")


def read_transaction(data: Mapping[str, Any]) -> Transaction | str:
    """Return a transaction, or the reason to skip it; raises FieldError.

    The events and the statuses ok and error are those of BigCommerce's v3 order transactions. [guess] `settled`
    completes a transaction that was `pending`, and a missing status means success.
    """
    if flag(data.get("test")) or _is_test_gateway(data, "gateway"):
        return Transaction(kind="test", amount="0", when="", reference="", currency="")
    event, status = text(data, "event").lower(), text(data, "status").lower()
    if event not in _MONEY_IN | _MONEY_BACK | {"authorization", "pending"}:
        raise FieldError("Status", "event is unknown, so it is unclear whether money came in or went back")
    if event == "pending" or status == "pending":
        return NO_MONEY_MOVED
    if status in ("error", "failed", "declined"):
        return FAILED_REFUND if event in _MONEY_BACK else FAILED_PAYMENT
    if status not in _SUCCEEDED:
        raise FieldError("Status", "status is not ok, pending, declined or error")
    if event == "authorization":
        return NO_MONEY_MOVED
    return Transaction(
        kind=event,  # type: ignore[arg-type]
        amount=amount(data, "amount", "Amount").lstrip("-"),  # Wicked Reports expects positive refunds
        when=moment(data, "date_created", "PaymentDate"),
        reference=optional_id(data, "reference_transaction_id", "OrderID"),
        currency=currency(data, "currency"),
    )
