"""The destination's field tables and the simulator's are two readings of the vendor's documents, and must agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from destination_wicked_reports.api import endpoints
from destination_wicked_reports.api.endpoints import ENDPOINTS, Need
from destination_wicked_reports.api.fields import Kind
from destination_wicked_reports.config.spec import specification
from destination_wicked_reports.delivery.queue import BATCH_BYTES, ROW_BYTES

from integration_tests.simulator.wicked import store, validation
from integration_tests.simulator.wicked.inbound import MAX_BYTES, MAX_ROWS, PATHS
from integration_tests.simulator.wicked.latest import DATATYPES

Table = Mapping[str, Mapping[str, Any]]
#: (kind, lowest value) of the simulator; it splits text by what it validates
KINDS = {
    Kind.TEXT: ("text", None),
    Kind.UTC: ("datetime", None),
    Kind.LOCAL: ("datetime", None),
    Kind.MONEY: ("number", None),
    Kind.AMOUNT: ("number", 0),
    Kind.TOTAL: ("number", None),  # Wicked allows negative totals; refusing them is our own rule
    Kind.INTEGER: ("integer", None),
    Kind.COUNT: ("integer", 0),
}
TEXTS = {
    "id": {"SourceID", "OrderItemID", "OrderID"},
    "email": {"Email", "ContactEmail"},
    "currency": {"Currency", "OrderCurrency"},
}
NEEDS = {
    "filled": Need.REQUIRED,
    "present": Need.PRESENT,
    "one_of": Need.PRESENT,  # the destination always sends both keys, as the SDK wants them
    "free": Need.OPTIONAL,
    "not_blank": Need.OPTIONAL,  # the destination leaves empty ones out
}


def of_destination(tables: Mapping[str, endpoints.Endpoint] = ENDPOINTS) -> Table:
    """Return the fields by path, and those of nested rows by path and key, as (kind, lowest, limit, need)."""
    return {
        where: {field.name: (*KINDS[field.kind], field.limit, field.need) for field in fields}
        for endpoint in tables.values()
        for where, fields in [
            (endpoint.path, endpoint.fields),
            *((f"{endpoint.path}.{name}", fields) for name, fields in endpoint.nested.items()),
        ]
    }


def of_simulator(
    rules: Mapping[str, tuple[validation.Field, ...]] = validation.RULES,
    nested: Mapping[str, tuple[str, tuple[validation.Field, ...]]] = validation.NESTED,
) -> Table:
    """Return the same of the simulator's tables."""
    lists = {f"/{name}": fields for name, fields in rules.items()}
    lists |= {f"/orders.{name}": fields for name, (_endpoint, fields) in nested.items()}
    return {
        where: {
            field.name: ("text" if field.kind in TEXTS else field.kind, field.least, field.longest, NEEDS[field.need])
            for field in fields
        }
        for where, fields in lists.items()
    }


def differences(one: Table, other: Table) -> list[str]:
    """Return every field that is missing in one of the tables or differs."""
    return [
        f"{where}.{name}: {fields.get(name)} and {others.get(name)}"
        for where in sorted({*one, *other})
        for fields, others in [(one.get(where, {}), other.get(where, {}))]
        for name in sorted({*fields, *others})
        if fields.get(name) != others.get(name)
    ]


def test_both_tables_agree() -> None:
    assert differences(of_destination(), of_simulator()) == []


def test_the_simulator_validates_ids_addresses_and_currencies_as_such() -> None:
    for fields in [*validation.RULES.values(), *(fields for _endpoint, fields in validation.NESTED.values())]:
        for field in fields:
            expected = next((kind for kind, names in TEXTS.items() if field.name in names), field.kind)
            optional_id = expected == "id" and field.need == "free"  # OrderID of a click
            assert field.kind == ("text" if optional_id else expected), field


def test_paths_data_types_and_keys_agree() -> None:
    assert sorted(PATHS) == sorted(endpoint.path for endpoint in ENDPOINTS.values())
    latest = {endpoint.latest: endpoint.path for endpoint in ENDPOINTS.values() if endpoint.latest}
    assert latest == {datatype: f"/{endpoint}" for datatype, endpoint in DATATYPES.items()}
    keys = {endpoint.path.strip("/"): endpoint.key for endpoint in ENDPOINTS.values() if endpoint.key}
    assert sorted(keys) == sorted(store.KEYED)
    for endpoint, key in keys.items():
        row = {field.name: field.name for field in validation.RULES[endpoint]}
        assert store.identity(endpoint, row) == key


def test_limits_of_a_request_agree() -> None:
    batch_rows = specification()["connectionSpecification"]["properties"]["batch_rows"]
    assert (batch_rows["maximum"], batch_rows["default"]) == (MAX_ROWS, MAX_ROWS)
    assert f"{MAX_ROWS:,} rows" in batch_rows["description"]
    assert ROW_BYTES + len("[]") == MAX_BYTES
    assert BATCH_BYTES < MAX_BYTES


# -- every change of one table alone is a difference ------------------------------------------------------------------


def changed_destination() -> Iterator[tuple[str, Table]]:
    """Yield the destination's table with one field left out or changed, and what was done."""
    for name, endpoint in ENDPOINTS.items():
        lists = {"fields": endpoint.fields, **endpoint.nested}
        for where, fields in lists.items():
            for what, altered in altered_fields(fields, limit="limit", need=Need, kind=Kind):
                change = {"fields": altered} if where == "fields" else {"nested": {**endpoint.nested, where: altered}}
                tables = {**ENDPOINTS, name: dataclasses.replace(endpoint, **change)}
                yield f"{name}.{where}.{what}", of_destination(tables)


def changed_simulator() -> Iterator[tuple[str, Table]]:
    """Yield the simulator's table with one field left out or changed, and what was done."""
    kinds = ("text", "datetime", "integer", "number")
    for name, fields in validation.RULES.items():
        for what, altered in altered_fields(fields, limit="longest", need=NEEDS, kind=kinds):
            yield f"{name}.{what}", of_simulator({**validation.RULES, name: altered})
    for name, (endpoint, fields) in validation.NESTED.items():
        for what, altered in altered_fields(fields, limit="longest", need=NEEDS, kind=kinds):
            yield f"{name}.{what}", of_simulator(nested={**validation.NESTED, name: (endpoint, altered)})


def altered_fields(fields: tuple[Any, ...], *, limit: str, need: Any, kind: Any) -> Iterator[tuple[str, Any]]:
    for index, field in enumerate(fields):
        before, after = fields[:index], fields[index + 1 :]
        yield f"{field.name} left out", (*before, *after)
        changes = [{limit: getattr(field, limit) // 10}, {"name": f"{field.name}s"}]
        changes += [{"need": other} for other in need if NEEDS.get(other, other) != NEEDS.get(field.need, field.need)]
        changes += [{"kind": other} for other in kind if canonical(other) != canonical(field.kind)]
        for change in changes:
            yield f"{field.name} with {change}", (*before, dataclasses.replace(field, **change), *after)


def canonical(kind: Any) -> Any:
    return KINDS[kind] if isinstance(kind, Kind) else "text" if kind in TEXTS else kind


@pytest.mark.parametrize("changes", [changed_destination, changed_simulator])
def test_a_change_of_one_table_alone_is_a_difference(changes: Any) -> None:
    made = list(changes())
    assert len(made) > 300
    unchanged = of_simulator() if changes is changed_destination else of_destination()
    assert [what for what, table in made if not differences(table, unchanged)] == []
