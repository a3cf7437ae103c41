"""The `mapping` section of the configuration: one frozen model per mapping. The normalizers take these models."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from destination_wicked_reports.api.endpoints import ENDPOINTS
from destination_wicked_reports.config.contact_lookup import ContactLookup, NoLookup, WickedLookup
from destination_wicked_reports.config.fields import NO_SPACES, variant


def _require_group(pattern: str, *names: str) -> str:
    """Return `pattern` if it compiles and has one of these named groups; raise ValueError otherwise."""
    import regex  # here, because most configurations have no patterns and it takes 40 ms

    try:
        groups = regex.compile(pattern).groupindex
    except regex.error as error:
        raise ValueError(f"is not a regular expression ({error.msg})") from None
    if groups.keys().isdisjoint(names):
        raise ValueError(f"needs a named group {' or '.join(f'(?P<{name}>…)' for name in names)}")
    return pattern


class ContactRule(BaseModel):
    """One rule that finds the buyer in the data that the publisher attached to the click."""

    model_config = ConfigDict(title="Contact Rule", extra="forbid", frozen=True)

    field: str = Field(
        title="Field",
        description="The record field to search, as a dotted path. `*` matches every value at its level. "
        "Examples: `sub_ids.*`, `click_metadata.user`, `reference`.",
        examples=["sub_ids.*"],
        min_length=1,
    )
    pattern: str = Field(
        title="Pattern",
        description="A Python regular expression with a named group `contact_id` or `email`. It may match anywhere in "
        "the text.",
        examples=["^(?P<contact_id>U[0-9]+)-"],
        min_length=1,
    )

    @field_validator("field")
    @classmethod
    def _check_field(cls, field: str) -> str:
        path = field.split(".")
        if not all(path) or path[0] == "*":
            raise ValueError("must start with a field name, such as reference or sub_ids.*")
        return field

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str) -> str:
        return _require_group(pattern, "contact_id", "email")


#: An amount as text, so that no form and no parser makes a float of it.
AMOUNT = r"^[0-9]{1,9}(\.[0-9]{1,2})?$"
#: How the SourceID of an order of CPC rows starts.
ROLLUP_PREFIX = "sovrn-cpc-"


class NativeMapping(BaseModel):
    """The streams already use Wicked Reports' field names."""

    model_config = variant("Native")
    guarded: ClassVar[tuple[str, ...]] = ()

    type: Literal["native"] = "native"


class AffiliateMapping(BaseModel):
    """The settings that all affiliate mappings share.

    `guarded` names the settings that change what a sale that was sent is worth; see `ledger/guards.py`.
    """

    model_config = ConfigDict(frozen=True)
    guarded: ClassVar[tuple[str, ...]]

    source_system: str

    revenue_basis: Literal["commission", "sale_amount"] = Field(
        default="commission",
        title="Revenue Basis",
        description="The amount that counts as your revenue: the commission you earn, or the merchant's sale amount.",
    )
    recognize: Literal["pending", "approved"] = Field(
        default="pending",
        title="Recognize Revenue When",
        description="`pending`: send the revenue when the commission first appears, and refund it if the network "
        "declines it later. `approved`: wait for the network's approval, usually 60 to 90 days.",
    )
    contact_rules: list[ContactRule] = Field(
        default_factory=list,
        title="Contact Rules",
        description="How to find the buyer in the click's data. The first rule that matches wins. Wicked Reports "
        "attributes revenue to contacts, and affiliate networks don't identify the buyer.",
    )
    without_contact: Literal["skip", "synthetic"] = Field(
        default="skip",
        title="Commissions Without a Contact",
        description="What to do if no contact rule matches. `skip`: don't send the commission; the log shows how many "
        "were skipped. `synthetic`: create one contact per click, with an address at the reserved domain .invalid, "
        "which never receives mail.",
    )
    contact_lookup: ContactLookup = Field(
        default_factory=NoLookup,
        title="Contact Lookup",
        description="Where to find the email address of a contact id. Wicked Reports joins clicks, contacts and orders "
        "by email address, so an order with an id alone is likely to stay without a person.",
        json_schema_extra={"default": {"type": "none"}},
    )
    contact_source_system: str = Field(
        default="",
        title="Contact Source System",
        description="The SourceSystem under which your contacts are in Wicked Reports. Required for the lookup "
        "`wicked`: an address counts only if the contact has this SourceSystem and the id as its SourceID.",
        max_length=255,
    )
    contact_lookup_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        title="Days an Address Is Kept",
        description="After so many days, the lookup `wicked` asks again for an address that the ledger stores.",
    )
    contact_lookup_wait_days: int = Field(
        default=3,
        ge=0,
        le=90,
        title="Days an Order Waits for an Address",
        description="An order whose contact id is not found waits in the ledger for so many days, and is then sent "
        "with the id alone.",
    )
    on_reinstatement: Literal["new_order", "skip"] = Field(
        default="new_order",
        title="Reinstated Commissions",
        description="What to do if a commission is reinstated after it was declined or refunded. Wicked Reports cannot "
        "undo a refund. `new_order`: send the commission as a new order. `skip`: don't send it.",
    )

    smallest_change: str = Field(
        default="0",
        title="Smallest Change",
        description="A change of a commission below this amount waits until differences add up to it. It never holds "
        "back a first order or a fall to zero. `0`: send every change.",
        pattern=AMOUNT,
        examples=["0.50"],
    )

    @model_validator(mode="after")
    def _require_system(self) -> AffiliateMapping:
        if isinstance(self.contact_lookup, WickedLookup) and not self.contact_source_system.strip():
            raise ValueError(
                "contact_lookup `wicked` needs contact_source_system: the SourceSystem under which your contacts are "
                "in Wicked Reports"
            )
        return self

    @property
    def contact_settings(self) -> str:
        """The settings that decide who bought, as text that is equal if they are."""
        return self.model_dump_json(include={"contact_rules", "contact_lookup", "without_contact"})


