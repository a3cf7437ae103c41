"""What one record of Airbyte's source-bigcommerce says (`airbyte/conventions.md` 5.3 and 5.4).

Of the v2 API (orders, their lines) dates are RFC 2822 and money is text; of v3 (customers, products, transactions)
dates are ISO 8601 and money is a number; the source turns one date of an order, `date_modified`, into ISO. Ids are
numbers in one stream and text in the other. Everything is read in either form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from destination_wicked_reports.api.fields import YEARS, decimal, identity, utc, whole
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.affiliate.contacts import unpacked, values_at

TEST_TRANSACTION = "transaction in the gateway's test mode"
NO_MONEY_YET = "transaction that moved no money: an authorization, or one that is pending"
FAILED_RETURN = "refund or void that did not succeed"
INCOMPLETE = "incomplete order: the shopper left the checkout"
BUNDLED = "line inside a bundle, whose price the bundle's own line holds"

#: How an order's own words say whether it is paid, where no transaction does (`payment_status` of BigCommerce's v2).
_PAID = frozenset({"captured", "paid", "partially refunded", "refunded"})
#: `status_id` of orders that are paid by other means than a gateway: shipped, refunded, awaiting pickup, awaiting
#: shipment, completed, awaiting fulfillment, disputed, partially refunded. Their `payment_status` is empty.
_PAID_STATUS_IDS = frozenset({"2", "3", "4", "8", "9", "10", "11", "13", "14"})
_GOOD = frozenset({"", "ok", "success", "succeeded", "approved", "complete", "completed", "settled"})
_MONEY_IN = frozenset({"purchase", "capture", "settled"})
_MONEY_BACK = frozenset({"refund", "void"})
#: Fields of a person, which the ledger forgets once Wicked has the order.
PERSONAL = frozenset({"email", "first", "last", "city", "state", "country", "ip", "subscription"})

#: The kind of a transaction that cannot be added to its order, because it is in another currency.
FOREIGN = "foreign"
#: The kind of a transaction in the gateway's test mode.
TEST = "test"
_RFC_2822 = re.compile(
    r"(?:[A-Za-z]{3}, )?[0-9]{1,2} [A-Za-z]{3} [0-9]{4} [0-9:]{5,8} (?:[+-][0-9]{4}|[A-Z]{2,4})"
).fullmatch
_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
_quantity = whole("Qty", 0)

Facts = dict[str, Any]
Kind = Literal["purchase", "capture", "settled", "refund", "void", "FAILED", "DECLINED"]


@dataclass(slots=True, frozen=True)
class SubscriptionRule:
    """Where an order names its subscription: a path as in contact rules, a pattern with a group `subscription_id`."""

    field: str
    pattern: str

    def find(self, data: Mapping[str, Any]) -> str:
        """Return the subscription this rule finds in an order, "" if none."""
        name, *path = self.field.split(".")
        for value in values_at(data.get(name), tuple(path)):
            match = re.search(self.pattern, value)
            if match and match["subscription_id"]:
                return match["subscription_id"]
        return ""


def moment(data: Mapping[str, Any], name: str, field: str) -> str:
    """Return a date as `YYYY-MM-DD HH:MM:SS` in UTC, or raise FieldError; RFC 2822 and ISO 8601 are both read."""
    value = data.get(name)
    if value is None or value == "":
        raise FieldError(field, f"{name} is missing")
    if isinstance(value, str) and _RFC_2822(value):
        try:
            parsed = parsedate_to_datetime(value)
        except ValueError:
            raise FieldError(field, f"{name}: a date that does not exist") from None
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(timezone.utc)
        if parsed.year not in YEARS:
            raise FieldError(field, f"{name}: a date outside the years {YEARS[0]} to {YEARS[-1]}")
        return parsed.strftime("%Y-%m-%d %H:%M:%S")
    try:
        written: str = utc(field)(value)
    except FieldError as error:
        raise FieldError(field, f"{name}: {error.reason}") from None
    return written


def identifier(data: Mapping[str, Any], name: str, field: str) -> str:
    """Return an id as text, or raise FieldError."""
    value = data.get(name)
    if value is None:
        raise FieldError(field, f"{name} is missing")
    try:
        written: str = identity(field, 500)(value)
    except FieldError as error:
        raise FieldError(field, f"{name}: {error.reason}") from None
    return written


def optional_id(data: Mapping[str, Any], name: str, field: str) -> str:
    """Return an id as text; "" for the 0 that BigCommerce writes where there is none."""
    if data.get(name) in (None, "", 0, "0"):
        return ""
    return identifier(data, name, field)


def amount(data: Mapping[str, Any], name: str, field: str, missing: str | None = None) -> str:
    """Return an amount as decimal text, or raise FieldError; `missing` stands in for one that is not there."""
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
    """Return a truth value, also as the text or number that a cache makes of it."""
    return value in (True, 1) or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def currency(data: Mapping[str, Any], name: str) -> str:
    """Return a currency code, "" if there is none; anything else is refused."""
    value = data.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not _CURRENCY(value.upper()):
        raise FieldError("OrderCurrency", f"{name} is not a currency code of three letters")
    return value.upper()


def words(data: Mapping[str, Any], name: str) -> str:
    """Return free text, "" for anything else."""
    value = data.get(name)
    return value.strip() if isinstance(value, str) else ""


def read_order(data: Mapping[str, Any], rules: Sequence[SubscriptionRule]) -> Facts:
    """Return what is kept of an order, amounts in the order's own currency; raises FieldError.

    That currency is the transactional one, `default_currency_code`: `currency_code` is what the shopper saw, and
    `store_default_to_transactional_exchange_rate` is what the store's currency is multiplied by to get it
    (BigCommerce's reference of v2 orders, "Order Currency Fields").
    """
    address = unpacked(data.get("billing_address"))
    if not isinstance(address, dict):
        address = {}
    created = moment(data, "date_created", "CreateDate")
    shown = currency(data, "currency_code")
    money = currency(data, "default_currency_code") or shown
    rate = amount(data, "store_default_to_transactional_exchange_rate", "OrderTotal", missing="")
    if not rate and shown == money:
        rate = amount(data, "currency_exchange_rate", "OrderTotal", missing="")
    return {
        "created": created,
        "modified": moment(data, "date_modified", "CreateDate") if data.get("date_modified") else created,
        "customer": optional_id(data, "customer_id", "ContactID"),
        "email": words(address, "email"),
        "first": words(address, "first_name"),
        "last": words(address, "last_name"),
        "city": words(address, "city"),
        "state": words(address, "state"),
        "country": words(address, "country") or words(address, "country_iso2"),
        "ip": words(data, "ip_address"),
        "total": amount(data, "total_inc_tax", "OrderTotal"),
        "total_ex": amount(data, "total_ex_tax", "OrderTotal", missing=""),
        "refunded": amount(data, "refunded_amount", "OrderTotal", missing="0"),
        "currency": money,
        "rate": rate,
        "store_currency": currency(data, "store_default_currency_code"),
        "paid": _paid(data),
        "deleted": flag(data.get("is_deleted")),
        "subscription": next(filter(None, (rule.find(data) for rule in rules)), ""),
    }


def is_incomplete(data: Mapping[str, Any]) -> bool:
    """Tell whether this is an abandoned checkout, which BigCommerce lists among the orders as status 0."""
    return str(data.get("status_id")) == "0"


def _paid(data: Mapping[str, Any]) -> str:
    """Return `paid`, `DECLINED`, `VOIDED` or "" (nothing was paid yet), by the order's own words."""
    said = words(data, "payment_status").lower()
    status = str(data.get("status_id"))
    if said in _PAID or (not said and status in _PAID_STATUS_IDS):
        everything = said == "refunded" or (not said and status == "4")
        return "refunded" if everything and not Decimal(amount(data, "refunded_amount", "", "0")) else "paid"
    if said == "declined" or (not said and status == "6"):
        return "DECLINED"
    return "VOIDED" if said == "void" else ""


def read_line(data: Mapping[str, Any]) -> Facts:
    """Return what is kept of a line of an order; raises FieldError."""
    quantity = data.get("quantity")
    if quantity is None or quantity == "":
        raise FieldError("Qty", "quantity is missing")
    try:
        quantity = _quantity(quantity)
    except FieldError as error:
        raise FieldError("Qty", f"quantity: {error.reason}") from None
    return {
        "product": optional_id(data, "product_id", "ProductID"),
        "name": words(data, "name"),
        "quantity": quantity,
        "price": amount(data, "price_inc_tax", "PPU"),
        "price_ex": amount(data, "price_ex_tax", "PPU", missing=""),
        "base": amount(data, "base_price", "ProductPrice", missing="0"),
    }


def is_bundled(data: Mapping[str, Any]) -> bool:
    """Tell whether this line is part of a bundle, which is a line of its own."""
    return data.get("parent_order_product_id") not in (None, "", 0, "0")


def read_transaction(data: Mapping[str, Any]) -> Facts | str:
    """Return what is kept of a transaction, or why nothing is; raises FieldError.

    The events and the two words of `status` are those of BigCommerce's v3 order transactions. [guess] `settled`
    completes what was `pending`, and a missing status means that all went well.
    """
    if flag(data.get("test")):
        return {"kind": TEST, "amount": "0", "when": "", "reference": "", "currency": ""}
    event, status = words(data, "event").lower(), words(data, "status").lower()
    if event not in _MONEY_IN | _MONEY_BACK | {"authorization", "pending"}:
        raise FieldError("Status", "event is none that BigCommerce names, so the money's direction is not known")
    if event == "pending" or status == "pending":
        return NO_MONEY_YET
    kind: str = event
    if status in ("error", "failed", "declined"):
        if event in _MONEY_BACK:
            return FAILED_RETURN
        kind = "DECLINED" if status == "declined" else "FAILED"
    elif status not in _GOOD:
        raise FieldError("Status", "status is neither ok, pending, declined nor error")
    elif event == "authorization":
        return NO_MONEY_YET
    return {
        "kind": kind,
        "amount": amount(data, "amount", "Amount").lstrip("-"),  # Wicked's refunds are positive, too
        "when": moment(data, "date_created", "PaymentDate"),
        "reference": optional_id(data, "reference_transaction_id", "OrderID"),
        "currency": currency(data, "currency"),
    }
