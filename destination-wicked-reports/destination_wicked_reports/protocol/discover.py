"""`discover`: what a data-activation platform may send, as one raw DESTINATION_CATALOG line.

The message is the Airbyte protocol's own (`DestinationCatalog`, 0.17); airbyte-cdk 7.39 has no such command for a
destination and drops the payload when it serialises one, so the line is made here, and nothing else depends on it.

A schema takes what the writer takes, numbers as text and ids as whole numbers, too, so that no platform holds back a
row that Wicked would get. What JSON Schema cannot say is left to the writer: whether a date exists, how many digits a
fraction has, whether a whole number was written with a point. Numbers as text are offered without an exponent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from destination_wicked_reports.api.endpoints import ENDPOINTS, Endpoint, Field, Need
from destination_wicked_reports.api.fields import BLANKS, NUMBER_LIMIT, Kind

COMMAND = "discover"

#: One character that is more than a blank. `\S` would not do: to the writer a no-break space is text like any other.
SOME_TEXT = "[^" + "".join(f"\\x{ord(blank):02x}" for blank in BLANKS) + "]"
#: A sign is one of the characters that a number may have, so one digit less is left to those below zero.
_RANGE = {"exclusiveMinimum": -(10 ** (NUMBER_LIMIT - 1)), "exclusiveMaximum": 10**NUMBER_LIMIT}
_FROM_ZERO = {"minimum": 0, "exclusiveMaximum": 10**NUMBER_LIMIT}
_DATE = {"type": "string", "format": "date-time", "pattern": SOME_TEXT}


def _number(digits: int) -> str:
    """Return the pattern of a number as text, of at most so many digits before the point."""
    return rf"(0*[0-9]{{1,{digits}}}(\.[0-9]*)?|\.[0-9]+)"


def _whole(digits: int) -> str:
    """Return the pattern of a whole number as text, with a point and zeros behind it as warehouses write them."""
    return rf"[0-9]{{1,{digits}}}(\.0*)?"


def _pattern(kind: Callable[[int], str], *, signed: bool) -> str:
    below = f"|-{kind(NUMBER_LIMIT - 1)}" if signed else ""
    return rf"^\s*(\+?{kind(NUMBER_LIMIT)}{below})\s*$"


_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": ["string", "integer"]},
    Kind.MONEY: {"type": ["number", "string"], **_RANGE, "pattern": _pattern(_number, signed=True)},
    Kind.AMOUNT: {"type": ["number", "string"], **_FROM_ZERO, "pattern": _pattern(_number, signed=False)},
    Kind.INTEGER: {"type": ["integer", "string"], **_RANGE, "pattern": _pattern(_whole, signed=True)},
    Kind.COUNT: {"type": ["integer", "string"], **_FROM_ZERO, "pattern": _pattern(_whole, signed=False)},
    Kind.UTC: {**_DATE, "airbyte_type": "timestamp_with_timezone"},
    Kind.LOCAL: {**_DATE, "airbyte_type": "timestamp_without_timezone"},
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
        schema["anyOf"] = [_filled("ContactEmail"), _filled("ContactID")]  # wicked-facts 2.3
    return schema


def _object(fields: Sequence[Field]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields if field.need is Need.REQUIRED],
        "properties": {field.name: _property(field) for field in fields},
    }


def _filled(name: str) -> dict[str, Any]:
    """Return the schema of an object in which this text is there and more than blanks."""
    value = {"type": _TYPES[Kind.TEXT]["type"], "minLength": 1, "pattern": SOME_TEXT}
    return {"required": [name], "properties": {name: value}}


def _property(field: Field) -> dict[str, Any]:
    known = dict(_TYPES[field.kind])
    if field.kind is Kind.TEXT:
        known["maxLength"] = field.limit
        if field.limit <= NUMBER_LIMIT:  # a whole number of 64 bits may be too long for these
            known |= {"exclusiveMinimum": -(10 ** (field.limit - 1)), "exclusiveMaximum": 10**field.limit}
    if field.need is Need.REQUIRED:
        if field.kind is Kind.TEXT:
            known["not"] = {"enum": ["0", 0]}  # empty for Wicked's validator (wicked-facts 2.1)
        return {**known, "minLength": 1, "pattern": known.get("pattern", SOME_TEXT)}
    # Empty is as good as absent; blanks are empty text, but no number and no date.
    types = known["type"]
    known["type"] = ["null", types] if isinstance(types, str) else ["null", *types]
    if "pattern" in known:
        known["pattern"] = f"^$|{known['pattern']}"
    return known
