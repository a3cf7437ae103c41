"""The seven inbound endpoints of Wicked Reports as data: path, fields, keys, load order.

Source: `apis/wicked-facts.md` 2.2 to 2.8, which collects the vendor's SDK, pages and integrations. [guess] marks what
no vendor text states; such a field is only sent when the input names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from destination_wicked_reports.api.fields import NUMBER_LIMIT, Kind
from destination_wicked_reports.errors import FieldError

TEXT, UTC, LOCAL = Kind.TEXT, Kind.UTC, Kind.LOCAL
MONEY, AMOUNT, INTEGER, COUNT = Kind.MONEY, Kind.AMOUNT, Kind.INTEGER, Kind.COUNT


class Need(Enum):
    """Whether a field has to be there, in the terms of wicked-facts 2.1."""

    REQUIRED = "must hold a value"
    PRESENT = "the key must be there, its value may be empty; empty goes out as an empty text"
    OPTIONAL = "may be absent; empty is left out"


REQUIRED, PRESENT, OPTIONAL = Need.REQUIRED, Need.PRESENT, Need.OPTIONAL


@dataclass(slots=True, frozen=True)
class Field:
    """One field on the wire; `limit` counts characters."""

    name: str
    kind: Kind
    limit: int
    need: Need


@dataclass(slots=True, frozen=True)
class Endpoint:
    """One inbound endpoint; its name is also the name of the native stream that feeds it.

    `key` names the fields that tell one row from another for good. Empty means that Wicked knows no id there, and
    only the whole content can tell rows apart. `latest` is the `datatype` of GET /latest (wicked-facts 2.9).
    `rule` checks what one field alone cannot show, on a row whose fields are already checked.
    """

    name: str
    path: str
    fields: tuple[Field, ...]
    key: tuple[str, ...] = ()
    latest: str | None = None
    nested: Mapping[str, tuple[Field, ...]] = field(default_factory=lambda: MappingProxyType({}))
    rule: Callable[[dict[str, Any]], None] | None = None


#: Values of `Timezone` that mean UTC; the field holds 10 characters, its format is not public (wicked-facts 2.8).
UTC_NAMES = frozenset({"UTC", "GMT", "UTC+0", "UTC-0", "UTC+00:00", "GMT+0", "Z", "+00:00"})


def _some_contact(order: dict[str, Any]) -> None:
    """An order needs ContactID or ContactEmail; either may be empty, not both (wicked-facts 2.3)."""
    if not order["ContactID"] and not order["ContactEmail"]:
        raise FieldError("ContactEmail", "required, unless ContactID is given: an order needs one of the two")


def _one_zone(click: dict[str, Any]) -> None:
    """Date_Time is local to Timezone (wicked-facts 2.8), so a zone of its own must be the same one.

    Only UTC is certain: other spellings of Timezone are not documented, and an offset would change with the season.
    """
    if click["Date_Time"].endswith("Z"):
        if click["Timezone"].upper() not in UTC_NAMES:
            raise FieldError("Date_Time", "has a zone of its own, although Timezone says that it is local time")
        click["Date_Time"] = click["Date_Time"][:-1]


NUMBER = NUMBER_LIMIT
WHEN = 19

PRODUCTS = Endpoint(
    name="products",
    path="/products",
    latest="products",
    key=("SourceSystem", "SourceID"),
    fields=(
        Field("SourceSystem", TEXT, 255, REQUIRED),
        Field("SourceID", TEXT, 500, REQUIRED),
        Field("ProductName", TEXT, 500, REQUIRED),
        Field("ProductPrice", MONEY, NUMBER, REQUIRED),
    ),
)

CONTACTS = Endpoint(
    name="contacts",
    path="/contacts",
    latest="contacts",
    key=("SourceSystem", "SourceID"),
    fields=(
        Field("SourceSystem", TEXT, 255, REQUIRED),
        Field("SourceID", TEXT, 500, REQUIRED),
        Field("CreateDate", UTC, WHEN, REQUIRED),
        Field("Email", TEXT, 500, REQUIRED),
        Field("FirstName", TEXT, 500, OPTIONAL),
        Field("LastName", TEXT, 500, OPTIONAL),
        Field("City", TEXT, 500, OPTIONAL),
        Field("State", TEXT, 500, OPTIONAL),
        Field("Country", TEXT, 500, OPTIONAL),
        Field("IP_Address", TEXT, 500, OPTIONAL),
        Field("Phone", TEXT, 500, OPTIONAL),  # [guess] name and limit: known from the CSV upload only
    ),
)

# Lines and payments carry the same fields nested in an order and posted by themselves, but for what names the order.
# The trap is the id of a line: nested it is OrderItemID, by itself SourceID (wicked-facts 2.4).
_LINE = (
    Field("ProductID", TEXT, 500, PRESENT),
    Field("Qty", INTEGER, NUMBER, REQUIRED),
    Field("PPU", MONEY, NUMBER, REQUIRED),
)
_PAYMENT = (
    Field("PaymentDate", UTC, WHEN, REQUIRED),
    Field("Amount", AMOUNT, NUMBER, REQUIRED),  # refunds are positive, too: Status says which way (2.5)
    Field("Status", TEXT, 500, PRESENT),  # any text; empty counts as APPROVED
    Field("Currency", TEXT, 3, OPTIONAL),  # [guess] name: known from the vendor's entity library only
)

ORDERS = Endpoint(
    name="orders",
    path="/orders",
    latest="orders",
    key=("SourceSystem", "SourceID"),
    fields=(
        Field("SourceSystem", TEXT, 255, REQUIRED),
        Field("SourceID", TEXT, 500, REQUIRED),
        Field("CreateDate", UTC, WHEN, REQUIRED),
        Field("ContactID", TEXT, 500, PRESENT),
        Field("ContactEmail", TEXT, 500, PRESENT),
        Field("OrderTotal", MONEY, NUMBER, REQUIRED),
        Field("OrderCurrency", TEXT, 3, OPTIONAL),
        Field("Country", TEXT, 255, OPTIONAL),
        Field("City", TEXT, 255, OPTIONAL),
        Field("State", TEXT, 255, OPTIONAL),
        Field("SubscriptionID", TEXT, 500, OPTIONAL),
        Field("IP_Address", TEXT, 500, OPTIONAL),
    ),
    nested=MappingProxyType(
        {
            "OrderItems": (Field("OrderItemID", TEXT, 500, REQUIRED), *_LINE),
            "OrderPayments": _PAYMENT,
        }
    ),
    rule=_some_contact,
)

ORDER_ITEMS = Endpoint(
    name="order_items",
    path="/orderitems",
    latest="orderitems",
    # OrderID is part of the key, although Wicked may look at the other two only: shops number the lines of an order
    # 1, 2, 3, and line 1 of the next order is not a repetition.
    key=("SourceSystem", "OrderID", "SourceID"),
    fields=(
        Field("SourceSystem", TEXT, 255, REQUIRED),
        Field("OrderID", TEXT, 500, REQUIRED),
        Field("SourceID", TEXT, 500, REQUIRED),
        *_LINE,
    ),
)

ORDER_PAYMENTS = Endpoint(
    name="order_payments",
    path="/orderpayments",
    latest="payments",
    fields=(
        Field("SourceSystem", TEXT, 255, REQUIRED),  # the order's own, not the payment processor's
        Field("OrderID", TEXT, 500, REQUIRED),
        *_PAYMENT,
    ),
)

CLICKS = Endpoint(
    name="clicks",
    path="/clicks",
    fields=(
        Field("Email", TEXT, 255, REQUIRED),
        Field("Date_Time", LOCAL, WHEN, REQUIRED),
        Field("Timezone", TEXT, 10, REQUIRED),
        Field("ConversionType", TEXT, 50, REQUIRED),  # NEW_LEAD is the only public value
        Field("IP_Address", TEXT, 50, OPTIONAL),
        Field("TimeOffset", INTEGER, NUMBER, OPTIONAL),  # minutes taken off Date_Time; may be negative (FAQ)
        Field("Source", TEXT, 500, OPTIONAL),
        Field("Medium", TEXT, 500, OPTIONAL),
        Field("Campaign", TEXT, 500, OPTIONAL),
        Field("Content", TEXT, 500, OPTIONAL),
        Field("Term", TEXT, 500, OPTIONAL),
        Field("OrderID", TEXT, 500, OPTIONAL),
        Field("WickedId", TEXT, 100, OPTIONAL),
        Field("WickedSource", TEXT, 100, OPTIONAL),
    ),
    rule=_one_zone,
)

MARKETING = Endpoint(
    name="marketing",
    path="/marketing",
    fields=(
        Field("Date_Time", UTC, WHEN, REQUIRED),  # [guess] zone: UTC by the general rule
        Field("Clicks", COUNT, NUMBER, REQUIRED),
        Field("Cost", AMOUNT, NUMBER, REQUIRED),
        Field("AdId", TEXT, 500, REQUIRED),
        Field("AccountId", TEXT, 500, REQUIRED),
        Field("Source", TEXT, 500, OPTIONAL),
        Field("Medium", TEXT, 500, OPTIONAL),
        Field("Campaign", TEXT, 500, OPTIONAL),
        Field("Content", TEXT, 500, OPTIONAL),
        Field("Term", TEXT, 500, OPTIONAL),
        Field("SourceSystem", TEXT, 500, OPTIONAL),
        Field("LastUpdatedDate", UTC, WHEN, OPTIONAL),
        Field("ConversionCount", COUNT, NUMBER, OPTIONAL),
        Field("ConversionValue", AMOUNT, NUMBER, OPTIONAL),
        Field("AdStatus", TEXT, 500, OPTIONAL),
        Field("CampaignStatus", TEXT, 500, OPTIONAL),
        Field("AdGroupStatus", TEXT, 500, OPTIONAL),
        Field("AdSetStatus", TEXT, 500, OPTIONAL),
        Field("AdType", TEXT, 500, OPTIONAL),
        Field("CampaignId", TEXT, 500, OPTIONAL),
        Field("AdGroupId", TEXT, 500, OPTIONAL),
    ),
)

#: A changed contact or product may be sent again; of orders and their items Wicked knows no update, so they may not.
UPDATABLE = frozenset({CONTACTS.name, PRODUCTS.name})
#: By name, in load order: products and contacts first, or Wicked does not promise right numbers (wicked-facts 2.1).
ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        endpoint.name: endpoint
        for endpoint in (PRODUCTS, CONTACTS, ORDERS, ORDER_ITEMS, ORDER_PAYMENTS, CLICKS, MARKETING)
    }
)
#: Products, contacts, orders: what a row refers to is sent before it (wicked-facts 2.1).
LOAD_ORDER = tuple(ENDPOINTS)
RANK = {endpoint: rank for rank, endpoint in enumerate(LOAD_ORDER)}
