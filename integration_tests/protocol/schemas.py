"""JSON schemas for connectors' messages: the protocol's message types, and what each source declares.

The message types are those of the CDK's models, made strict: unknown fields are refused.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson
from jsonschema_rs import Draft7Validator, Draft202012Validator, ValidationError

#: a minimal config with which each source can discover
ANY_CONFIG = {"api_key": "key", "secret_key": "key", "start_date": "2026-01-01"}
_LOCAL = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?")
_ZONED = re.compile(_LOCAL.pattern + r"(Z|[+-]\d\d:\d\d)")


@functools.cache
def shapes(*, lenient_state: bool) -> Draft202012Validator:
    """Return the protocol's messages as one strict schema; with `lenient_state`, a state may have any fields."""
    from airbyte_cdk.models import AirbyteMessageSerializer
    from airbyte_protocol_dataclasses.models import DestinationCatalog  # type: ignore[import-untyped]
    from serpyco_rs import Serializer

    schema, catalog = _referable(AirbyteMessageSerializer), _referable(Serializer(DestinationCatalog))
    parts = {**catalog["components"]["schemas"], **schema["components"]["schemas"]}
    for name, part in parts.items():
        free = lenient_state and re.search(r"\.AirbyteState(Message|Stats)\d*$", name) is not None
        if "properties" in part:
            part.setdefault("additionalProperties", free)
        if name.endswith(".AirbyteMessage"):
            part["properties"]["destination_catalog"] = {"$ref": catalog["$ref"]}
    return Draft202012Validator({**schema, "components": {"schemas": parts}})


def _referable(serializer: Any) -> dict[str, Any]:
    """Return a serializer's schema without the brackets of `typing.List[str]`, which a reference must not contain."""
    text = orjson.dumps(serializer.get_json_schema())
    schema: dict[str, Any] = orjson.loads(re.sub(rb"typing\.(\w+)\[([\w.]+)\]", rb"\1.\2", text))
    return schema


@functools.cache
def declared(source: str) -> Mapping[str, Draft7Validator]:
    """Return the schema of each stream of a source as `discover` declares it, with formats."""
    package = importlib.import_module(source.replace("-", "_"))
    made = getattr(package, package.__all__[0])(config=ANY_CONFIG)
    catalog = made.discover(logging.getLogger("airbyte"), ANY_CONFIG)
    return {stream.name: validator(stream.json_schema) for stream in catalog.streams}


def validator(schema: Any) -> Draft7Validator:
    """Return a validator of a stream's schema; an unknown format is an error."""
    formats = {
        "timestamp_with_timezone": lambda text: _is_moment(_ZONED, text),
        "timestamp_without_timezone": lambda text: _is_moment(_LOCAL, text),
    }
    return Draft7Validator(_typed(schema), formats=formats, validate_formats=True, ignore_unknown_formats=False)


def _typed(schema: Any) -> Any:
    """Give each date-time the format of its `airbyte_type`, since the standard format requires a time zone."""
    if isinstance(schema, list):
        return [_typed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    typed = {name: _typed(part) for name, part in schema.items()}
    if typed.get("format") == "date-time":
        typed["format"] = typed.get("airbyte_type", "timestamp_with_timezone")
    return typed


def _is_moment(form: re.Pattern[str], text: str) -> bool:
    matched = form.fullmatch(text)
    try:
        return matched is not None and bool(datetime.fromisoformat(matched[1]))
    except ValueError:
        return False


def schema_violations(schema: Any) -> Iterator[str]:
    """Yield an error if this is not a JSON schema."""
    try:
        validator(schema)
    except (ValidationError, ValueError) as error:
        yield f"not a JSON schema: {str(error).splitlines()[0]}"


def first_error(schema: Draft7Validator | Draft202012Validator, instance: Any) -> str | None:
    """Return the first error of an instance and its path, or None if it is valid."""
    if schema.is_valid(instance):
        return None
    error = next(iter(schema.iter_errors(instance)))
    return f"{'.'.join(map(str, error.instance_path)) or 'the message'} violates its schema: {error.message}"
