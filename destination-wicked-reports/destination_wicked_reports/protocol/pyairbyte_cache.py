"""Decodes records that PyAirbyte read from its cache: restores the names and types that the source sent.

The cache (airbyte 0.71.3, DuckDB) folds top-level names to lower-case letters, digits and underscores; turns a `number`
into text with nine decimals; turns a column without a single type into text, as JSON if it was an object or a list; and
adds `_airbyte_*` columns. The catalog has the source's schema, so all of this can be reversed. One loss cannot: a time
loses its UTC offset without being converted, and is read as UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from destination_wicked_reports.api.fields import NUMBER_LIMIT, decimal
from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.model import Record

#: Only records from a cache have this column.
MARK = "_airbyte_raw_id"
ADDED = "_airbyte_"
_MOST_SHAPES = 64
_UNFOLDED = re.compile(r"[^a-z0-9]")

Decode = Callable[[Any], Any]
#: For each column that is kept: its name in the cache, its name at the source, and the function that decodes its value.
_Plan = list[tuple[str, str, Decode | None]]


class CachedRecordDecoder:
    """Decodes records by the JSON schemas of their streams. Records that come straight from a source are unchanged."""

    def __init__(self, schemas: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        self._columns: dict[str, dict[str, tuple[str, Decode | None]]] = {}
        for stream, several in schemas.items():
            columns = self._columns[stream] = {}
            for schema in several:
                for name, known in (schema.get("properties") or {}).items():
                    columns.setdefault(fold(name), (name, _decoder(known)))
        self._plans: dict[tuple[str, tuple[str, ...]], _Plan] = {}

    def decode(self, records: Iterable[Record]) -> None:
        """Decode records in place."""
        for record in records:
            if MARK in record.data:
                record.data = self._decoded(record.stream, record.data)

    def _decoded(self, stream: str, data: dict[str, Any]) -> dict[str, Any]:
        shape = (stream, tuple(data))
        plan = self._plans.get(shape)
        if plan is None:
            if len(self._plans) >= _MOST_SHAPES:
                self._plans.clear()
            plan = self._plans[shape] = self._plan(*shape)
        return {name: decode(data[column]) if decode else data[column] for column, name, decode in plan}

    def _plan(self, stream: str, names: tuple[str, ...]) -> _Plan:
        columns = self._columns.get(stream, {})
        return [(name, *columns.get(name, (name, None))) for name in names if not name.startswith(ADDED)]


def fold(name: str) -> str:
    """Return the cache's name for a column."""
    folded = _UNFOLDED.sub("_", name.lower())
    return f"_{folded}" if folded[:1].isdigit() else folded


def _decoder(known: Any) -> Decode | None:
    """Return the function that decodes a property, or None if the cache does not change its values."""
    types = known.get("type") if isinstance(known, dict) else None
    kinds = {types} if isinstance(types, str) else set(types or ())
    kinds.discard("null")
    if "number" in kinds and kinds <= {"number", "integer"}:
        return _number
    # A single scalar type is unchanged. Objects, lists and columns with several types or none may be JSON text.
    return None if kinds and kinds <= {"string", "integer", "boolean"} and len(kinds) == 1 else decode_json_text


def _number(value: Any) -> Any:
    """Return `"12.500000000"` as 12.5 and `"12.000000000"` as 12; a number that a float cannot hold stays text."""
    try:
        exact = decimal("", value)
    except FieldError:
        return value
    if abs(exact.adjusted()) > 2 * NUMBER_LIMIT:
        return value
    if exact == exact.to_integral_value():
        return int(exact)
    return number if Decimal(repr(number := float(exact))) == exact else value
