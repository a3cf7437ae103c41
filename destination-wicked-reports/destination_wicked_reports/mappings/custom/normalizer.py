"""Any stream to any endpoint: rows made of JMESPath expressions that the user wrote.

A stream may feed several endpoints, one entry of the configuration each. With `for_each`, an entry makes one row per
element of a list, and its expressions see `item`, its `position` counted from 1, and the `record` around it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from destination_wicked_reports.api.endpoints import ENDPOINTS, Need
from destination_wicked_reports.api.fields import checker
from destination_wicked_reports.api.rows import RowMaker
from destination_wicked_reports.errors import ExpressionError, FieldError, MappingError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.affiliate.contacts import unpacked
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.mappings.custom.expressions import Expression, compile_expression
from destination_wicked_reports.model import Record, Reject, Row, Skip

#: What the expressions of an entry with `for_each` can look at.
SCOPE = frozenset({"item", "position", "record", "@"})
_NESTED = frozenset(ENDPOINTS["orders"].nested)


@dataclass(slots=True, frozen=True)
class StreamRule:
    """One entry: which records, which rows, and the expression of each field."""

    stream: str
    endpoint: str
    fields: Mapping[str, str]
    namespace: str = ""
    for_each: str = ""
    filter: str = ""

    @property
    def name(self) -> str:
        """What the records of this entry's stream are called; dotted if the namespace matters."""
        return f"{self.namespace}.{self.stream}" if self.namespace else self.stream


