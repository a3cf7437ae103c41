"""Copies a ledger, table by table, from one consistent snapshot: to another database, or to a private file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Integer, Table, delete, func, insert, literal, select, text
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.mappings import AffiliateMapping, BigcommerceMapping
from destination_wicked_reports.config.paths import ledger_path
from destination_wicked_reports.config.spec import Config, NoLedger, PostgresLedger
from destination_wicked_reports.errors import ConfigurationError, LedgerEmptyError, LedgerError
from destination_wicked_reports.ledger.engines import reason, scratch_engine
from destination_wicked_reports.ledger.leases import scope_of
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.opening import open_ledger
from destination_wicked_reports.ledger.reading import open_snapshot, store_of
from destination_wicked_reports.ledger.schema import leases, outbox, runs, sale_events, sent, sent_before, settings
from destination_wicked_reports.ledger.sql import POSTGRESQL, has_table, schema_of, starts_with
from destination_wicked_reports.ledger.tables import TABLES

#: Rows that travel at a time.
_CHUNK = 5_000
#: Tables that no mapping asks: what was sent in earlier versions, and who works where.
_HISTORY = (sent_before, sale_events, leases, runs)


@dataclass(slots=True, frozen=True)
class Content:
    """How many rows a table has, and a digest of them that does not depend on their order."""

    rows: int
    digest: int


# -- a private copy ---------------------------------------------------------------------------------------------------


def open_scratch(config: Config, folder: Path) -> Ledger:
    """Return a ledger in this folder with what the configured one holds; neither the ledger nor a run notices.

    A file is copied as it is. Of a PostgreSQL ledger only the rows that the configured mapping can ask for are read.
    """
    path = folder / "ledger.sqlite"
    source = ledger_path(config)
    if source is not None and source.is_file():
        with open_snapshot(config):  # refuses what is no ledger
            pass
        uri = f"{source.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as reader, closing(sqlite3.connect(path)) as copy:
            reader.backup(copy)
    description = "The ledger" if isinstance(config.ledger, NoLedger) else _description(config)
    ledger = Ledger(scratch_engine(path), store_of(config), description)
    if isinstance(config.ledger, PostgresLedger):
        try:
            _fill(config, ledger)
        except LedgerEmptyError:
            pass  # so is the copy
        except LedgerError:
            ledger.close()
            raise
    return ledger


def _description(config: Config) -> str:
    path = ledger_path(config)
    return f"The ledger {path}" if path else "The ledger in PostgreSQL"


def _fill(config: Config, ledger: Ledger) -> None:
    with open_snapshot(config) as snapshot, ledger.connection.begin():
        ledger.connection.execute(delete(settings))
        for table in _existing(snapshot.connection):
            if table in _HISTORY:
                continue
            _create(ledger.connection, [table])
            for chunk in _read(snapshot.connection, table, _asked_for(config, table)):
                ledger.connection.execute(insert(table), chunk)


def _asked_for(config: Config, table: Table) -> list[ColumnElement[bool]]:
    """Return the conditions of the rows that the configured mapping can ask for."""
    conditions = [table.c.store == store_of(config)] if "store" in table.c else []
    if table is sent and isinstance(config.mapping, AffiliateMapping | BigcommerceMapping):
        conditions.append(starts_with(sent.c.key, config.mapping.source_system + SEPARATOR))
    return conditions


# -- a ledger that takes the place of another -------------------------------------------------------------------------


def copy_ledger(config: Config, target: Config) -> dict[str, Content]:
    """Copy the ledger of a configuration to that of another one, which must be empty; return what each table has.

    All is copied or nothing: the copy is read again and compared before it is committed. Raises LedgerError.
    """
    if isinstance(target.ledger, NoLedger):
        raise ConfigurationError(
            "The target has no ledger (`none`): choose `sqlite` or `postgres` in its configuration."
        )
    with open_snapshot(config) as snapshot, closing(open_ledger(target, 0)) as ledger:
        try:
            with ledger.connection.begin():
                return _copy(snapshot.connection, ledger)
        except DBAPIError as error:
            raise LedgerError(
                f"{ledger.description} could not be filled ({reason(error)}). Nothing was copied."
            ) from None


def _copy(source: Connection, ledger: Ledger) -> dict[str, Content]:
    target, tables = ledger.connection, _existing(source)
    _create(target, tables)
    if target.dialect.name == POSTGRESQL:
        names = ", ".join(_qualified(target, table) for table in tables)
        target.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
    filled = [table.name for table in _existing(target) if table not in (settings, leases) and _has_rows(target, table)]
    if filled:
        raise LedgerError(
            f"{ledger.description} is not empty (it has rows in {', '.join(filled)}). Nothing was copied. Choose a new "
            "path or schema."
        )
    contents = {}
    for table in tables:
        target.execute(delete(table))
        copied = Content(0, 0)
        for chunk in _read(source, table):
            if table is outbox and target.dialect.name == POSTGRESQL:
                chunk = [_with_scopes(row) for row in chunk]
            if chunk:
                target.execute(insert(table), chunk)
            copied = _add(copied, table, chunk)
        found = Content(0, 0)
        for chunk in _read(target, table):
            found = _add(found, table, chunk)
        if found != copied:
            raise LedgerError(
                f"{ledger.description} did not store the table {table.name} as it was written ({copied.rows:,} rows "
                f"written, {found.rows:,} read). Nothing was copied. Check the disk or the database."
            )
        contents[table.name] = found
        _continue_numbering(target, table)
    return contents


def _with_scopes(row: dict[str, Any]) -> dict[str, Any]:
    """Return a request in flight with the scopes of its rows, which only PostgreSQL needs; see `leases.py`."""
    scopes = row["scopes"] or orjson.dumps(sorted({scope_of(each[0]) for each in orjson.loads(row["rows"])})).decode()
    return {**row, "scopes": scopes}


def _continue_numbering(connection: Connection, table: Table) -> None:
    """Let the numbers of a table that counts its rows go on after the copied ones."""
    column = table.autoincrement_column
    if connection.dialect.name == POSTGRESQL and column is not None and isinstance(column.type, Integer):
        sequence = func.pg_get_serial_sequence(_qualified(connection, table), column.name)
        last = func.coalesce(select(func.max(column)).scalar_subquery(), 1)
        used = select(func.count() > 0).select_from(table).scalar_subquery()
        connection.execute(select(func.setval(sequence, last, used)))


def _existing(connection: Connection) -> list[Table]:
    return [table for table in TABLES if has_table(connection, table)]


def _qualified(connection: Connection, table: Table) -> str:
    return f'"{schema_of(connection)}".{table.name}'


def _create(connection: Connection, tables: Iterable[Table]) -> None:
    for table in tables:
        table.create(connection, checkfirst=True)


def _has_rows(connection: Connection, table: Table) -> bool:
    return connection.scalar(select(literal(1)).select_from(table).limit(1)) is not None


def _read(
    connection: Connection, table: Table, conditions: Sequence[ColumnElement[bool]] = ()
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a table in chunks, without holding all of them."""
    query = select(table).where(*conditions).execution_options(yield_per=_CHUNK)
    with connection.execute(query) as result:
        rows = iter(result.mappings())
        while chunk := [dict(row) for row in islice(rows, _CHUNK)]:
            yield chunk


def _add(content: Content, table: Table, rows: Sequence[dict[str, Any]]) -> Content:
    digest = content.digest
    for row in rows:
        encoded = repr([_plain(row[column.name]) for column in table.columns]).encode(errors="surrogatepass")
        digest += int.from_bytes(blake2b(encoded, digest_size=16).digest(), "big")
    return Content(content.rows + len(rows), digest % (1 << 128))


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview | bytearray) else value
