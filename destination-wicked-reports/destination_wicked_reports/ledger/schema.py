"""The ledger's tables: creating and migrating them, and the bulk insert into `sent`.

How to change the schema: edit the tables below, and append to `MIGRATIONS` a function that turns the previous version
into the new one. `VERSION` follows by itself. A ledger is migrated when a run opens it, in one transaction; a ledger of
an unknown version is refused and left unchanged. `unit_tests/ledger/test_ledger.py` and
`integration_tests/test_postgres_ledger.py` show how to test a migration on both databases.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
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
    literal_column,
    select,
)
from sqlalchemy.schema import CreateSchema

from destination_wicked_reports.errors import LedgerError
from destination_wicked_reports.ledger.sql import (
    EACH,
    POSTGRESQL,
    compile_text,
    dialect_module,
    has_table,
    key_parameters,
    or_replace,
    schema_of,
    upsert,
)

#: The `info` of columns whose texts start with a source system; see `renaming.py`.
SCOPED = {"scoped": True}
#: In the `info` of an index: the condition of a partial one. SQLAlchemy's own option imports the dialect it names.
WHERE = "where"

metadata = MetaData()
settings = Table("ledger", metadata, Column("name", String, primary_key=True), Column("value", String, nullable=False))
#: Rows that Wicked accepted, and rows whose outcome is unknown.
sent = Table(
    "sent",
    metadata,
    Column("store", String, primary_key=True),  # live or test, as in Wicked
    Column("endpoint", String, primary_key=True),
    Column("key", String, primary_key=True, info=SCOPED),
    Column("digest", LargeBinary, nullable=False),
    Column("status", String, nullable=False),
    Column("stream", String, nullable=False),
    Column("sent_at", BigInteger, nullable=False),  # UNIX seconds
    sqlite_with_rowid=False,
)
#: Earlier versions of rows in `sent` that were sent again.
sent_before = Table(
    "sent_before",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    *(Column(column.name, column.type, nullable=False, info=column.info) for column in sent.columns),
)
#: The latest `SaleState` of every sale.
sales = Table(
    "sales",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True, info=SCOPED),
    Column("version", Integer, nullable=False),
    Column("state", String, nullable=False),  # see sale_json.py
    sqlite_with_rowid=False,
    info={"never_decreases": ("version",)},
)
#: `SaleState.aliases`: what rows that take money back may have in common with a sale.
sale_aliases = Table(
    "sale_aliases",
    metadata,
    Column("store", String, primary_key=True),
    Column("alias", String, primary_key=True, info=SCOPED),
    Column("sale_key", String, primary_key=True, info=SCOPED),
    sqlite_with_rowid=False,
)
#: The payments that each row of a sale carried.
sale_events = Table(
    "sale_events",
    metadata,
    Column("store", String, primary_key=True),
    Column("sale_key", String, primary_key=True, info=SCOPED),
    Column("version", Integer, primary_key=True),  # of the sale after the row
    Column("endpoint", String, nullable=False),
    Column("key", String, nullable=False, info=SCOPED),
    Column("currency", String, nullable=False),
    Column("payments", String, nullable=False),  # JSON: a list of number, status, amount
    Column("sent_at", BigInteger, nullable=False),  # UNIX seconds
    sqlite_with_rowid=False,
)
#: Requests that were written before they were posted and whose outcome is not recorded yet.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("store", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the request body, to be sent again byte for byte
    Column("rows", LargeBinary, nullable=False),  # see outbox.encode_rows
    Column("created_at", BigInteger, nullable=False),
    Column("run", String, nullable=False, server_default=""),  # the run that posts it; see leases.py
    Column("scopes", String, nullable=False, server_default=""),  # JSON: the scopes of its rows
)
#: PostgreSQL only: the run that works on the rows of a scope, or last did. See leases.py.
leases = Table(
    "leases",
    metadata,
    Column("store", String, primary_key=True),
    Column("scope", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("holder", String, nullable=False),
    Column("since", BigInteger, nullable=False),
)

#: Every run that changed the ledger; see runs.py.
runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("store", String, nullable=False),
    Column("command", String, nullable=False),
    Column("version", String, nullable=False),
    Column("holder", String, nullable=False),
    Column("started_at", BigInteger, nullable=False),  # UNIX seconds
    Column("ended_at", BigInteger),  # none while it is in progress, or if it was killed
    Column("exit_code", Integer),
    Column("report", String, nullable=False),  # JSON; see delivery/report.py
    sqlite_with_rowid=False,
)

#: Step n leads from version n of the schema to version n + 1.
MIGRATIONS: list[Callable[[Connection], None]] = []
_VERSION_NAME = "schema_version"
_ID_NAME = "ledger_id"
#: The stores of a ledger.
LIVE, TEST = "live", "test"


def other_store(store: str) -> str:
    """Return the other one of the two stores."""
    return TEST if store == LIVE else LIVE


def current_version() -> int:
    """Return the version that this release reads and writes."""
    return 1 + len(MIGRATIONS)


def prepare(connection: Connection, description: str) -> None:
    """Create the tables, or migrate those of an earlier release, in the open transaction.

    Raises LedgerError, with nothing changed, for an unknown version and for foreign tables of the same names.
    """
    if connection.dialect.name == POSTGRESQL:
        _lock_tables(connection)
        schema = schema_of(connection)
        if schema not in inspect(connection).get_schema_names():
            connection.execute(CreateSchema(str(schema)))
        connection.execute(select(func.set_config("search_path", schema, True)))  # for migrations; ends with this
    else:
        # SQLite's driver opens no transaction before CREATE or ALTER.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    found = stored_version(connection, description)
    if found is None:
        if _is_foreign(connection):
            raise LedgerError(
                f"{description} is not a ledger of this connector: it has tables of another program. Nothing was "
                "changed. Choose another location for the ledger."
            )
        metadata.create_all(connection)
        upsert(connection, settings, [(_ID_NAME, uuid.uuid4().hex)])
    else:
        for migrate in MIGRATIONS[found - 1 :]:
            migrate(connection)
    if found != current_version():
        upsert(connection, settings, [(_VERSION_NAME, str(current_version()))])


def _is_foreign(connection: Connection) -> bool:
    """Return whether a database without a ledger is another program's.

    That is a SQLite file with any table. A schema of PostgreSQL may be shared, if the names of the tables differ.
    """
    if connection.dialect.name != POSTGRESQL:
        return bool(inspect(connection).get_table_names())
    return any(has_table(connection, table) for table in metadata.sorted_tables)


def stored_id(connection: Connection) -> str:
    """Return the random id that the ledger was given when it was created."""
    return str(connection.scalar(select(settings.c.value).where(settings.c.name == _ID_NAME)))


def renames_name(store: str) -> str:
    """Return the name of the setting that lists the renames of a store's source systems; see `renaming.py`."""
    return f"renamed.{store}"