class CustomNormalizer(Normalizer):
    """Makes the rows that a list of entries describes; raises MappingError, naming the place of every mistake.

    An entry without a namespace takes its stream from every namespace.
    """

    def __init__(self, rules: Sequence[StreamRule]) -> None:
        self._entries = [(rule, _Entry(f"mapping.streams[{number}]", rule)) for number, rule in enumerate(rules)]
        faults = [fault for _, entry in self._entries for fault in entry.faults]
        if faults:
            raise MappingError("; ".join(faults))
        self._streams = {rule.name: rule.stream for rule in rules}
        self.streams = frozenset(self._streams)
        self._chosen: dict[str, list[_Entry]] = {}

    def route(self, stream: str, namespace: str = "", object_name: str = "") -> str | None:
        """Return the name for the records of a configured stream; an object leaves only the entries for it."""
        name = next((name for name in (f"{namespace}.{stream}", stream) if name in self.streams), None)
        entries = self._all(name, stream) if name else []
        chosen = [entry for entry in entries if object_name in ("", entry.endpoint)]
        if name is None or not chosen:
            return None
        self._chosen[name] = chosen
        return name

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield, per record, the rows of each entry for its stream."""
        for record in records:
            entries = self._chosen.get(record.stream)
            if entries is None:
                stream = self._streams.get(record.stream, record.stream)
                entries = self._chosen[record.stream] = self._all(record.stream, stream)
            for entry in entries:
                yield from entry.rows(record)

    def notes(self) -> Iterator[str]:
        """Yield which expressions found nothing in any record: a name may be mistyped."""
        for _, entry in self._entries:
            if entry.silent and entry.looked:
                names = ", ".join(sorted(entry.silent))
                yield f"{entry.place}.fields: nothing was found in any of {entry.looked:,} rows for {names}"

    def _all(self, name: str, stream: str) -> list[_Entry]:
        return [entry for rule, entry in self._entries if rule.name in (name, stream)]


class _Entry:
    """One entry, compiled; `faults` says what is wrong with it, by place.

    `silent` are the fields whose expressions found nothing in the `looked` rows so far.
    """

    def __init__(self, place: str, rule: StreamRule) -> None:
        self.place = place
        self.endpoint = rule.endpoint
        self.faults: list[str] = []
        self._endpoint = ENDPOINTS[rule.endpoint]
        self._maker = RowMaker(self._endpoint)
        self._each = self._compiled("for_each", rule.for_each, None)
        scope = SCOPE if rule.for_each else None
        self._filter = self._compiled("filter", rule.filter, scope)
        if self._filter and self._filter.constant:
            self._fault("filter", "looks at no field, so it lets everything or nothing through")
        fields = {name: self._field(name, text, scope) for name, text in rule.fields.items()}
        self._fields = [(name, expression.evaluate) for name, expression in fields.items() if expression]
        self.silent = {name for name, expression in fields.items() if expression and not expression.constant}
        self.looked = 0
        self._check_needs(rule.fields.keys())

    # -- before the first record ------------------------------------------------------------------------------------

    def _fault(self, name: str, what: str) -> None:
        self.faults.append(f"{self.place}.{name}: {what}")

    def _compiled(self, name: str, text: str, scope: Collection[str] | None) -> Expression | None:
        if not text and name in ("for_each", "filter"):
            return None
        try:
            expression = compile_expression(text)
        except ExpressionError as error:
            self._fault(name, str(error))
            return None
        for root in sorted(expression.roots - SCOPE if scope else ()):
            self._fault(name, f"with for_each, write item.{root} or record.{root} instead of {root}")
        return expression

    def _field(self, name: str, text: str, scope: Collection[str] | None) -> Expression | None:
        place = f"fields.{name}"
        field = next((field for field in self._endpoint.fields if field.name == name), None)
        if field is None:
            names = [field.name for field in self._endpoint.fields]
            close = get_close_matches(name, names, 1, 0.6)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names)}"
            if name in _NESTED:
                hint = "give the list an entry of its own, with for_each"
            self._fault(place, f"{self.endpoint} has no such field; {hint}")
            return None
        expression = self._compiled(place, text, scope)
        if expression is not None and expression.constant:
            value = expression.evaluate({})
            try:
                if value not in (None, ""):
                    checker(field.kind, name, field.limit)(value)
            except FieldError as error:
                self._fault(place, f"the constant is {error.reason}")
        return expression

    def _check_needs(self, names: Collection[str]) -> None:
        for field in self._endpoint.fields:
            if field.need is Need.REQUIRED and field.name not in names:
                self._fault(f"fields.{field.name}", f"{self.endpoint} needs it")
        if self.endpoint == "orders" and not {"ContactID", "ContactEmail"} & set(names):
            self._fault("fields.ContactEmail", "orders needs it, or ContactID")

    # -- records ----------------------------------------------------------------------------------------------------

    def rows(self, record: Record) -> Iterator[Row | Reject | Skip]:
        """Yield what this entry makes of one record."""
        if self._each is None:
            yield self._row(record.data, record)
            return
        try:
            items = _listed(self._each.evaluate(record.data))
        except FieldError as error:
            yield self._reject("", f"for_each: {error.reason}", record)
            return
        if not items:
            yield Skip(f"{self.place}.for_each found no elements", record.sequence)
        seen: Counter[str] = Counter()
        for position, item in enumerate(items, 1):
            made = self._row({"item": item, "position": position, "record": record.data}, record)
            if isinstance(made, Row) and not self._endpoint.key:
                # Two equal payments in one list are two, and in another read of the list the same two again.
                seen[made.key] += 1
                if seen[made.key] > 1:
                    made.key = f"{made.key}#{seen[made.key]}"
            yield made

    def _row(self, scope: Mapping[str, Any], record: Record) -> Row | Reject | Skip:
        name = "filter"
        try:
            if self._filter is not None and not _true(self._filter.evaluate(scope)):
                return Skip(f"left out by {self.place}.filter", record.sequence)
            data = {}
            for name, evaluate in self._fields:
                data[name] = evaluate(scope)
            self.looked += 1
            self.silent -= {name for name in self.silent if data[name] not in (None, "")}
            name = ""
            return self._maker.make(data, record.stream, record.sequence)
        except FieldError as error:
            return self._reject(error.field or name, error.reason, record)

    def _reject(self, field: str, reason: str, record: Record) -> Reject:
        """Return the dead letter. It holds the record, not the row, so that the mapping can be mended and replayed."""
        return Reject(reason, field, self.endpoint, record.stream, record.data, record.sequence)


def _true(value: Any) -> bool:
    """Tell what counts as true in JMESPath: all but false, null, and what is empty."""
    return value is not None and value is not False and value not in ("", [], {})


def _listed(value: Any) -> list[Any]:
    """Return the elements of a list, also of one kept as JSON text; one object alone is a list of one."""
    value = unpacked(value)
    if value is None or value in ("", {}):
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise FieldError("", "not a list")
    return value
