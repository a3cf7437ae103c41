"""The seven inbound endpoints of Wicked Reports as data: path, fields, keys, load order.

Source: docs/vendors/wicked-reports.md 2.2 to 2.8. [guess] marks what no vendor text states; such a field is sent only
if the input has it.
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
MONEY, AMOUNT, TOTAL, INTEGER, COUNT = Kind.MONEY, Kind.AMOUNT, Kind.TOTAL, Kind.INTEGER, Kind.COUNT


class Need(Enum):
    """Whether a field must be present (docs/vendors/wicked-reports.md 2.1)."""

    REQUIRED = "must hold a value"
    PRESENT = "must be present, may be empty; an empty value is sent as empty text"
    OPTIONAL = "may be absent; an empty value is left out"


REQUIRED, PRESENT, OPTIONAL = Need.REQUIRED, Need.PRESENT, Need.OPTIONAL


@dataclass(slots=True, frozen=True)
class Field:
    """One field; `limit` is its maximum length in characters."""

    name: str
    kind: Kind
    limit: int
    need: Need


@dataclass(slots=True, frozen=True)
class Endpoint:
    """One inbound endpoint; its name is also the name of the native stream that feeds it.

    `key` names the fields that identify a row. It is empty where Wicked has no id and rows differ by their whole
    content only. `latest` is the `datatype` of GET /latest (docs/vendors/wicked-reports.md 2.9). `rule` checks a row
    across fields, after each field was checked; it may normalize the row and raises FieldError.
    """

    name: str
    path: str
    fields: tuple[Field, ...]
    key: tuple[str, ...] = ()
    latest: str | None = None
    nested: Mapping[str, tuple[Field, ...]] = field(default_factory=lambda: MappingProxyType({}))
    rule: Callable[[dict[str, Any]], None] | None = None


#: Values of `Timezone` that mean UTC; at most 10 characters, format not public (docs/vendors/wicked-reports.md 2.8).
UTC_NAMES = frozenset({"UTC", "GMT", "UTC+0", "UTC-0", "UTC+00:00", "GMT+0", "Z", "+00:00"})


def _some_contact(order: dict[str, Any]) -> None:
    """Require ContactID or ContactEmail (docs/vendors/wicked-reports.md 2.3)."""
    if not order["ContactID"] and not order["ContactEmail"]:
        raise FieldError("ContactEmail", "required unless ContactID is given: an order needs one of the two")


def _one_zone(click: dict[str, Any]) -> None:
    """Accept a Date_Time with a zone only if Timezone is UTC: Date_Time is local time in Timezone.

    Other values of Timezone are not documented (docs/vendors/wicked-reports.md 2.8), and an offset changes with the
    season.
    """
    if click["Date_Time"].endswith("Z"):
        if click["Timezone"].upper() not in UTC_NAMES:
            raise FieldError("Date_Time", "has a time zone, which is accepted only if Timezone is UTC: send local time")
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

# Items and payments have the same fields nested in an order and posted alone, except those that name the order.
# One exception: the id of an item is OrderItemID when nested and SourceID alone (docs/vendors/wicked-reports.md 2.4).
_ITEM = (
    Field("ProductID", TEXT, 500, PRESENT),
    Field("Qty", INTEGER, NUMBER, REQUIRED),
    Field("PPU", MONEY, NUMBER, REQUIRED),
)
_PAYMENT = (
    Field("PaymentDate", UTC, WHEN, REQUIRED),
    Field("Amount", AMOUNT, NUMBER, REQUIRED),  # positive for refunds too (docs/vendors/wicked-reports.md 2.5)
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
        Field("OrderTotal", TOTAL, NUMBER, REQUIRED),
        Field("OrderCurrency", TEXT, 3, OPTIONAL),
        Field("Country", TEXT, 255, OPTIONAL),
        Field("City", TEXT, 255, OPTIONAL),
        Field("State", TEXT, 255, OPTIONAL),
        Field("SubscriptionID", TEXT, 500, OPTIONAL),
        Field("IP_Address", TEXT, 500, OPTIONAL),
    ),
    nested=MappingProxyType(
        {
            "OrderItems": (Field("OrderItemID", TEXT, 500, REQUIRED), *_ITEM),
            "OrderPayments": _PAYMENT,
        }
    ),
    rule=_some_contact,
)

ORDER_ITEMS = Endpoint(
    name="order_items",
    path="/orderitems",
    latest="orderitems",
    # Shops number the items of each order 1, 2, 3, so SourceID alone would make item 1 of the next order a duplicate.
    # Wicked may ignore OrderID here.
    key=("SourceSystem", "OrderID", "SourceID"),
    fields=(
        Field("SourceSystem", TEXT, 255, REQUIRED),
        Field("OrderID", TEXT, 500, REQUIRED),
        Field("SourceID", TEXT, 500, REQUIRED),
        *_ITEM,
    ),
)

ORDER_PAYMENTS = Endpoint(
    name="order_payments",
    path="/orderpayments",
    latest="payments",
    fields=(
        Field("SourceSystem", TEXT, 255, REQUIRED),  # that of the order, not of the payment processor
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
        Field("TimeOffset", INTEGER, NUMBER, OPTIONAL),  # minutes subtracted from Date_Time; may be negative
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

#: Optional fields that say what other fields of the row mean: 100 without its currency is another amount. An invalid
#: value of another optional field only costs the field.
DECISIVE = frozenset({"OrderCurrency", "Currency", "TimeOffset"})
#: Contacts and products may be sent again when they change; Wicked has no update for orders and items.
UPDATABLE = frozenset({CONTACTS.name, PRODUCTS.name})
#: By name, in load order: products, contacts and orders must be sent in this order
#: (docs/vendors/wicked-reports.md 2.1).
ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        endpoint.name: endpoint
        for endpoint in (PRODUCTS, CONTACTS, ORDERS, ORDER_ITEMS, ORDER_PAYMENTS, CLICKS, MARKETING)
    }
)
LOAD_ORDER = tuple(ENDPOINTS)
RANK = {endpoint: rank for rank, endpoint in enumerate(LOAD_ORDER)}
