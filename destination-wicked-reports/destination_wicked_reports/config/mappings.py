"""What a user can say about each source system: the `mapping` part of the configuration, one model per mapping."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from destination_wicked_reports.api.endpoints import ENDPOINTS


def choice(title: str) -> ConfigDict:
    """Return the settings of a model that is one of several, told apart by `type`."""
    return ConfigDict(title=title, extra="forbid")


def _with_group(pattern: str, *names: str) -> str:
    """Return a regular expression that has one of these named groups; raises ValueError for any other text."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"is not a regular expression ({error.msg})") from None
    if groups.keys().isdisjoint(names):
        raise ValueError(f"needs a named group {' or '.join(f'(?P<{name}>…)' for name in names)}")
    return pattern


class ContactRule(BaseModel):
    """One rule that finds the person behind a commission in what the publisher put on the click."""

    model_config = ConfigDict(title="Contact Rule")

    field: str = Field(
        title="Field",
        description="Where to look, with dots and an optional star: `sub_ids.*`, `click_metadata.user`, `reference`.",
        examples=["sub_ids.*"],
        min_length=1,
    )
    pattern: str = Field(
        title="Pattern",
        description="A regular expression with a named group `contact_id` or `email`.",
        examples=["^(?P<contact_id>U[0-9]+)-"],
        min_length=1,
    )

    @field_validator("pattern")
    @classmethod
    def _names_a_person(cls, pattern: str) -> str:
        return _with_group(pattern, "contact_id", "email")


class NativeMapping(BaseModel):
    """Streams that already carry Wicked's own field names."""

    model_config = choice("Native")

    type: Literal["native"] = "native"


class AffiliateMapping(BaseModel):
    """What every affiliate network's mapping lets a user decide (DESIGN.md section 5)."""

    source_system: str

    revenue_basis: Literal["commission", "sale_amount"] = Field(
        default="commission",
        title="Revenue Basis",
        description="What counts as your revenue: the commission you earn, or the merchant's sale amount.",
    )
    recognize: Literal["pending", "approved"] = Field(
        default="pending",
        title="Recognize Revenue When",
        description="`pending` counts a commission when it appears and takes it back if it is declined; "
        "`approved` waits for the network's approval, usually 60 to 90 days.",
    )
    contact_rules: list[ContactRule] = Field(
        default_factory=list,
        title="Contact Rules",
        description="How to find the person in the click's data, tried in order. Wicked attributes revenue to people.",
    )
    without_contact: Literal["skip", "synthetic"] = Field(
        default="skip",
        title="Without a Contact",
        description="When no rule finds a person: `skip` the commission (it is counted in the log), or make one "
        "`synthetic` contact for the click behind it, at the reserved domain .invalid, which can never be mailed.",
    )
    on_reinstatement: Literal["new_order", "skip"] = Field(
        default="new_order",
        title="Declined Commission Comes Back",
        description="Wicked cannot undo a refund: send the revived commission as a `new_order`, or `skip` it.",
    )

    @property
    def measure(self) -> str:
        """Return what the amounts in the ledger are measured by, and so must stay."""
        return self.revenue_basis


class WecantrackMapping(AffiliateMapping):
    """The `transactions` stream of source-wecantrack as orders and payments."""

    model_config = choice("wecantrack")

    type: Literal["wecantrack"] = "wecantrack"
    source_system: str = Field(
        default="wecantrack",
        title="Source System",
        description="The name of the origin in Wicked Reports, one word. Do not change it after the first sync.",
        pattern=r"^\S+$",
        max_length=255,
    )
    currency: Literal["transaction", "euro"] = Field(
        default="transaction",
        title="Currency",
        description="`transaction` sends each amount in its own currency and names it; `euro` sends wecantrack's "
        "conversion, so that networks in several currencies add up.",
    )
    exclude_networks: list[str] = Field(
        default_factory=list,
        title="Excluded Networks",
        description="Networks whose sales another source brings, such as Sovrn's: ids of networks or, because "
        "wecantrack does not always send those, of network accounts.",
    )


class SovrnMapping(AffiliateMapping):
    """The `transactions` stream of source-sovrn as orders and payments."""

    model_config = choice("Sovrn Commerce")

    type: Literal["sovrn"] = "sovrn"
    recognize: Literal["pending", "approved"] = Field(
        default="pending",
        title="Recognize Revenue When",
        description="Has no effect here: Sovrn reports no status, so a commission counts when it appears.",
        json_schema_extra={"airbyte_hidden": True},
    )
    source_system: str = Field(
        default="sovrn",
        title="Source System",
        description="The name of the origin in Wicked Reports, one word. Do not change it after the first sync.",
        pattern=r"^\S+$",
        max_length=255,
    )
    order_currency: str = Field(
        default="USD",
        title="Order Currency",
        description="Sovrn names no currency. Dollars are inferred from how it pays; change it if you know better.",
        pattern=r"^[A-Z]{3}$",
    )
    cpc: Literal["skip", "rollup"] = Field(
        default="skip",
        title="Clicks Paid by the Click",
        description="Rows worth fractions of a cent: `skip` them (they are counted in the log), or `rollup` them into "
        "one order per day, campaign, page UTM and merchant, sent when the day is older than 5 days.",
    )
    exclude_networks: list[str] = Field(
        default_factory=list,
        title="Excluded Networks",
        description="Networks connected to Sovrn, by name, to leave out because source-wecantrack delivers the same "
        "sales.",
    )

    @field_validator("exclude_networks")
    @classmethod
    def _leaves_sovrn(cls, networks: list[str]) -> list[str]:
        if "sovrn" in {network.strip().casefold() for network in networks}:
            raise ValueError(
                "cannot name Sovrn itself, which would leave nothing of its own; exclude it in wecantrack's mapping"
            )
        return networks


