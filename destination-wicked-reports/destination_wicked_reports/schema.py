"""The ledger's tables, and the two statements that every module with tables in it needs, in the words of any database.

`among` asks for rows by any number of keys, which travel as one parameter. `upsert` inserts or replaces many rows.
Both say the same to SQLite and to PostgreSQL, so a module that keeps a table of its own beside these (`sums.py`,
`documents.py`) needs to know neither: it declares the table in a `MetaData` of its own, makes it with `make_tables`,
and uses the ledger's connection inside `with connection.begin():`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    inspect,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

POSTGRESQL = "postgresql"


class LedgerError(Exception):
    """The ledger cannot be used; the message says why and what to do."""


class LedgerBusyError(LedgerError):
    """Another run holds the ledger, or the part of it that this run needs."""


metadata = MetaData()
info = Table("ledger", metadata, Column("name", String, primary_key=True), Column("value", String, nullable=False))
sent = Table(
    "sent",
    metadata,
    Column("store", String, primary_key=True),  # live or test: Wicked keeps two stores, so do we
    Column("endpoint", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("status", String, nullable=False),
    Column("stream", String, nullable=False),
    Column("sent_at", BigInteger, nullable=False),  # UNIX seconds
    sqlite_with_rowid=False,
)
orders = Table(
    "orders",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("total", String, nullable=False),  # money is decimal text: no database rounds it
    Column("approved", String, nullable=False),
    Column("refunded", String, nullable=False),
    Column("status", String, nullable=False),
    Column("payments", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("currency", String, nullable=False),
    Column("changed", String, nullable=False),
    sqlite_with_rowid=False,
    # Rows leave by endpoint, so the order of a revived sale may be settled before the refund of its former one.
    info={"never_back": ("revision", "payments")},
)
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("store", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the request as it was sent, to be sent again byte for byte
    Column("rows", LargeBinary, nullable=False),  # what its rows are called, and what they do to their orders
    Column("marked_at", BigInteger, nullable=False),
    Column("run", String, nullable=False, server_default=""),  # which run has it under way; see leases.py
    Column("scopes", String, nullable=False, server_default=""),  # JSON: the scopes of its rows
)
#: Which run works on the rows of a scope, or was the last to; PostgreSQL only. See leases.py.
leases = Table(
    "leases",
    metadata,
    Column("store", String, primary_key=True),
    Column("scope", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("holder", String, nullable=False),
    Column("since", BigInteger, nullable=False),
)
#: What `sent` said of a row before the row was sent again.
former = Table(
    "former",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    *(Column(column.name, column.type, nullable=False) for column in sent.columns),
)
#: What every row of an affiliate order did to it: the order as it stood once the row was told.
order_events = Table(
    "order_events",
    metadata,
    Column("store", String, primary_key=True),
    Column("order_key", String, primary_key=True),
    Column("endpoint", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("payments", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("total", String, nullable=False),
    Column("approved", String, nullable=False),
    Column("refunded", String, nullable=False),
    Column("told_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


def _outbox_of_runs(connection: Connection) -> None:
    """Version 2: the outbox knows whose a request is, and what is overwritten is kept."""
    for column in (outbox.c.run, outbox.c.scopes):
        connection.exec_driver_sql(f"ALTER TABLE outbox ADD COLUMN {column.name} VARCHAR DEFAULT '' NOT NULL")
    metadata.create_all(connection, tables=[leases, former, order_events])


def _dated_parts(connection: Connection) -> None:
    """Version 3: `sums.py`, whose tables are made when first asked for, knows when the source changed a row."""
    if inspect(connection).has_table("parts"):
        connection.exec_driver_sql("ALTER TABLE parts ADD COLUMN changed VARCHAR DEFAULT '' NOT NULL")


#: Each step leads from one version of the schema to the next, the first of them from version 1.
MIGRATIONS: list[Callable[[Connection], None]] = [_outbox_of_runs, _dated_parts]
VERSION = 1 + len(MIGRATIONS)
_VERSION_NAME = "schema_version"


def prepare(connection: Connection, description: str) -> None:
    """Make the tables, or bring those of an earlier release up to date, in the transaction that is open.

    Raises LedgerError, with nothing changed, for a version that this release does not know.
    """
    if connection.dialect.name == POSTGRESQL:
        _one_at_a_time(connection)
        schema = func.current_setting("search_path")
        if connection.scalar(select(func.to_regnamespace(schema).is_(None))):
            connection.exec_driver_sql(f"CREATE SCHEMA {connection.scalar(select(schema))}")
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver would begin no transaction before a CREATE or ALTER
    found = version(connection)
    if found is None:
        metadata.create_all(connection)
    elif not 1 <= found <= VERSION:
        raise LedgerError(
            f"{description} has schema version {found}; this release knows {VERSION}. "
            "Use the release that wrote it, or a newer one."
        )
    else:
        for migrate in MIGRATIONS[found - 1 :]:
            migrate(connection)
    if found != VERSION:
        upsert(connection, info, [(_VERSION_NAME, str(VERSION))])


def version(connection: Connection) -> int | None:
    """Return the version of the tables that are there, None if there are none; -1 for what is no number."""
    if not inspect(connection).has_table(info.name):
        return None
    found = connection.scalar(select(info.c.value).where(info.c.name == _VERSION_NAME))
    return int(found) if found and found.isdecimal() else -1


def make_tables(connection: Connection, tables: MetaData) -> None:
    """Make those of the tables that are not there yet; a transaction must be open."""
    if connection.dialect.name == POSTGRESQL:
        _one_at_a_time(connection)
    tables.create_all(connection)


def _one_at_a_time(connection: Connection) -> None:
    """Let no other run make tables until this transaction ends: two that make the same table fail each other."""
    lock = func.hashtextextended("wicked-reports ledger tables", 0)
    connection.execute(select(func.pg_advisory_xact_lock(lock)))


class _Each(FunctionElement[str]):
    """The texts of a JSON array as a table with one column, `value`."""

    inherit_cache = True


@compiles(_Each)
def _each_of_sqlite(element: _Each, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_Each, POSTGRESQL)
def _each_of_postgresql(element: _Each, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS JSON))"


_KEYS = select(_Each(bindparam("keys", type_=String())).table_valued("value").c.value)


def among(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of the keys that the parameter `keys` will name; see `listed`."""
    return column.in_(_KEYS)


