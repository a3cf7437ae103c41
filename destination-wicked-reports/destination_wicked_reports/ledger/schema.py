"""The ledger's tables: how they are made, brought up to date, and filled with what was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

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

from destination_wicked_reports.errors import LedgerError
from destination_wicked_reports.ledger.sql import EACH, POSTGRESQL, as_text, listed, or_replace, own_words, upsert

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
    for added in (outbox.c.run, outbox.c.scopes):
        connection.exec_driver_sql(f"ALTER TABLE outbox ADD COLUMN {added.name} VARCHAR DEFAULT '' NOT NULL")
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
        there = inspect(connection)
        if any(there.has_table(table.name) for table in metadata.sorted_tables):
            raise LedgerError(
                f"{description} is no ledger of this connector: it has tables of the same names. Nothing was changed: "
                "choose another place for the ledger."
            )
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


def remember(connection: Connection, keys: Sequence[str], digests: Iterable[bytes], **same: str | int) -> None:
    """Upsert rows of `sent` that differ in key and digest only, the latter all of one length; no key may come twice.

    The keys travel as one parameter, and so do the digests: most rows a ledger ever writes are these, and to bind a
    row's values one by one costs as much as storing them.
    """
    joined = b"".join(digests)
    values = {"digests": joined, "size": len(joined) // len(keys), **listed(keys), **same}
    connection.exec_driver_sql(_remembering_text(connection.dialect), values)


@lru_cache(maxsize=64)
def _remembering_text(dialect: Dialect) -> str:
    size = bindparam("size", type_=Integer)
    digest = func.substr(bindparam("digests", type_=LargeBinary), EACH.c.place * size + literal_column("1"), size)
    values: dict[Column[Any], Any] = {c: bindparam(c.name, type_=c.type) for c in sent.columns}
    values |= {sent.c.key: EACH.c.value, sent.c.digest: digest}
    # Without a condition, SQLite takes the ON of what follows for a join's.
    chosen = select(*values.values()).where(EACH.c.place >= literal_column("0"))
    return as_text(or_replace(own_words(dialect).insert(sent).from_select(list(values), chosen), sent), dialect)
