"""SQL that works on SQLite and PostgreSQL alike, for every module that has tables in the ledger.

`among` selects rows by any number of keys, which travel as one parameter; `upsert` inserts or replaces many rows. A
module with tables of its own (`sale_totals.py`, `order_documents.py`) declares them in its own `MetaData`, creates them
with `schema.create_tables`, and uses the ledger's connection inside `with connection.begin():`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    ClauseElement,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    String,
    Table,
    bindparam,
    column,
    func,
    inspect,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

POSTGRESQL = "postgresql"


class _Each(FunctionElement[str]):
    """The texts of a JSON array as a table with the columns `value` and `position`, which starts at 0."""

    inherit_cache = True


@compiles(_Each)
def _each_in_sqlite(element: _Each, compiler: SQLCompiler, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return f"(SELECT value, key AS position FROM json_each({array}))"  # noqa: S608 - the array is a placeholder


@compiles(_Each, POSTGRESQL)
def _each_in_postgresql(element: _Each, compiler: SQLCompiler, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return (
        f"(SELECT value, CAST(place - 1 AS INTEGER) AS position FROM json_array_elements_text(CAST({array} AS JSON)) "  # noqa: S608
        "WITH ORDINALITY AS listed (value, place))"
    )


#: The keys in the parameter `keys`; see `key_parameters`.
EACH = _Each(bindparam("keys", type_=String())).table_valued("value", column("position", Integer))


def among(searched: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of the keys in the parameter `keys`; see `key_parameters`."""
    return searched.in_(select(EACH.c.value))


def starts_with(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Return the condition that a text starts with `prefix`, case-sensitively: SQLite's LIKE ignores case."""
    return func.substr(column, 1, len(prefix)) == prefix


def before(connection: Connection, column: ColumnElement[str], separator: str) -> ColumnElement[str]:
    """Return the part of a text before the first separator, which it must contain."""
    position = func.strpos if connection.dialect.name == POSTGRESQL else func.instr
    return func.substr(column, 1, position(column, separator) - 1)


def key_parameters(keys: Iterable[str]) -> dict[str, str]:
    """Return the parameters of a statement with `among` in it: a single one, whatever the number of keys."""
    return {"keys": orjson.dumps(list(keys)).decode()}


def schema_of(connection: Connection) -> str | None:
    """Return the schema that every statement of this connection names; None in SQLite, which has none.

    Naming it, instead of setting the search path, keeps a ledger apart from others behind a pooler, where another
    session may have set the path.
    """
    schemas: dict[str | None, str] = connection.get_execution_options().get("schema_translate_map", {})
    return schemas.get(None)


def has_table(connection: Connection, table: Table) -> bool:
    """Return whether the ledger has this table."""
    return inspect(connection).has_table(table.name, schema_of(connection))


def compile_text(statement: ClauseElement, dialect: Dialect, schema: str | None) -> str:
    """Return a statement as text for the driver, with named parameters and tables of this schema."""
    if schema is None:
        return str(statement.compile(dialect=dialect_module(dialect).dialect(paramstyle="named")))
    return str(statement.compile(dialect=dialect, schema_translate_map={None: schema}, render_schema_translate=True))


def upsert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert or replace rows, given as tuples in the order of the table's columns; primary keys must be distinct.

    `table.info["never_decreases"]` names columns whose values, taken together, never decrease: a row that would
    decrease them is ignored. The statement is compiled once and executed as text, because SQLAlchemy's own path for
    many rows costs more per row than everything else the ledger does.
    """
    if not rows:
        return
    statement = _upsert_text(table, connection.dialect, schema_of(connection))
    if connection.dialect.name == POSTGRESQL:
        columns = zip(table.columns, zip(*rows, strict=True), strict=True)
        connection.exec_driver_sql(statement, {column.name: list(values) for column, values in columns})
    else:
        connection.exec_driver_sql(statement, list(rows))


@lru_cache(maxsize=64)
def _upsert_text(table: Table, dialect: Dialect, schema: str | None) -> str:
    columns = list(table.columns)
    insertion = dialect_module(dialect).insert(table)
    if dialect.name == POSTGRESQL:
        # One statement for all rows: the columns travel as arrays.
        arrays = func.unnest(*(bindparam(c.name, type_=ARRAY(c.type)) for c in columns)).table_valued(
            *(c.name for c in columns)
        )
        arrays = arrays.render_derived()
        insertion = insertion.from_select([c.name for c in columns], select(arrays))
    insertion = or_replace(insertion, table)
    return str(insertion.compile(dialect=dialect)) if schema is None else compile_text(insertion, dialect, schema)


def dialect_module(dialect: Dialect) -> Any:
    """Return SQLAlchemy's module for a dialect. A run imports only the one that it needs."""
    return import_module(f"sqlalchemy.dialects.{dialect.name}")


def or_replace(insertion: Any, table: Table) -> Any:
    """Return the insertion with an ON CONFLICT clause that replaces existing rows."""
    fresh = {c.name: insertion.excluded[c.name] for c in table.columns if not c.primary_key}
    if not fresh:
        return insertion.on_conflict_do_nothing()
    ordered = table.info.get("never_decreases", ())
    forward = (
        tuple_(*(insertion.excluded[name] for name in ordered)) >= tuple_(*(table.c[name] for name in ordered))
        if ordered
        else None
    )
    return insertion.on_conflict_do_update(index_elements=list(table.primary_key), set_=fresh, where=forward)
