"""What a user can say about each source system: the `mapping` part of the configuration, one model per mapping."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


def choice(title: str) -> ConfigDict:
    """Return the settings of a model that is one of several, told apart by `type`."""
    return ConfigDict(title=title, extra="forbid")


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
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"is not a regular expression ({error.msg})") from None
        if not groups.keys() & {"contact_id", "email"}:
            raise ValueError("needs a named group (?P<contact_id>…) or (?P<email>…)")
        return pattern


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
    recognise: Literal["pending", "approved"] = Field(
        default="pending",
        title="Recognise Revenue When",
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
    on_revival: Literal["new_order", "skip"] = Field(
        default="new_order",
        title="Declined Commission Comes Back",
        description="Wicked cannot undo a refund: send the revived commission as a `new_order`, or `skip` it.",
    )


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
    recognise: Literal["pending", "approved"] = Field(
        default="pending",
        title="Recognise Revenue When",
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


Mapping = Annotated[NativeMapping | WecantrackMapping | SovrnMapping, Field(discriminator="type")]
