"""`discover`: what a data-activation platform may send, as one raw DESTINATION_CATALOG line.

The message is the Airbyte protocol's own (`DestinationCatalog`, 0.17); airbyte-cdk 7.39 has no such command for a
destination and drops the payload when it serialises one, so the line is made here, and nothing else depends on it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from destination_wicked_reports.endpoints import ENDPOINTS, Endpoint, Field, Need
from destination_wicked_reports.fields import Kind

COMMAND = "discover"

_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.MONEY: {"type": "number"},
    Kind.AMOUNT: {"type": "number", "minimum": 0},
    Kind.INTEGER: {"type": "integer"},
    Kind.COUNT: {"type": "integer", "minimum": 0},
    Kind.UTC: {"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
    Kind.LOCAL: {"type": "string", "format": "date-time", "airbyte_type": "timestamp_without_timezone"},
}


def parse_args(args: Sequence[str]) -> argparse.Namespace:
    """Read the command line behind the program's name: `discover --config FILE`."""
    parser = argparse.ArgumentParser(prog="destination-wicked-reports")
    command = parser.add_subparsers(dest="command", required=True).add_parser(
        COMMAND, help="Outputs the objects that records can become"
    )
    command.add_argument("--config", required=True, help="path to the json configuration file")
    return parser.parse_args(args)


def destination_catalog() -> dict[str, Any]:
    """Return the message: an operation per object and way of writing it.

    Every object can be appended to. Those whose rows have a key at Wicked can also be deduplicated by it; the others
    are told apart by their whole content (wicked-facts 2.5, 2.7, 2.8), which no matching key can say.
    """
    operations = []
    for endpoint in ENDPOINTS.values():
        known: dict[str, Any] = {"object_name": endpoint.name, "json_schema": json_schema(endpoint)}
        operations.append({**known, "sync_mode": "append"})
        if endpoint.key:
            operations.append({**known, "sync_mode": "append_dedup", "matching_keys": [list(endpoint.key)]})
    return {"type": "DESTINATION_CATALOG", "destination_catalog": {"operations": operations}}


def json_schema(endpoint: Endpoint) -> dict[str, Any]:
    """Return the JSON schema of one object's records; nested lists leave as rows of their own endpoints."""
    schema = _object(endpoint.fields)
    for name, fields in endpoint.nested.items():
        schema["properties"][name] = {"type": ["null", "array"], "items": _object(fields)}
    if endpoint is ENDPOINTS["orders"]:
        schema["anyOf"] = [{"required": ["ContactEmail"]}, {"required": ["ContactID"]}]  # wicked-facts 2.3
    return schema


def _object(fields: Sequence[Field]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields if field.need is Need.REQUIRED],
        "properties": {field.name: _property(field) for field in fields},
    }


def _property(field: Field) -> dict[str, Any]:
    known = dict(_TYPES[field.kind])
    if field.kind is Kind.TEXT:
        known["maxLength"] = field.limit
    if field.need is not Need.REQUIRED:
        known["type"] = ["null", known["type"]]
    return known
