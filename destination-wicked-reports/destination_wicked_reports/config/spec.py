"""The configuration as typed models; `spec.json` is made from them by `make spec`."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from destination_wicked_reports.config.mappings import Mapping, NativeMapping, choice
from destination_wicked_reports.config.urls import parse_url
from destination_wicked_reports.errors import ConfigurationError

PRODUCTION_URL = "https://api.wickedreports.com"
_KEY = re.compile(r"[\x21-\x7e]+").fullmatch
#: The rule of the sources (`strict_http.py`): no user, no query, and in the clear to this machine only.
_SAFE_URL = re.compile(
    r"https://[^\s/?#@\\]+(/[^\s?#]*)?"
    r"|http://(localhost|127\.0\.0\.1)(:\d+)?(/[^\s?#]*)?"  # ignore-https-check: this machine only
).fullmatch


def a_path(path: str) -> str:
    """Return a path of which a file may be called so; ValueError otherwise."""
    if "\0" in path:
        raise ValueError("cannot be a path: it has a null character in it")
    return path


class SqliteLedger(BaseModel):
    """A file on this machine."""

    model_config = choice("SQLite file")

    type: Literal["sqlite"] = "sqlite"
    path: str = Field(
        default="",
        title="Path",
        description="Where the ledger lies. Empty: /local/wicked-reports/ledger.sqlite where Airbyte mounts /local, "
        "else the user's data folder. It must outlive the container: it keeps commissions from being sent twice.",
        examples=["/local/wicked-reports/ledger.sqlite"],
    )

    @field_validator("path")
    @classmethod
    def _can_be_a_path(cls, path: str) -> str:
        return a_path(path)


class PostgresLedger(BaseModel):
    """A PostgreSQL database: the memory of connectors in Kubernetes, shared by any number of connections."""

    model_config = choice("PostgreSQL")

    type: Literal["postgres"] = "postgres"
    url: str = Field(
        title="URL",
        description="Where the database is and who may write to it. TLS is asked for in the URL, as with every "
        "PostgreSQL client: `?sslmode=verify-full&sslrootcert=…`. Connect directly or through session pooling.",
        examples=["postgresql://user:password@postgres:5432/wicked?sslmode=require"],
        json_schema_extra={"airbyte_secret": True},
    )
    schema_name: str = Field(
        default="wicked_reports",
        alias="schema",
        title="Schema",
        description="The schema that holds the ledger's tables; it is made if it is not there. Connections of one "
        "Wicked account share it, another account needs another.",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        parse_url(url)
        return url


class NoLedger(BaseModel):
    """Nothing is remembered after the run: rows that come again are sent again, and Wicked counts payments, clicks and
    marketing rows twice; a commission that changes goes out as a new order. For a one-time load only.
    """

    model_config = choice("None")

    type: Literal["none"] = "none"


LedgerChoice = Annotated[SqliteLedger | PostgresLedger | NoLedger, Field(discriminator="type")]


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

    @field_validator("rejected_records_path")
    @classmethod
    def _can_be_a_path(cls, path: str) -> str:
        return a_path(path)

    @field_validator("api_key")
    @classmethod
    def _can_be_a_header(cls, key: str) -> str:
        if not _KEY(key.strip()):
            raise ValueError("must be letters, digits and signs without a blank: copy it again from Wicked Reports")
        return key.strip()

    @field_validator("api_url")
    @classmethod
    def _https_or_loopback(cls, url: str) -> str:
        if not (_SAFE_URL(url) and _has_host_and_port(url)):
            raise ValueError(
                "must be a plain https address, or http to localhost or 127.0.0.1: the key never travels in clear"
            )
        return url.rstrip("/")

    @classmethod
    def parse(cls, raw: Any) -> Config:
        """Validate a configuration; the error names keys and rules, never values.

        A key that is nearly one of ours is refused, for something else was meant to happen; any other that we do not
        know may be the host's own.
        """
        for name in raw if isinstance(raw, dict) else ():
            if name not in cls.model_fields and (meant := get_close_matches(name.lower(), cls.model_fields, 1, 0.85)):
                raise ConfigurationError(f"{name} is no setting of this connector: did you mean {meant[0]}?")
        try:
            return cls.model_validate(_said(raw))
        except ValidationError as error:
            faults = (
                f"{_place(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors(include_input=False, include_context=False, include_url=False)
            )
            raise ConfigurationError("The configuration cannot be used. " + "; ".join(faults)) from None


def _has_host_and_port(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port past 65535, half an IPv6 address
        return False


def _said(raw: Any) -> Any:
    """Return a configuration without its keys that are null: some hosts write all keys, and mean nothing by these."""
    if isinstance(raw, list):
        return [_said(value) for value in raw]
    if not isinstance(raw, dict):
        return raw
    return {key: _said(value) for key, value in raw.items() if value is not None}


def _place(location: tuple[int | str, ...]) -> str:
    """Return where in the configuration a fault is, as one would point at it in Python: `mapping.streams[2].filter`.

    pydantic puts the chosen `type` behind the key of an object that is one of several; nobody wrote it there.
    """
    if location[:1] in (("mapping",), ("ledger",)):
        location = (location[0], *location[2:])
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return place.removeprefix(".") or "config"


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
