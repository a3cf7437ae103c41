"""The statements that every module with tables in the ledger needs, in the words of any database.

`among` asks for rows by any number of keys, which travel as one parameter. `upsert` inserts or replaces many rows.
Both say the same to SQLite and to PostgreSQL, so a module that keeps a table of its own (`sums.py`, `documents.py`)
needs to know neither: it declares the table in a `MetaData` of its own, makes it with `schema.make_tables`, and uses
the ledger's connection inside `with connection.begin():`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
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
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

POSTGRESQL = "postgresql"


class _Each(FunctionElement[str]):
    """The texts of a JSON array as a table with two columns: `value`, and `place`, which counts from 0."""

    inherit_cache = True


@compiles(_Each)
def _each_of_sqlite(element: _Each, compiler: SQLCompiler, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return f"(SELECT value, key AS place FROM json_each({array}))"  # noqa: S608 - the array is a placeholder


@compiles(_Each, POSTGRESQL)
def _each_of_postgresql(element: _Each, compiler: SQLCompiler, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return (
        f"(SELECT value, CAST(place - 1 AS INTEGER) AS place FROM json_array_elements_text(CAST({array} AS JSON)) "  # noqa: S608
        "WITH ORDINALITY AS listed (value, place))"
    )


#: The keys that the parameter `keys` names; see `listed`.
EACH = _Each(bindparam("keys", type_=String())).table_valued("value", column("place", Integer))


def among(searched: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of the keys that the parameter `keys` will name; see `listed`."""
    return searched.in_(select(EACH.c.value))


def begins(column: ColumnElement[str], start: str) -> ColumnElement[bool]:
    """Return the condition that a text begins so, letter for letter: SQLite's LIKE takes small letters for capitals."""
    return func.substr(column, 1, len(start)) == start


def listed(keys: Iterable[str]) -> dict[str, str]:
    """Return the parameters of a statement with `among` in it: one, whatever the number of keys."""
    return {"keys": orjson.dumps(list(keys)).decode()}


def as_text(statement: ClauseElement, dialect: Dialect) -> str:
    """Return a statement as the driver takes it, its parameters by name."""
    named = dialect if dialect.name == POSTGRESQL else own_words(dialect).dialect(paramstyle="named")
    return str(statement.compile(dialect=named))


def upsert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert or replace rows, given as tuples in the table's order of columns; no primary key may come twice.

    `table.info["never_back"]` names columns of which no row may take a lesser value: such a row is left out.
    The statement is compiled by SQLAlchemy once and executed as text: its own many-row path costs more per row than
    everything else that the ledger does.
    """
    if not rows:
        return
    statement = _upsert_text(table, connection.dialect)
    if connection.dialect.name == POSTGRESQL:
        columns = zip(table.columns, zip(*rows, strict=True), strict=True)
        connection.exec_driver_sql(statement, {column.name: list(values) for column, values in columns})
    else:
        connection.exec_driver_sql(statement, list(rows))


@lru_cache(maxsize=64)
def _upsert_text(table: Table, dialect: Dialect) -> str:
    columns = list(table.columns)
    insertion = own_words(dialect).insert(table)
    if dialect.name == POSTGRESQL:
        # One statement for all rows: the columns travel as arrays.
        arrays = func.unnest(*(bindparam(c.name, type_=ARRAY(c.type)) for c in columns)).table_valued(
            *(c.name for c in columns)
        )
        arrays = arrays.render_derived()
        insertion = insertion.from_select([c.name for c in columns], select(arrays))
    return str(or_replace(insertion, table).compile(dialect=dialect))


def own_words(dialect: Dialect) -> Any:
    """Return SQLAlchemy's module for a database's own SQL; imported here, for a run needs one of the two."""
    from sqlalchemy.dialects import postgresql, sqlite

    return postgresql if dialect.name == POSTGRESQL else sqlite


def or_replace(insertion: Any, table: Table) -> Any:
    """Let an insertion replace the rows that are there already."""
    fresh = {c.name: insertion.excluded[c.name] for c in table.columns if not c.primary_key}
    ordered = table.info.get("never_back", ())
    forward = (
        tuple_(*(insertion.excluded[name] for name in ordered)) >= tuple_(*(table.c[name] for name in ordered))
        if ordered
        else None
    )
    return insertion.on_conflict_do_update(index_elements=list(table.primary_key), set_=fresh, where=forward)
