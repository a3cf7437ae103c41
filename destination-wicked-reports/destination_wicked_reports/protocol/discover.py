"""`discover`: the objects and fields that a data-activation platform can send, as one DESTINATION_CATALOG message.

The message is part of the Airbyte protocol (`DestinationCatalog`, 0.17). airbyte-cdk 7.39 has no such command for a
destination and drops the payload when serializing, so this module builds the JSON itself.

The schemas accept what the writer accepts, including numbers as text and ids as integers, so that a platform does not
hold back valid rows. The writer alone checks what JSON Schema cannot express: whether a date exists, how many digits a
fraction has, whether an integer was written with a decimal point. The schemas accept numbers as text without exponent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from destination_wicked_reports.api.endpoints import ENDPOINTS, Endpoint, Field, Need
from destination_wicked_reports.api.fields import BLANKS, NUMBER_LIMIT, Kind

#: Matches one character that is not a blank. Not `\S`, because the writer accepts a no-break space as text.
SOME_TEXT = "[^" + "".join(f"\\x{ord(blank):02x}" for blank in BLANKS) + "]"
#: The minus sign counts towards the maximum length, so negative numbers have one digit less.
_RANGE = {"exclusiveMinimum": -(10 ** (NUMBER_LIMIT - 1)), "exclusiveMaximum": 10**NUMBER_LIMIT}
_FROM_ZERO = {"minimum": 0, "exclusiveMaximum": 10**NUMBER_LIMIT}
_DATE = {"type": "string", "format": "date-time", "pattern": SOME_TEXT}


def _number(digits: int) -> str:
    """Return the pattern of a number as text with at most `digits` digits before the decimal point."""
    return rf"(0*[0-9]{{1,{digits}}}(\.[0-9]*)?|\.[0-9]+)"


def _whole(digits: int) -> str:
    """Return the pattern of an integer as text, optionally followed by `.` and zeros, as warehouses write it."""
    return rf"[0-9]{{1,{digits}}}(\.0*)?"


def _pattern(kind: Callable[[int], str], *, signed: bool) -> str:
    below = f"|-{kind(NUMBER_LIMIT - 1)}" if signed else ""
    return rf"^\s*(\+?{kind(NUMBER_LIMIT)}{below})\s*$"


_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": ["string", "integer"]},
    Kind.MONEY: {"type": ["number", "string"], **_RANGE, "pattern": _pattern(_number, signed=True)},
    Kind.AMOUNT: {"type": ["number", "string"], **_FROM_ZERO, "pattern": _pattern(_number, signed=False)},
    Kind.TOTAL: {"type": ["number", "string"], **_FROM_ZERO, "pattern": _pattern(_number, signed=False)},
    Kind.INTEGER: {"type": ["integer", "string"], **_RANGE, "pattern": _pattern(_whole, signed=True)},
    Kind.COUNT: {"type": ["integer", "string"], **_FROM_ZERO, "pattern": _pattern(_whole, signed=False)},
    Kind.UTC: {**_DATE, "airbyte_type": "timestamp_with_timezone"},
    Kind.LOCAL: {**_DATE, "airbyte_type": "timestamp_without_timezone"},
}


def destination_catalog() -> dict[str, Any]:
    """Return the message, with one operation for each object and sync mode.

    Every object supports append. Objects whose rows have a key at Wicked also support append_dedup; the rows of the
    others differ by their whole content only (docs/vendors/wicked-reports.md 2.5, 2.7, 2.8).
    """
    operations = []
    for endpoint in ENDPOINTS.values():
        known: dict[str, Any] = {"object_name": endpoint.name, "json_schema": json_schema(endpoint)}
        operations.append({**known, "sync_mode": "append"})
        if endpoint.key:
            operations.append({**known, "sync_mode": "append_dedup", "matching_keys": [list(endpoint.key)]})
    return {"type": "DESTINATION_CATALOG", "destination_catalog": {"operations": operations}}


def json_schema(endpoint: Endpoint) -> dict[str, Any]:
    """Return the JSON schema of one object; its nested lists are sent to their own endpoints."""
    schema = _object(endpoint.fields)
    for name, fields in endpoint.nested.items():
        schema["properties"][name] = {"type": ["null", "array"], "items": _object(fields)}
    if endpoint is ENDPOINTS["orders"]:
        schema["anyOf"] = [_filled("ContactEmail"), _filled("ContactID")]  # docs/vendors/wicked-reports.md 2.3
    return schema


def _object(fields: Sequence[Field]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields if field.need is Need.REQUIRED],
        "properties": {field.name: _property(field) for field in fields},
    }


def _filled(name: str) -> dict[str, Any]:
    """Return the schema of an object that has this text, not blank."""
    value = {"type": _TYPES[Kind.TEXT]["type"], "minLength": 1, "pattern": SOME_TEXT}
    return {"required": [name], "properties": {name: value}}


def _property(field: Field) -> dict[str, Any]:
    known = dict(_TYPES[field.kind])
    if field.kind is Kind.TEXT:
        known["maxLength"] = field.limit
        if field.limit <= NUMBER_LIMIT:  # a 64-bit integer may be longer
            known |= {"exclusiveMinimum": -(10 ** (field.limit - 1)), "exclusiveMaximum": 10**field.limit}
    if field.need is Need.REQUIRED:
        if field.kind is Kind.TEXT:
            known["not"] = {"enum": ["0", 0]}  # empty to Wicked (docs/vendors/wicked-reports.md 2.1)
        return {**known, "minLength": 1, "pattern": known.get("pattern", SOME_TEXT)}
    # An empty value counts as absent. Blanks count as empty text, but are invalid as a number or date.
    types = known["type"]
    known["type"] = ["null", types] if isinstance(types, str) else ["null", *types]
    if "pattern" in known:
        known["pattern"] = f"^$|{known['pattern']}"
    return known
