"""The configuration as typed models; `spec.json` is made from them by `make spec`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

PRODUCTION_URL = "https://api.wickedreports.com"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1"})


class ConfigurationError(ValueError):
    """The configuration cannot work; the message says which key and what to do, and quotes no value."""


def _choice(title: str) -> ConfigDict:
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

    model_config = _choice("Native")

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

    model_config = _choice("wecantrack")

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

    model_config = _choice("Sovrn Commerce")

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


class SqliteLedger(BaseModel):
    """A file on this machine."""

    model_config = _choice("SQLite file")

    type: Literal["sqlite"] = "sqlite"
    path: str = Field(
        default="",
        title="Path",
        description="Where the ledger lies. Empty: /local/wicked-reports/ledger.sqlite where Airbyte mounts /local, "
        "else the user's data folder. It must outlive the container: it keeps commissions from being sent twice.",
        examples=["/local/wicked-reports/ledger.sqlite"],
    )


class NoLedger(BaseModel):
    """Nothing is remembered after the run."""

    model_config = _choice("None")

    type: Literal["none"] = "none"


Mapping = Annotated[NativeMapping | WecantrackMapping | SovrnMapping, Field(discriminator="type")]
LedgerChoice = Annotated[SqliteLedger | NoLedger, Field(discriminator="type")]


class Config(BaseModel):
    """Everything a user can set; every default serves most people."""

    model_config = ConfigDict(title="Wicked Reports Destination Spec", extra="allow")

    api_key: str = Field(
        title="API Key",
        description="In Wicked Reports, open Authorizations and enable the Contact or Order API card to see the key.",
        min_length=1,
        json_schema_extra={"airbyte_secret": True, "order": 0},
    )
    test_mode: bool = Field(
        default=False,
        title="Test Mode",
        description="Send everything to Wicked's test store: visible in the API verification tool, never in reports.",
        json_schema_extra={"order": 1},
    )
    mapping: Mapping = Field(
        default_factory=NativeMapping,
        title="Mapping",
        description="Which source the streams come from, and how its records become rows in Wicked Reports.",
        json_schema_extra={"order": 2},
    )
    ledger: LedgerChoice = Field(
        default_factory=SqliteLedger,
        title="Ledger",
        description="The memory of what was sent, so that nothing is sent twice and later changes become payments.",
        json_schema_extra={"order": 3},
    )
    on_rejected_record: Literal["fail_at_end", "skip", "fail_fast"] = Field(
        default="fail_at_end",
        title="On a Rejected Record",
        description="Rejected rows always go to the dead-letter file. `fail_at_end`: deliver everything good, then "
        "fail the sync so that somebody looks; `skip`: succeed; `fail_fast`: stop at the first.",
        json_schema_extra={"order": 4},
    )
    rejected_records_path: str = Field(
        default="",
        title="Rejected Records Path",
        description="The dead-letter file, JSON lines. Empty: rejected_records.jsonl beside the ledger.",
        json_schema_extra={"order": 5},
    )
    batch_rows: int = Field(
        default=1000,
        ge=1,
        le=1000,
        title="Rows per Request",
        description="Wicked Reports takes at most 1,000 rows (10 MB) in one request.",
        json_schema_extra={"order": 6},
    )
    max_requests_in_flight: int = Field(
        default=4,
        ge=1,
        le=32,
        title="Requests in Flight",
        description="How many requests may wait for Wicked's answer at once.",
        json_schema_extra={"order": 7},
    )
    api_url: str = Field(
        default=PRODUCTION_URL,
        title="API URL",
        description="For tests against the simulator; https, or http to localhost only.",
        json_schema_extra={"airbyte_hidden": True, "order": 8},
    )
    new_api_key: bool = Field(
        default=False,
        title="The API Key Was Renewed",
        description="Set this once after renewing the key of the same Wicked account, so that its ledger is kept.",
        json_schema_extra={"order": 9},
    )

    @field_validator("api_url")
    @classmethod
    def _https_or_loopback(cls, url: str) -> str:
        parts = urlsplit(url)
        if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS)):
            raise ValueError("must be https, or http to localhost or 127.0.0.1, so that the key never travels in clear")
        return url.rstrip("/")

    @classmethod
    def parse(cls, raw: Any) -> Config:
        """Validate a configuration; the error names keys and rules, never values."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            faults = (
                f"{'.'.join(map(str, fault['loc'])) or 'config'}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors(include_input=False, include_context=False, include_url=False)
            )
            raise ConfigurationError("The configuration cannot be used. " + "; ".join(faults)) from None


def connection_specification() -> dict[str, Any]:
    """Return the JSON schema in Airbyte's form: no references, `oneOf` with a constant `type`."""
    schema = Config.model_json_schema(mode="validation")
    definitions = schema.pop("$defs")

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            # Some UIs show the model's docstring where a field of that type has its own words: the field's win.
            return {
                **inline(definitions[node["$ref"].rpartition("/")[2]]),
                **{k: v for k, v in node.items() if k != "$ref"},
            }
        node = {
            key: inline(value) for key, value in node.items() if key not in {"discriminator", "additionalProperties"}
        }
        if "oneOf" in node:
            node["type"] = "object"
        if "const" in node:
            node["type"] = "string"
        if "type" in node.get("properties", {}) and "const" in node["properties"]["type"]:
            node["required"] = ["type", *node.get("required", [])]
        return node

    inlined: dict[str, Any] = inline(schema)
    inlined["$schema"] = "http://json-schema.org/draft-07/schema#"
    inlined["additionalProperties"] = True
    inlined["properties"]["mapping"]["default"] = {"type": "native"}
    inlined["properties"]["ledger"]["default"] = {"type": "sqlite"}
    return inlined


def specification() -> dict[str, Any]:
    """Return the whole SPEC payload."""
    return {
        "documentationUrl": "https://docs.airbyte.com/integrations/destinations/wicked-reports",
        "connectionSpecification": connection_specification(),
        "supportsIncremental": True,
        "supportsNormalization": False,
        "supportsDBT": False,
        "supported_destination_sync_modes": ["append", "append_dedup"],
    }