class SubscriptionRule(BaseModel):
    """One rule that finds an order's subscription, of which BigCommerce itself knows nothing."""

    model_config = ConfigDict(title="Subscription Rule")

    field: str = Field(
        title="Field",
        description="The order's field that your subscription app writes to, with dots and an optional star.",
        examples=["external_id", "staff_notes"],
        pattern=r"^[^.*][^.]*(\.[^.]+)*$",
    )
    pattern: str = Field(
        title="Pattern",
        description="A regular expression with a named group `subscription_id`, the same on a subscription's first "
        "order and on every rebill.",
        examples=["^(?P<subscription_id>SUB-[0-9]+)"],
        min_length=1,
    )

    @field_validator("pattern")
    @classmethod
    def _names_a_subscription(cls, pattern: str) -> str:
        return _with_group(pattern, "subscription_id")


class BigcommerceMapping(BaseModel):
    """The streams of Airbyte's source-bigcommerce as contacts, products, orders, their lines and payments."""

    model_config = choice("BigCommerce")

    type: Literal["bigcommerce"] = "bigcommerce"
    source_system: str = Field(
        default="BigCommerce",
        title="Source System",
        description="The name of the shop in Wicked Reports, one word; each shop its own. Do not change it after the "
        "first sync. Switch Wicked's own BigCommerce integration off, or every order counts twice.",
        pattern=r"^\S+$",
        max_length=255,
    )
    order_total: Literal["total_inc_tax", "total_ex_tax"] = Field(
        default="total_inc_tax",
        title="Order Total",
        description="Whether revenue has its tax in it. Without tax, payments and refunds count by the order's share.",
    )
    currency: Literal["order", "store"] = Field(
        default="order",
        title="Currency",
        description="`order` sends each order in the currency it was paid in, and names it; `store` converts to the "
        "store's own by the exchange rate of the order.",
    )
    bundled_lines: Literal["skip", "keep"] = Field(
        default="skip",
        title="Lines Inside Bundles",
        description="`skip` sends a bundle as one line; `keep` sends the lines inside it, too.",
    )
    subscription_rules: list[SubscriptionRule] = Field(
        default_factory=list,
        title="Subscription Rules",
        description="Where an order names its subscription, tried in order, so that Wicked can chain the rebills.",
    )

    @property
    def measure(self) -> str:
        """Return what the amounts in the ledger are measured by, and so must stay."""
        return f"{self.order_total} in the currency of the {self.currency}"


def _field_properties() -> dict[str, Any]:
    """Return a text input per field of any endpoint; its description says of which, and where it is required."""
    users: dict[str, list[str]] = {}
    for endpoint in ENDPOINTS.values():
        for field in endpoint.fields:
            need = " (required)" if field.need.name == "REQUIRED" else ""
            users.setdefault(field.name, []).append(f"{endpoint.name}{need}")
    return {
        name: {"title": name, "type": "string", "description": f"JMESPath. Of {', '.join(endpoints)}."}
        for name, endpoints in users.items()
    }


class CustomStream(BaseModel):
    """One entry: a stream, an endpoint, and how each row is made. A stream may have several entries."""

    model_config = ConfigDict(title="Stream", extra="forbid")

    stream: str = Field(
        title="Stream", description="The name of the source's stream.", examples=["invoices"], min_length=1
    )
    namespace: str = Field(
        default="",
        title="Namespace",
        description="Only the stream of this namespace. Empty: of every namespace.",
    )
    endpoint: Literal["products", "contacts", "orders", "order_items", "order_payments", "clicks", "marketing"] = Field(
        title="Endpoint", description="Where the rows go in Wicked Reports."
    )
    for_each: str = Field(
        default="",
        title="For Each",
        description="A JMESPath expression that gives a list: one row per element. The other expressions then see "
        "`item`, `position` (1, 2, 3, …) and `record`.",
        examples=["lines"],
    )
    filter: str = Field(
        default="",
        title="Filter",
        description="A JMESPath expression; rows for which it gives false, null or something empty are left out.",
        examples=["status == 'paid'"],
    )
    fields: dict[str, str] = Field(
        title="Fields",
        description="A JMESPath expression per field of Wicked's. A constant stands in single quotes: 'shop'. Besides "
        "JMESPath's own functions there are utc, money, lower, concat, regex and coalesce.",
        examples=[{"SourceSystem": "'shop'", "SourceID": "id", "Email": "lower(email)"}],
        json_schema_extra={"properties": _field_properties()},
        min_length=1,
    )


class CustomMapping(BaseModel):
    """Any stream to any endpoint, by expressions."""

    model_config = ConfigDict(title="Custom", extra="forbid")

    type: Literal["custom"] = "custom"
    streams: list[CustomStream] = Field(title="Streams", description="One entry per stream and endpoint.", min_length=1)


Mapping = Annotated[
    NativeMapping | WecantrackMapping | SovrnMapping | BigcommerceMapping | CustomMapping, Field(discriminator="type")
]
