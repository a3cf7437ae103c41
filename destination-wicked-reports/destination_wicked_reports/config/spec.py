"""The configuration as typed models. `make spec` generates `spec.json` from them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from destination_wicked_reports.base.errors import injected_key
from destination_wicked_reports.config.changes import SettingChange, parse_change
from destination_wicked_reports.config.faults import describe_faults
from destination_wicked_reports.config.fields import FilePath, variant
from destination_wicked_reports.config.mappings import Mapping, NativeMapping
from destination_wicked_reports.config.urls import parse_url
from destination_wicked_reports.errors import ConfigurationError

PRODUCTION_URL = "https://api.wickedreports.com"
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+").fullmatch
#: No credentials, no query, and plain HTTP to this machine only. The sources apply the same rule.
_SAFE_URL = re.compile(
    r"https://[^\s/?#@\\]+(/[^\s?#]*)?"
    r"|http://(localhost|127\.0\.0\.1)(:\d+)?(/[^\s?#]*)?"  # ignore-https-check: this machine only
).fullmatch


class SqliteLedger(BaseModel):
    """A SQLite file on this machine."""

    model_config = variant("SQLite file")

    type: Literal["sqlite"] = "sqlite"
    path: FilePath = Field(
        default="",
        title="Path",
        description="The ledger file, as an absolute path. If empty: /local/wicked-reports/ledger.sqlite if /local is "
        "a writable folder, as Airbyte mounts it, otherwise the user's data folder. The file must outlive the "
        "container, or rows are sent twice.",
        examples=["/local/wicked-reports/ledger.sqlite"],
    )


class PostgresLedger(BaseModel):
    """A PostgreSQL database, which any number of connections can share. Use it on Kubernetes and in Airbyte Cloud."""

    model_config = variant("PostgreSQL")

    type: Literal["postgres"] = "postgres"
    url: str = Field(
        title="URL",
        description="The connection URL, including user, password and database. Enable TLS in the URL: "
        "`?sslmode=verify-full&sslrootcert=…`. Connect directly or through a pooler in session mode.",
        examples=["postgresql://user:password@postgres:5432/wicked?sslmode=require"],
        json_schema_extra={"airbyte_secret": True},
    )
    schema_name: str = Field(
        default="wicked_reports",
        alias="schema",
        title="Schema",
        description="The schema for the ledger's tables, created if it does not exist. Connections to the same Wicked "
        "Reports account share one schema; each account needs its own.",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parse_url(url)
        return url


class NoLedger(BaseModel):
    """Keeps no record of what was sent. Rows that are read again are sent again, so payments, clicks and marketing rows
    count twice, and a changed commission is sent as a new order. For a one-time load only.
    """

    model_config = variant("None")

    type: Literal["none"] = "none"


LedgerChoice = Annotated[SqliteLedger | PostgresLedger | NoLedger, Field(discriminator="type")]


class Config(BaseModel):
    """The configuration of the destination."""

    model_config = ConfigDict(title="Wicked Reports Destination Spec", extra="allow", frozen=True)

    api_key: str = Field(
        title="API Key",
        description="In Wicked Reports, open Authorizations and enable the Contact or Order API card to see the key.",
        min_length=1,
        json_schema_extra={"airbyte_secret": True, "order": 0},
    )
    test_mode: bool = Field(
        default=False,
        title="Test Mode",
        description="Send all rows to the test store of Wicked Reports. They show in the API verification tool, never "
        "in reports.",
        json_schema_extra={"order": 1},
    )
    mapping: Mapping = Field(
        default_factory=NativeMapping,
        title="Mapping",
        description="The source of the streams, and how its records become rows in Wicked Reports.",
        json_schema_extra={"order": 2},
    )
    ledger: LedgerChoice = Field(
        default_factory=SqliteLedger,
        title="Ledger",
        description="The record of what was sent. It prevents duplicates and turns later changes into payments and "
        "refunds.",
        json_schema_extra={"order": 3},
    )
    on_rejected_record: Literal["fail_at_end", "skip", "fail_fast"] = Field(
        default="fail_at_end",
        title="On a Rejected Record",
        description="Rejected rows always go to the dead-letter file. `fail_at_end`: deliver all valid rows, then fail "
        "the sync. `skip`: deliver all valid rows and succeed. `fail_fast`: stop at the first rejected row.",
        json_schema_extra={"order": 4},
    )
    rejected_records_path: FilePath = Field(
        default="",
        title="Rejected Records Path",
        description="The dead-letter file, in JSON Lines format, as an absolute path. If empty: rejected_records.jsonl "
        "next to the ledger.",
        json_schema_extra={"order": 5},
    )
    batch_rows: int = Field(
        default=1000,
        ge=1,
        le=1000,
        title="Rows per Request",
        description="Wicked Reports accepts at most 1,000 rows (10 MB) per request.",
        json_schema_extra={"order": 6},
    )
    max_requests_in_flight: int = Field(
        default=4,
        ge=1,
        le=32,
        title="Requests in Flight",
        description="The maximum number of concurrent requests.",
        json_schema_extra={"order": 7},
    )
    api_url: str = Field(
        default=PRODUCTION_URL,
        title="API URL",
        description="For tests against the simulator. Must be https, or http to localhost.",
        json_schema_extra={"airbyte_hidden": True, "order": 8},
    )
    new_api_key: bool = Field(
        default=False,
        title="The API Key Was Renewed",
        description="Enable this for one sync after you renew the API key of the same Wicked Reports account, so that "
        "the account keeps its ledger.",
        json_schema_extra={"order": 9},
    )
    accept_change: str = Field(
        default="",
        title="Accept Change",
        description="Once rows were sent, a change of a setting that decides what they are worth, or of the source "
        "system, is refused. The error says which text to enter here to make the change on purpose.",
        examples=["revenue_basis: commission -> sale_amount", "source_system: old-name -> new-name"],
        json_schema_extra={"order": 10},
    )

    @field_validator("accept_change")
    @classmethod
    def _check_change(cls, text: str) -> str:
        parse_change(text)
        return text

    @property
    def accepted_change(self) -> SettingChange | None:
        """The change of a guarded setting that `accept_change` names."""
        return parse_change(self.accept_change)

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, key: str) -> str:
        if not _HEADER_VALUE(key.strip()):
            raise ValueError("must not contain spaces or special characters: copy it again from Wicked Reports")
        return key.strip()

    @field_validator("api_url")
    @classmethod
    def _check_api_url(cls, url: str) -> str:
        if not (_SAFE_URL(url) and _has_host_and_port(url)):
            raise ValueError(
                "must be a plain https URL, or http to localhost or 127.0.0.1, so that the API key is never sent "
                "unencrypted"
            )
        return url.rstrip("/")

    @classmethod
    def parse(cls, raw: Any) -> Config:
        """Validate a configuration; raises ConfigurationError, which names keys and rules but no values.

        Unknown keys are allowed, since orchestrators add their own, unless they look like a misspelled setting.
        """
        if isinstance(raw, dict) and (refusal := injected_key(raw)):
            raise ConfigurationError(refusal)
        for name in raw if isinstance(raw, dict) else ():
            if name not in cls.model_fields and (close := get_close_matches(name.lower(), cls.model_fields, 1, 0.85)):
                raise ConfigurationError(f"Unknown setting `{name}`. Did you mean `{close[0]}`?")
        try:
            return cls.model_validate(_drop_nulls(raw))
        except ValidationError as error:
            raise ConfigurationError("Invalid configuration. " + "; ".join(describe_faults(cls, raw, error))) from None


def _has_host_and_port(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port above 65535 or a malformed IPv6 address
        return False


def _drop_nulls(raw: Any) -> Any:
    """Return the configuration without null values: some orchestrators write null for settings left empty."""
    if isinstance(raw, list):
        return [_drop_nulls(value) for value in raw]
    if not isinstance(raw, dict):
        return raw
    return {key: _drop_nulls(value) for key, value in raw.items() if value is not None}


def connection_specification() -> dict[str, Any]:
    """Return the JSON schema in the form Airbyte requires: no `$ref`, and a constant `type` in each `oneOf` variant."""
    schema = Config.model_json_schema(mode="validation")
    definitions = schema.pop("$defs")

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            # The field's own title and description override those of the referenced model.
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