def begins(column: ColumnElement[str], start: str) -> ColumnElement[bool]:
    """Return the condition that a text begins so, letter for letter: SQLite's LIKE takes small letters for capitals."""
    return func.substr(column, 1, len(start)) == start


def listed(keys: Iterable[str]) -> dict[str, str]:
    """Return the parameters of a statement with `among` in it: one, whatever the number of keys."""
    return {"keys": orjson.dumps(list(keys)).decode()}


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
    from sqlalchemy.dialects import postgresql, sqlite  # here, for a run needs one of the two

    columns = list(table.columns)
    if dialect.name == POSTGRESQL:
        # One statement for all rows: the columns travel as arrays.
        arrays = func.unnest(*(bindparam(c.name, type_=ARRAY(c.type)) for c in columns)).table_valued(
            *(c.name for c in columns)
        )
        arrays = arrays.render_derived()
        insertion: Any = postgresql.insert(table).from_select([c.name for c in columns], select(arrays))
    else:
        insertion = sqlite.insert(table)
    fresh = {c.name: insertion.excluded[c.name] for c in columns if not c.primary_key}
    ordered = table.info.get("never_back", ())
    forward = (
        tuple_(*(insertion.excluded[name] for name in ordered)) >= tuple_(*(table.c[name] for name in ordered))
        if ordered
        else None
    )
    statement = insertion.on_conflict_do_update(index_elements=list(table.primary_key), set_=fresh, where=forward)
    return str(statement.compile(dialect=dialect))