class WecantrackMapping(AffiliateMapping):
    """Sends the `transactions` stream of source-wecantrack as orders and payments."""

    model_config = variant("wecantrack")
    guarded: ClassVar[tuple[str, ...]] = ("revenue_basis", "recognize", "currency")

    type: Literal["wecantrack"] = "wecantrack"
    source_system: str = Field(
        default="wecantrack",
        title="Source System",
        description="The SourceSystem of these orders in Wicked Reports, without spaces. Don't change it after the "
        "first sync: see Accept Change.",
        pattern=NO_SPACES,
        max_length=255,
    )
    currency: Literal["transaction", "euro"] = Field(
        default="transaction",
        title="Currency",
        description="`transaction`: send each amount in its own currency. `euro`: send the amounts that wecantrack "
        "converted to EUR, so that amounts in several currencies add up.",
    )
    exclude_networks: list[str] = Field(
        default_factory=list,
        title="Excluded Networks",
        description="Networks whose sales another connection already sends, such as Sovrn: network ids or network "
        "account ids. Prefer account ids, since wecantrack does not always send the network id.",
    )


class SovrnMapping(AffiliateMapping):
    """Sends the `transactions` stream of source-sovrn as orders and payments."""

    model_config = variant("Sovrn Commerce")
    guarded: ClassVar[tuple[str, ...]] = ("revenue_basis", "order_currency", "cpc")

    type: Literal["sovrn"] = "sovrn"
    #: Has no effect: Sovrn reports no status, so a commission counts when it first appears. No form shows it.
    recognize: SkipJsonSchema[Literal["pending", "approved"]] = "pending"
    source_system: str = Field(
        default="sovrn",
        title="Source System",
        description="The SourceSystem of these orders in Wicked Reports, without spaces. Don't change it after the "
        "first sync: see Accept Change.",
        pattern=NO_SPACES,
        max_length=255,
    )
    order_currency: str = Field(
        default="USD",
        title="Order Currency",
        description="The currency of your Sovrn earnings, as a three-letter code. Sovrn's reports do not include it.",
        pattern=r"^[A-Z]{3}$",
    )
    cpc: Literal["skip", "rollup"] = Field(
        default="skip",
        title="CPC Clicks",
        description="Rows that pay per click, each worth a fraction of a cent. `skip`: don't send them; the log shows "
        "how many were skipped. `rollup`: add them up to one order per day, campaign, page UTMs and merchant, sent "
        "once the day is more than 5 days old.",
    )
    cpc_smallest_change: str = Field(
        default="1.00",
        title="Smallest CPC Growth",
        description="With `rollup`: growth of an order that was sent waits until it is worth this amount, or until 30 "
        "days have passed since the order's last payment.",
        pattern=AMOUNT,
    )
    exclude_networks: list[str] = Field(
        default_factory=list,
        title="Excluded Networks",
        description="Names of networks connected to Sovrn whose sales source-wecantrack already delivers.",
    )

    @field_validator("exclude_networks")
    @classmethod
    def _keep_sovrn(cls, networks: list[str]) -> list[str]:
        if "sovrn" in {network.strip().casefold() for network in networks}:
            raise ValueError(
                "must not include Sovrn itself, or no Sovrn sale would be sent; exclude it in the wecantrack mapping"
            )
        return networks


