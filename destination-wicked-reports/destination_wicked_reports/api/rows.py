"""Validates fields, encodes them and builds the ledger key of a row.

For speed, work that depends only on the endpoint is done once, and work that depends on the column names of a record
once per set of names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import orjson

from destination_wicked_reports.api.deletion_marks import find_marks
from destination_wicked_reports.api.endpoints import DECISIVE, Endpoint, Field, Need
from destination_wicked_reports.api.fields import MISSING, NULL_CHARACTER, ZERO, Check, Kind, checker
from destination_wicked_reports.errors import BlankError, FieldError
from destination_wicked_reports.model import Row, SalePayment, SaleState

#: Separates the parts of a key. Ids that contain it are refused, or two rows could share a key.
SEPARATOR = "\x1f"
DIGEST_SIZE = 16
#: In bytes. A PostgreSQL index entry holds 2,704 bytes, and one index has an order's key next to a row's.
_LONGEST_KEY = 1000
_BETWEEN_WORDS = re.compile(r"[\s_.-]")
_MOST_SHAPES = 64
_MOST_UNKNOWN = 100

#: The function that picks a record's values, and for each value: Wicked's field name, the maximum length (0 unless
#: text), the check, the need.
_Plan = tuple[Callable[[Mapping[str, Any]], Sequence[Any]], list[tuple[str, int, Check, Need]]]


def fold(name: str) -> str:
    """Return the same text for all spellings of a name, such as `SourceID`, `source_id` and `Source-Id`."""
    return _BETWEEN_WORDS.sub("", name.lower())


def find_column(name: str, columns: Iterable[str]) -> str | None:
    """Return the column with this name, else the closest spelling of it, else None."""
    same = [column for column in columns if fold(column) == fold(name)]
    return min(same, key=lambda column: (column != name, column.lower() != name.lower(), column), default=None)


class FieldChecker:
    """Checks records against a list of fields; the result has only these fields, in the list's order.

    Column names match in any spelling, see `find_column`. Other columns are not sent; their names are added to
    `unknown`, with `prefix`, except Airbyte's own, marks of deletion and those in `ignored`. An invalid value of an
    optional field costs the field, unless the field is decisive or the checker `strict`; see `left_out`.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        ignored: Collection[str] = (),
        unknown: set[str] | None = None,
        prefix: str = "",
        *,
        strict: bool = False,
    ) -> None:
        self.unknown: set[str] = set() if unknown is None else unknown
        self._prefix = prefix
        self._fields = [
            (f.name, f.limit if f.kind is Kind.TEXT else 0, checker(f.kind, f.name, f.limit), f.need) for f in fields
        ]
        self._required = [f.name for f in fields if f.kind is Kind.TEXT and f.need is Need.REQUIRED]
        self._droppable = (
            frozenset() if strict else frozenset(f.name for f in fields if f.need is Need.OPTIONAL) - DECISIVE
        )
        #: field and reason of each invalid value that `check` left out, until the caller clears it
        self.left_out: list[tuple[str, str]] = []
        self._ignored = {fold(name) for name in ignored}
        self._plans: dict[tuple[str, ...], _Plan] = {}
        #: column names of the last record (the same object while they stay the same), and their plan
        self.names: tuple[str, ...] | None = None
        self._plan: _Plan

    def check(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the encoded fields; raises FieldError for the first invalid one."""
        row: dict[str, Any] = {}
        names = tuple(data)
        if names != self.names:  # rare, and cheaper to test than to look up
            self.names, self._plan = names, self._plans.get(names) or self._make_plan(names)
        values_of, fields = self._plan
        for (name, limit, check, need), value in zip(fields, values_of(data), strict=True):
            # Fast path for valid text: no leading blank, short enough. `check` gives the same result, slower.
            if type(value) is str and limit and value >= "!" and len(value) <= limit:
                row[name] = value
                continue
            if value is not None and value != "":
                try:
                    row[name] = check(value)
                    continue
                except BlankError:
                    pass
                except FieldError as error:
                    if name not in self._droppable:
                        raise
                    self.left_out.append((name, error.reason))
            if need is Need.REQUIRED:
                raise FieldError(name, MISSING)
            if need is Need.PRESENT:
                row[name] = ""
        for name in self._required:
            if row[name] == "0":
                raise FieldError(name, ZERO)
        return row

    def _make_plan(self, names: tuple[str, ...]) -> _Plan:
        """Choose the column of each field, once per set of names."""
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
            if find_marks([column]):
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
    """Builds the rows of one endpoint."""

    def __init__(self, endpoint: Endpoint, *, strict: bool = False) -> None:
        self.endpoint = endpoint.name
        self.fields = FieldChecker(endpoint.fields, ignored=endpoint.nested, strict=strict)
        self._left_out = self.fields.left_out
        self._key = itemgetter(*endpoint.key) if endpoint.key else None
        self._last_key = endpoint.key[-1] if endpoint.key else ""
        self._separators = len(endpoint.key) - 1
        self._rule = endpoint.rule

    def make(self, data: Mapping[str, Any], stream: str, sequence: int) -> Row:
        """Return the row; raises FieldError."""
        return self.encode(self.check(data), stream, sequence)

    def check(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the encoded fields of a row; raises FieldError. `encode` takes them before the next `check`."""
        if self._left_out:
            self._left_out.clear()
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
        sale_key: str | None = None,
        sale: SaleState | None = None,
        payments: tuple[SalePayment, ...] = (),
    ) -> Row:
        """Return the row for fields from `check`; raises FieldError if they cannot be encoded or make no valid key.

        `key` defaults to the values of the endpoint's key fields, or to the digest of the content if it has none.
        """
        try:
            body = orjson.dumps(fields)
        except TypeError:
            raise FieldError(_unencodable(fields), "text that is not valid Unicode") from None
        digest = digest_of(body)
        if key is None:
            if self._key is None:
                key = digest.hex()
            else:
                key = SEPARATOR.join(self._key(fields))
                if key.count(SEPARATOR) != self._separators:
                    raise FieldError(self._last_key, "an id that contains a control character")
        if "\0" in key:
            raise FieldError(self._last_key, NULL_CHARACTER)
        if len(key) > _LONGEST_KEY // 4 and len(key.encode(errors="replace")) > _LONGEST_KEY:
            raise FieldError(self._last_key, f"ids of more than {_LONGEST_KEY:,} bytes, too long for the ledger")
        row = Row(self.endpoint, key, body, digest, stream, sequence, sale_key, sale, payments)
        if self._left_out:
            row.left_out = tuple(self._left_out)
            self._left_out.clear()
        return row


def digest_of(body: bytes) -> bytes:
    """Return the digest by which the ledger knows the content of a row."""
    return blake2b(body, digest_size=DIGEST_SIZE).digest()


def _unencodable(fields: Mapping[str, Any]) -> str:
    return next((name for name, value in fields.items() if not _encodable(value)), "")


def _encodable(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
