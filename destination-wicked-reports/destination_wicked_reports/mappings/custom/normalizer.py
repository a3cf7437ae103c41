"""Maps any stream to any endpoint, by JMESPath expressions from the configuration.

A stream may feed several endpoints, with one configuration entry each. With `for_each`, an entry makes one row per
element of a list, and its expressions see `item`, its `position` (from 1) and the surrounding `record`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from destination_wicked_reports.api.deletion_marks import Marks, find_marks, is_deleted, is_own_column
from destination_wicked_reports.api.endpoints import DECISIVE, ENDPOINTS, ORDER_ITEMS, Need
from destination_wicked_reports.api.fields import checker
from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.api.rows import RowMaker, find_column
from destination_wicked_reports.config.mappings import CustomStream
from destination_wicked_reports.errors import ExpressionError, FieldError, MappingError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.mappings.custom.expressions import Expression, compile_expression
from destination_wicked_reports.mappings.payment_checks import PaymentChecks
from destination_wicked_reports.model import Deleted, Record, Reject, Row, Skip

#: The names that expressions of an entry with `for_each` can read.
SCOPE = frozenset({"item", "position", "record", "@"})
#: Fields that differ from person to person or from order to order (docs/vendors/wicked-reports.md 3.1, 3.2).
_MUST_DIFFER = ("SourceID", "Email", "ContactEmail", "ContactID", "IP_Address", "SubscriptionID")
_NESTED = frozenset(ENDPOINTS["orders"].nested)


class CustomNormalizer(Normalizer):
    """Makes the rows that a list of entries describes; raises MappingError, which lists every mistake.

    An entry without a namespace accepts its stream from every namespace.
    """

    def __init__(self, streams: Sequence[CustomStream]) -> None:
        self._entries = [_Entry(f"mapping.streams[{number}]", stream) for number, stream in enumerate(streams)]
        faults = [fault for entry in self._entries for fault in entry.faults]
        if faults:
            raise MappingError("; ".join(faults))
        self._streams = {entry.name: entry.stream for entry in self._entries}
        self.streams = frozenset(self._streams)
        self._routed: dict[str, list[_Entry]] = {}
        self._payment_checks = PaymentChecks()
        #: the columns of the last record, its entries, and the marks of deletion among its columns
        self._names: tuple[str, ...] = ()
        self._marked_entries: list[_Entry] | None = None
        self._marks: Marks = ()

    def route(self, stream: str, namespace: str = "", object_name: str = "") -> str | None:
        """Return the name for a configured stream's records; an object name selects the entries for that endpoint."""
        found = (find_column(name, self.streams) for name in (f"{namespace}.{stream}", stream))
        name = next((name for name in found if name), None)
        entries = self._entries_of(name, self._streams[name]) if name else []
        selected = [entry for entry in entries if object_name in ("", entry.endpoint)]
        if name is None or not selected:
            return None
        self._routed[name] = selected
        return name

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows that each entry for the record's stream makes of it."""
        for record in records:
            entries = self._routed.get(record.stream)
            if entries is None:
                stream = self._streams.get(record.stream, record.stream)
                entries = self._routed[record.stream] = self._entries_of(record.stream, stream)
            names = tuple(record.data)
            if names != self._names or entries is not self._marked_entries:
                self._names, self._marked_entries = names, entries
                self._marks = _unread_marks(names, entries)
            if self._marks and is_deleted(record.data, self._marks):
                yield Deleted("marked as deleted", record.sequence, record.stream)
                continue
            for entry in entries:
                for made in entry.rows(record):
                    if isinstance(made, Row):
                        self._payment_checks.add(made)
                    yield made

    def explain(self, record: Record) -> Iterator[tuple[str, str, str, Any]]:
        """Yield entry, field, expression and value of each expression for one record; an error becomes the value."""
        for entry in self._routed.get(record.stream) or self._entries_of(record.stream, record.stream):
            yield from entry.explain(record)

    def endpoint_of(self, stream: str) -> str:
        """Return the endpoint of the stream's first entry."""
        entries = self._routed.get(stream) or self._entries_of(stream, self._streams.get(stream, stream))
        return entries[0].endpoint

    def check(self) -> Iterator[str]:
        """Warn of constants in fields that must differ."""
        for entry in self._entries:
            for name in entry.equal_fields:
                yield (
                    f"Warning: {entry.location}.fields.{name} is a constant, so every row of {entry.endpoint} has the "
                    "same one, and Wicked Reports takes different people or orders for one. Read it from the record, "
                    "or leave it out."
                )

    def notes(self) -> Iterator[str]:
        """Yield the fields that were empty in every row, because a name in the expression may be misspelled.

        Then yield what the payments of orders show.
        """
        for entry in self._entries:
            if entry.empty_fields and entry.row_count:
                names = ", ".join(sorted(entry.empty_fields))
                yield f"{entry.location}.fields: empty in all {entry.row_count:,} rows: {names}"
        yield from self._payment_checks.notes()

    def _entries_of(self, name: str, stream: str) -> list[_Entry]:
        return [entry for entry in self._entries if entry.name in (name, stream)]