def stored_renames(connection: Connection, store: str) -> list[tuple[str, str, int]]:
    """Return the renames of a store's source systems, oldest first: old name, new name, UNIX seconds."""
    value = connection.scalar(select(settings.c.value).where(settings.c.name == renames_name(store)))
    return [(old, new, at) for old, new, at in orjson.loads(value or "[]")]


def stored_version(connection: Connection, description: str) -> int | None:
    """Return the version of the existing tables, None if there are none. Raises LedgerError if it is unknown."""
    if not has_table(connection, settings):
        return None
    found = connection.scalar(select(settings.c.value).where(settings.c.name == _VERSION_NAME))
    version = int(found) if found and found.isdecimal() else -1
    if not 1 <= version <= current_version():
        raise LedgerError(
            f"{description} has schema version {version}; this release supports versions up to {current_version()}. "
            "Use the release that wrote it, or a newer one."
        )
    return version


def create_tables(connection: Connection, tables: MetaData) -> None:
    """Create the tables that do not exist yet; a transaction must be open."""
    if connection.dialect.name == POSTGRESQL:
        _lock_tables(connection)
    for table in tables.tables.values():
        for index in table.indexes:
            if WHERE in index.info:
                index.dialect_options[connection.dialect.name][WHERE] = index.info[WHERE]
    tables.create_all(connection)


def _lock_tables(connection: Connection) -> None:
    """Keep other runs from creating tables until this transaction ends: two that create the same one both fail."""
    lock = func.hashtextextended("wicked-reports ledger tables", 0)
    connection.execute(select(func.pg_advisory_xact_lock(lock)))


def upsert_sent(connection: Connection, keys: Sequence[str], digests: Iterable[bytes], **same: str | int) -> None:
    """Upsert rows of `sent` that differ only in key and digest; keys must be distinct, digests of equal length.

    All keys travel as one parameter, and so do the digests: these are most of the rows that a ledger ever writes, and
    binding the values one by one costs as much as storing them.
    """
    all_digests = b"".join(digests)
    values = {"digests": all_digests, "size": len(all_digests) // len(keys), **key_parameters(keys), **same}
    connection.exec_driver_sql(_upsert_sent_text(connection.dialect, schema_of(connection)), values)


@lru_cache(maxsize=64)
def _upsert_sent_text(dialect: Dialect, schema: str | None) -> str:
    size = bindparam("size", type_=Integer)
    digest = func.substr(bindparam("digests", type_=LargeBinary), EACH.c.position * size + literal_column("1"), size)
    values: dict[Column[Any], Any] = {c: bindparam(c.name, type_=c.type) for c in sent.columns}
    values |= {sent.c.key: EACH.c.value, sent.c.digest: digest}
    # Without a WHERE, SQLite parses the ON of ON CONFLICT as the ON of a join.
    selected = select(*values.values()).where(EACH.c.position >= literal_column("0"))
    insertion = dialect_module(dialect).insert(sent).from_select(list(values), selected)
    return compile_text(or_replace(insertion, sent), dialect, schema)