class SubscriptionRule(BaseModel):
    """One rule that finds the subscription id of an order. BigCommerce itself has no subscriptions."""

    model_config = ConfigDict(title="Subscription Rule", extra="forbid", frozen=True)

    field: str = Field(
        title="Field",
        description="The order field that your subscription app writes to, as a dotted path. `*` matches every value "
        "at its level.",
        examples=["external_id", "staff_notes"],
        pattern=r"^[^.*][^.]*(\.[^.]+)*$",
    )
    pattern: str = Field(
        title="Pattern",
        description="A Python regular expression with a named group `subscription_id`. The id must be the same on the "
        "subscription's first order and on every rebill.",
        examples=["^(?P<subscription_id>SUB-[0-9]+)"],
        min_length=1,
    )

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str) -> str:
        return _require_group(pattern, "subscription_id")


class BigcommerceMapping(BaseModel):
    """Sends the streams of Airbyte's source-bigcommerce as contacts, products, orders, order items and payments."""

    model_config = variant("BigCommerce")
    guarded: ClassVar[tuple[str, ...]] = ("order_total", "currency")

    type: Literal["bigcommerce"] = "bigcommerce"
    source_system: str = Field(
        default="BigCommerce",
        title="Source System",
        description="The SourceSystem of this shop in Wicked Reports, without spaces. Give each shop its own name, and "
        "don't change it after the first sync: see Accept Change. Disable Wicked Reports' own BigCommerce integration, "
        "or every order counts twice.",
        pattern=NO_SPACES,
        max_length=255,
    )
    order_total: Literal["total_inc_tax", "total_ex_tax"] = Field(
        default="total_inc_tax",
        title="Order Total",
        description="Whether revenue includes tax. With `total_ex_tax`, payments and refunds are reduced by the "
        "order's share of tax.",
    )
    currency: Literal["order", "store"] = Field(
        default="order",
        title="Currency",
        description="`order`: send each order in the currency it was paid in. `store`: convert it to the store's "
        "currency at the order's exchange rate.",
    )
    bundled_lines: Literal["skip", "keep"] = Field(
        default="skip",
        title="Items Inside Bundles",
        description="`skip`: send a bundle as one item. `keep`: also send the items inside it.",
    )
    subscription_rules: list[SubscriptionRule] = Field(
        default_factory=list,
        title="Subscription Rules",
        description="Where to find the subscription id of an order, so that Wicked Reports can link the rebills. The "
        "first rule that matches wins.",
    )


def _field_properties() -> dict[str, Any]:
    """Return one text property per field of any endpoint; its description lists the endpoints that have the field."""
    endpoints_by_field: dict[str, list[str]] = {}
    for endpoint in ENDPOINTS.values():
        for field in endpoint.fields:
            required = " (required)" if field.need.name == "REQUIRED" else ""
            endpoints_by_field.setdefault(field.name, []).append(f"{endpoint.name}{required}")
    return {
        name: {"title": name, "type": "string", "description": f"JMESPath expression. For {', '.join(endpoints)}."}
        for name, endpoints in endpoints_by_field.items()
    }


class CustomStream(BaseModel):
    """Maps one stream to one endpoint. A stream may have several entries."""

    model_config = ConfigDict(title="Stream", extra="forbid", frozen=True)

    stream: str = Field(
        title="Stream", description="The name of the source's stream.", examples=["invoices"], min_length=1
    )
    namespace: str = Field(
        default="",
        title="Namespace",
        description="Limits the entry to the stream of this namespace. If empty, streams of every namespace match.",
    )
    endpoint: Literal["products", "contacts", "orders", "order_items", "order_payments", "clicks", "marketing"] = Field(
        title="Endpoint", description="The Wicked Reports endpoint that receives the rows."
    )
    for_each: str = Field(
        default="",
        title="For Each",
        description="A JMESPath expression that returns a list. Each element becomes one row. The other expressions "
        "then see `item`, `position` (1, 2, 3, …) and `record`.",
        examples=["lines"],
    )
    filter: str = Field(
        default="",
        title="Filter",
        description="A JMESPath expression. A row is skipped if the result is false, null or empty.",
        examples=["status == 'paid'"],
    )
    fields: dict[str, str] = Field(
        title="Fields",
        description="One JMESPath expression per Wicked Reports field. Put constants in single quotes: 'shop'. In "
        "addition to the JMESPath built-ins, you can use utc, money, lower, trim, concat, regex, parse and coalesce.",
        examples=[{"SourceSystem": "'shop'", "SourceID": "id", "Email": "lower(email)"}],
        json_schema_extra={"properties": _field_properties()},
        min_length=1,
    )


class CustomMapping(BaseModel):
    """Sends any stream to any endpoint, mapped by JMESPath expressions."""

    model_config = variant("Custom")
    guarded: ClassVar[tuple[str, ...]] = ()

    type: Literal["custom"] = "custom"
    streams: list[CustomStream] = Field(title="Streams", description="One entry per stream and endpoint.", min_length=1)


Mapping = Annotated[
    NativeMapping | WecantrackMapping | SovrnMapping | BigcommerceMapping | CustomMapping, Field(discriminator="type")
]