def _unread_marks(names: Sequence[str], entries: Sequence[_Entry]) -> Marks:
    """Return the marks of deletion that no entry reads: who reads `deleted_at` decides about it."""
    read = frozenset().union(*(entry.roots for entry in entries))
    return tuple(name for name in find_marks(names) if name not in read or not is_own_column(name))


class _Entry:
    """One compiled entry; `faults` lists its mistakes with their location in the configuration.

    `empty_fields` are the fields that were empty in all of the `row_count` rows so far.
    """

    def __init__(self, location: str, config: CustomStream) -> None:
        self.location = location
        self.stream = config.stream
        #: the stream's name in routes; dotted if the entry is limited to a namespace
        self.name = f"{config.namespace}.{config.stream}" if config.namespace else config.stream
        self.endpoint = config.endpoint
        self.faults: list[str] = []
        self._endpoint = ENDPOINTS[config.endpoint]
        self._maker = RowMaker(self._endpoint)
        self._texts = {**config.fields, "for_each": config.for_each, "filter": config.filter}
        self._for_each = self._compile("for_each", config.for_each, None)
        scope = SCOPE if config.for_each else None
        self._filter = self._compile("filter", config.filter, scope)
        if self._filter and self._filter.constant:
            self._add_fault("filter", "reads no field, so it accepts every row or none")
        fields = {name: self._compile_field(name, text, scope) for name, text in config.fields.items()}
        self._fields = [(name, expression.evaluate) for name, expression in fields.items() if expression]
        self._droppable = {field.name for field in self._endpoint.fields if field.need is Need.OPTIONAL} - DECISIVE
        used = [self._for_each, self._filter, *fields.values()]
        #: the top-level names that its expressions read
        self.roots = frozenset[str]().union(*(expression.roots for expression in used if expression))
        self.empty_fields = {name for name, expression in fields.items() if expression and not expression.constant}
        #: the fields that must differ, and are a constant that is not empty
        self.equal_fields = [
            name
            for name in _MUST_DIFFER
            if (expression := fields.get(name)) is not None and expression.constant and _is_set(expression)
        ]
        if self.endpoint == ORDER_ITEMS.name:  # each order has its own line 1
            self.equal_fields = [name for name in self.equal_fields if name != "SourceID"]
        self.row_count = 0
        self._check_required(config.fields.keys())

    # -- compiling --------------------------------------------------------------------------------------------------

    def _add_fault(self, name: str, fault: str) -> None:
        self.faults.append(f"{self.location}.{name}: {fault}")

    def _compile(self, name: str, text: str, scope: Collection[str] | None) -> Expression | None:
        if not text and name in ("for_each", "filter"):
            return None
        try:
            expression = compile_expression(text)
        except ExpressionError as error:
            self._add_fault(name, str(error))
            return None
        for root in sorted(expression.roots - SCOPE if scope else ()):
            self._add_fault(name, f"with for_each, write item.{root} or record.{root} instead of {root}")
        return expression

    def _compile_field(self, name: str, text: str, scope: Collection[str] | None) -> Expression | None:
        location = f"fields.{name}"
        field = next((field for field in self._endpoint.fields if field.name == name), None)
        if field is None:
            names = [field.name for field in self._endpoint.fields]
            close = get_close_matches(name, names, 1, 0.6)
            hint = f"did you mean {close[0]}?" if close else f"its fields are {', '.join(names)}"
            if name in _NESTED:
                hint = "add a separate entry with for_each for the list"
            self._add_fault(location, f"{self.endpoint} has no such field; {hint}")
            return None
        expression = self._compile(location, text, scope)
        if expression is not None and expression.constant:
            value = expression.evaluate({})
            try:
                if value not in (None, ""):
                    checker(field.kind, name, field.limit)(value)
            except FieldError as error:
                self._add_fault(location, f"the constant is {error.reason}")
        return expression

    def _check_required(self, names: Collection[str]) -> None:
        for field in self._endpoint.fields:
            if field.need is Need.REQUIRED and field.name not in names:
                self._add_fault(f"fields.{field.name}", f"required by {self.endpoint}")
        if self.endpoint == "orders" and not {"ContactID", "ContactEmail"} & set(names):
            self._add_fault("fields.ContactEmail", "required by orders, unless ContactID is set")

    # -- explaining -------------------------------------------------------------------------------------------------

    def explain(self, record: Record) -> Iterator[tuple[str, str, str, Any]]:
        """Yield what each expression gives for a record; with `for_each`, for its first element."""
        scope: Mapping[str, Any] = record.data
        if self._for_each is not None:
            found = _value_or_error(self._for_each.evaluate, record.data)
            yield self.location, "for_each", self._texts["for_each"], found
            try:
                items = _as_list(found)
            except FieldError:
                return
            if not items:
                return
            scope = {"item": items[0], "position": 1, "record": record.data}
        if self._filter is not None:
            yield self.location, "filter", self._texts["filter"], _value_or_error(self._filter.evaluate, scope)
        for name, evaluate in self._fields:
            yield self.location, name, self._texts[name], _value_or_error(evaluate, scope)

    # -- records ----------------------------------------------------------------------------------------------------

    def rows(self, record: Record) -> Iterator[Row | Reject | Skip]:
        """Yield the rows that this entry makes of one record."""
        if self._for_each is None:
            yield self._row(record.data, record)
            return
        try:
            items = _as_list(self._for_each.evaluate(record.data))
        except FieldError as error:
            yield self._reject("", f"for_each: {error.reason}", record)
            return
        if not items:
            yield Skip(f"{self.location}.for_each found no elements", record.sequence)
        seen: Counter[str] = Counter()
        for position, item in enumerate(items, 1):
            made = self._row({"item": item, "position": position, "record": record.data}, record)
            if isinstance(made, Row) and not self._endpoint.key:
                # Equal payments in one list are separate payments; the position among equals completes their key.
                seen[made.key] += 1
                if seen[made.key] > 1:
                    made.key = f"{made.key}#{seen[made.key]}"
            yield made

    def _row(self, scope: Mapping[str, Any], record: Record) -> Row | Reject | Skip:
        name = "filter"
        try:
            if self._filter is not None and not _is_true(self._filter.evaluate(scope)):
                return Skip(f"filtered out by {self.location}.filter", record.sequence)
            data = {}
            left_out: tuple[tuple[str, str], ...] = ()
            for name, evaluate in self._fields:
                try:
                    data[name] = evaluate(scope)
                except FieldError as error:  # noqa: PERF203 - an optional field costs only itself
                    if name not in self._droppable:
                        raise
                    data[name] = None
                    left_out += ((name, error.reason),)
            self.row_count += 1
            self.empty_fields -= {name for name in self.empty_fields if data[name] not in (None, "")}
            name = ""
            row = self._maker.make(data, record.stream, record.sequence)
            if left_out:
                row.left_out += left_out
            return row
        except FieldError as error:
            return self._reject(error.field or name, error.reason, record)

    def _reject(self, field: str, reason: str, record: Record) -> Reject:
        """Return a dead letter with the record rather than the row, so that it can be replayed with a fixed mapping."""
        return Reject(reason, field, self.endpoint, record.stream, record.data, record.sequence)


def _value_or_error(evaluate: Callable[[Mapping[str, Any]], Any], scope: Mapping[str, Any]) -> Any:
    try:
        return evaluate(scope)
    except FieldError as error:
        return f"(error: {error.reason})"


def _is_set(constant: Expression) -> bool:
    return _value_or_error(constant.evaluate, {}) not in (None, "")


def _is_true(value: Any) -> bool:
    """Return whether JMESPath treats the value as true: anything except false, null and empty values."""
    return value is not None and value is not False and value not in ("", [], {})


def _as_list(value: Any) -> list[Any]:
    """Return a list, which may be stored as JSON text. A single object becomes a list of one; raises FieldError."""
    value = decode_json_text(value)
    if value is None or value in ("", {}):
        return []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise FieldError("", "not a list")
    return value
