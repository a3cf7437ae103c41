"""Imitates PyAirbyte's cache, for tests that decode its records.

`SENT` and `CACHED` are one record before and after the DuckDB cache of airbyte 0.71.3, recorded in a real run. `cache`
does the same to any record; a test checks it against them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson

SCHEMA: dict[str, Any] = {
    "properties": {
        "id": {"type": "integer"},
        "code": {"type": ["null", "string"]},
        "CamelCase": {"type": "string"},
        "with-dash": {"type": "string"},
        "amount": {"type": ["null", "number"]},
        "rate": {"type": "number"},
        "flag": {"type": "boolean"},
        "at": {"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
        "day": {"type": "string", "format": "date"},
        "object": {"type": "object"},
        "list": {"type": ["null", "array"], "items": {"type": "object"}},
        "any": {},
        "several": {"type": ["string", "integer"]},
        "either": {"oneOf": [{"type": "string"}, {"type": "object"}]},
        "missing": {"type": "string"},
    }
}
SENT: dict[str, Any] = {
    "id": 1,
    "code": "007",
    "CamelCase": "x",
    "with-dash": "d",
    "amount": 100.5,
    "rate": 12,
    "flag": True,
    "at": "2024-05-31T13:45:00.123456Z",
    "day": "2024-05-31",
    "object": {"Key-A": {"b": 1.5}, "z": "ü"},
    "list": [{"Name": "n", "price": "12.50", "q": 2.0}],
    "any": {"q": 1},
    "several": 5,
    "either": {"k": 1},
}
CACHED: dict[str, Any] = {
    "id": 1,
    "code": "007",
    "camelcase": "x",
    "with_dash": "d",
    "amount": "100.500000000",
    "rate": "12.000000000",
    "flag": True,
    "at": "2024-05-31T13:45:00.123456",
    "day": "2024-05-31",
    "object": {"Key-A": {"b": 1.5}, "z": "ü"},
    "list": [{"Name": "n", "price": "12.50", "q": 2.0}],
    "any": '{"q":1}',
    "several": "5",
    "either": '{"k":1}',
    "missing": None,
    "_airbyte_raw_id": "06b02392-56c8-7396-8000-afc3dcacbc8a",
    "_airbyte_extracted_at": "2024-05-31T13:26:40.123000",
    "_airbyte_meta": {},
}

_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)(Z|\+00:00)?").fullmatch
_NUMBER = re.compile(r"-?[0-9]+\.[0-9]+").fullmatch


def schema_of(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return a schema with the most specific type for every column: times, numbers as text, lists, objects."""
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.items():
            values.setdefault(name, [])
            if value is not None:
                values[name].append(value)
    return {"properties": {name: _declared(several) for name, several in values.items()}}


def _declared(values: list[Any]) -> dict[str, Any]:
    kinds = {type(value) for value in values}
    if not kinds:
        return {"type": ["null", "string"]}
    if kinds <= {int, float} and float in kinds:
        return {"type": ["null", "number"]}
    if kinds == {str}:
        if all(_MOMENT(value) for value in values):
            return {"type": ["null", "string"], "format": "date-time"}
        return {"type": ["null", "number" if all(_NUMBER(value) for value in values) else "string"]}
    named = {int: "integer", bool: "boolean", dict: "object", list: "array", str: "string", float: "number"}
    return {"type": ["null", *sorted(named[kind] for kind in kinds)]}


def cache(record: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the record as read from the cache: with every declared column, in the schema's order."""
    made = {}
    for name, known in schema["properties"].items():
        folded = re.sub(r"[^a-z0-9]", "_", name.lower())
        made[f"_{folded}" if folded[0].isdigit() else folded] = _cached(record.get(name), known)
    return {**made, **{name: value for name, value in CACHED.items() if name.startswith("_airbyte_")}}


def _cached(value: Any, known: dict[str, Any]) -> Any:
    types = known.get("type", [])
    kinds = {types} if isinstance(types, str) else set(types) - {"null"}
    if value is None:
        return None
    if kinds == {"number"}:
        return f"{Decimal(str(value)):.9f}"
    if known.get("format") == "date-time":
        match = _MOMENT(value)
        assert match, "the cache drops the UTC offset of a time for good"
        return f"{match[1]}T{match[2]}"
    if len(kinds) != 1 and not isinstance(value, str):
        return orjson.dumps(value).decode()
    return value
