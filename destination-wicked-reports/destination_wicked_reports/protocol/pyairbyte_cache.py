"""Records that come out of PyAirbyte's cache, put back into the form in which the source sent them.

Seen with airbyte 0.71.3 and its DuckDB cache (clients.md 1.3): top-level names are folded to small letters, digits and
underscores; a `number` comes as text with nine decimals; a column that the schema gives no single type comes as text,
JSON if it was an object or a list; `_airbyte_*` columns are added. The catalog holds the source's own schema, so all
that can be undone. What cannot: a time loses its zone without being converted, and is taken for UTC.
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

#: The column by which a record from a cache is known.
MARK = "_airbyte_raw_id"
ADDED = "_airbyte_"
_MOST_SHAPES = 64
_UNFOLDED = re.compile(r"[^a-z0-9]")

Undo = Callable[[Any], Any]
#: Per column that stays: its name in the record, the source's name for it, and what undoes the cache's type.
_Plan = list[tuple[str, str, Undo | None]]


class Restorer:
    """Restores records by the JSON schemas of their streams; a record that was in no cache stays as it is."""

    def __init__(self, schemas: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        self._columns: dict[str, dict[str, tuple[str, Undo | None]]] = {}
        for stream, several in schemas.items():
            columns = self._columns[stream] = {}
            for schema in several:
                for name, known in (schema.get("properties") or {}).items():
                    columns.setdefault(fold(name), (name, _undo(known)))
        self._plans: dict[tuple[str, tuple[str, ...]], _Plan] = {}

    def restore(self, records: Iterable[Record]) -> None:
        """Restore these records, in place."""
        for record in records:
            if MARK in record.data:
                record.data = self._restored(record.stream, record.data)

    def _restored(self, stream: str, data: dict[str, Any]) -> dict[str, Any]:
        shape = (stream, tuple(data))
        plan = self._plans.get(shape)
        if plan is None:
            if len(self._plans) >= _MOST_SHAPES:
                self._plans.clear()
            plan = self._plans[shape] = self._plan(*shape)
        return {name: undo(data[column]) if undo else data[column] for column, name, undo in plan}

    def _plan(self, stream: str, names: tuple[str, ...]) -> _Plan:
        columns = self._columns.get(stream, {})
        return [(name, *columns.get(name, (name, None))) for name in names if not name.startswith(ADDED)]


def fold(name: str) -> str:
    """Return what the cache calls a column."""
    folded = _UNFOLDED.sub("_", name.lower())
    return f"_{folded}" if folded[:1].isdigit() else folded


def _undo(known: Any) -> Undo | None:
    """Return what undoes the cache's type for a property, or None where a value comes as it was."""
    types = known.get("type") if isinstance(known, dict) else None
    kinds = {types} if isinstance(types, str) else set(types or ())
    kinds.discard("null")
    if "number" in kinds and kinds <= {"number", "integer"}:
        return _number
    # One plain type keeps its form; objects and lists may be text, and so may whatever has several types or none.
    return None if kinds and kinds <= {"string", "integer", "boolean"} and len(kinds) == 1 else decode_json_text


def _number(value: Any) -> Any:
    """Return `"12.500000000"` as 12.5 and `"12.000000000"` as 12; what a float cannot hold stays text."""
    try:
        exact = decimal("", value)
    except FieldError:
        return value
    if abs(exact.adjusted()) > 2 * NUMBER_LIMIT:
        return value
    if exact == exact.to_integral_value():
        return int(exact)
    return number if Decimal(repr(number := float(exact))) == exact else value
