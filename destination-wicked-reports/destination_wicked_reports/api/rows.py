"""Checked, encoded, named: what turns a mapping of Wicked's field names to values into a Row.

Everything that depends on the endpoint alone is worked out once, and what depends on the names a record carries once
per set of names, so that a row costs its values and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import Endpoint, Field, Need
from destination_wicked_reports.api.fields import MISSING, NULL_CHARACTER, ZERO, Check, Kind, checker
from destination_wicked_reports.errors import BlankError, FieldError
from destination_wicked_reports.model import OrderState, Row

#: Between the parts of a key; no id may hold it, or two different rows could share a key.
SEPARATOR = "\x1f"
DIGEST_SIZE = 16
#: Bytes of a key; PostgreSQL's index takes 2,704 a line, in which an order's key may stand beside a row's.
_LONGEST_KEY = 1000
_BETWEEN_WORDS = re.compile(r"[\s_.-]")
_MOST_SHAPES = 64
_MOST_UNKNOWN = 100

#: What picks a record's values, and per value: Wicked's name, the most characters if it is text and else 0, the check,
#: the need.
_Plan = tuple[Callable[[Mapping[str, Any]], Sequence[Any]], list[tuple[str, int, Check, Need]]]


def fold(name: str) -> str:
    """Return what all spellings of a name have in common: `SourceID`, `source_id` and `Source-Id` are one."""
    return _BETWEEN_WORDS.sub("", name.lower())


def find_column(name: str, columns: Iterable[str]) -> str | None:
    """Return the column that is spelled like this, else the one most like it that can be meant, if any."""
    meant = [column for column in columns if fold(column) == fold(name)]
    return min(meant, key=lambda column: (column != name, column.lower() != name.lower(), column), default=None)


class FieldChecker:
    """Checks rows against one table of fields; the result holds the table's fields only, in the table's order.

    Names are matched in any spelling, see `find_column`. Other names are gathered in `unknown` (under `prefix`) and
    not sent; Airbyte's own columns and those in `ignored` go unmentioned.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        ignored: Collection[str] = (),
        unknown: set[str] | None = None,
        prefix: str = "",
    ) -> None:
        self.unknown: set[str] = set() if unknown is None else unknown
        self._prefix = prefix
        self._fields = [
            (f.name, f.limit if f.kind is Kind.TEXT else 0, checker(f.kind, f.name, f.limit), f.need) for f in fields
        ]
        self._required = [f.name for f in fields if f.kind is Kind.TEXT and f.need is Need.REQUIRED]
        self._ignored = {fold(name) for name in ignored}
        self._plans: dict[tuple[str, ...], _Plan] = {}
        #: the names of the last record (one object as long as they stay the same), and their plan
        self.names: tuple[str, ...] | None = None
        self._plan: _Plan

    def check(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return what goes on the wire, or raise FieldError for the first field that may not."""
        row: dict[str, Any] = {}
        names = tuple(data)
        if names != self.names:  # nearly never, and told sooner than looked up
            self.names, self._plan = names, self._plans.get(names) or self._make_plan(names)
        values_of, fields = self._plan
        for (name, limit, check, need), value in zip(fields, values_of(data), strict=True):
            # Most fields are sound text (starting behind the blanks, short enough): `check` would say so, but slower.
            if type(value) is str and limit and value >= "!" and len(value) <= limit:
                row[name] = value
                continue
            if value is not None and value != "":
                try:
                    row[name] = check(value)
                    continue
                except BlankError:
                    pass
            if need is Need.REQUIRED:
                raise FieldError(name, MISSING)
            if need is Need.PRESENT:
                row[name] = ""
        for name in self._required:
            if row[name] == "0":
                raise FieldError(name, ZERO)
        return row

    def _make_plan(self, names: tuple[str, ...]) -> _Plan:
        """Decide once per set of names which column feeds which field."""
        columns: list[str] = []
        fields: list[tuple[str, int, Check, Need]] = []
        for name, limit, check, need in self._fields:
            column = find_column(name, names) or name
            if column in names or need is not Need.OPTIONAL:
                columns.append(column)
                fields.append((name, limit, check, need))
        for column in names:
            if column in columns or column.startswith("_airbyte_") or fold(column) in self._ignored:
                continue
            if len(self.unknown) < _MOST_UNKNOWN:
                self.unknown.add(self._prefix + column)
        if len(self._plans) >= _MOST_SHAPES:
            self._plans.clear()
        present = len(columns) > 1 and set(columns) <= set(names)
        values_of = itemgetter(*columns) if present else lambda data: [data.get(column) for column in columns]
        self._plans[names] = plan = values_of, fields
        return plan


class RowMaker:
    """Makes the rows of one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint.name
        self.fields = FieldChecker(endpoint.fields, ignored=endpoint.nested)
        self._key = itemgetter(*endpoint.key) if endpoint.key else None
        self._last_key = endpoint.key[-1] if endpoint.key else ""
        self._separators = len(endpoint.key) - 1
        self._rule = endpoint.rule

    def make(self, data: Mapping[str, Any], stream: str, sequence: int) -> Row:
        """Return the row, or raise FieldError."""
        return self.encode(self.check(data), stream, sequence)

    def check(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row's fields as they go on the wire, or raise FieldError."""
        fields = self.fields.check(data)
        if self._rule is not None:
            self._rule(fields)
        return fields

    def encode(
        self,
        fields: dict[str, Any],
        stream: str,
        sequence: int,
        key: str | None = None,
        order_key: str | None = None,
        order: OrderState | None = None,
    ) -> Row:
        """Return the row of fields that are already checked; without a key of its own it gets the endpoint's.

        Where Wicked knows no id, the key is the digest of the whole content.
        """
        try:
            body = orjson.dumps(fields)
        except TypeError:
            raise FieldError(_unwritable(fields), "text that is not valid Unicode") from None
        digest = blake2b(body, digest_size=DIGEST_SIZE).digest()
        if key is None:
            if self._key is None:
                key = digest.hex()
            else:
                key = SEPARATOR.join(self._key(fields))
                if key.count(SEPARATOR) != self._separators:
                    raise FieldError(self._last_key, "a key with a control character in it")
        if "\0" in key:
            raise FieldError(self._last_key, NULL_CHARACTER)
        if len(key) > _LONGEST_KEY // 4 and len(key.encode(errors="replace")) > _LONGEST_KEY:
            raise FieldError(self._last_key, f"ids of more than {_LONGEST_KEY:,} bytes together, too long to remember")
        return Row(self.endpoint, key, body, digest, stream, sequence, order_key, order)


def _unwritable(fields: Mapping[str, Any]) -> str:
    return next((name for name, value in fields.items() if not _writable(value)), "")


def _writable(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
