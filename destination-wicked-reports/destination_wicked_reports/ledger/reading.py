"""Opens a ledger for reading: one consistent snapshot, also while a run writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.config.paths import ledger_path
from destination_wicked_reports.config.spec import Config, PostgresLedger
from destination_wicked_reports.errors import LedgerEmptyError, LedgerError
from destination_wicked_reports.ledger.engines import folder_error, opening_error, postgresql_engine, sqlite_reader
from destination_wicked_reports.ledger.schema import LIVE, TEST, stored_version


@dataclass(slots=True, frozen=True)
class Snapshot:
    """An open, read-only transaction on a ledger; `path` is None for PostgreSQL."""

    connection: Connection
    store: str
    description: str
    path: Path | None


def store_of(config: Config) -> str:
    """Return the store that a configuration uses."""
    return TEST if config.test_mode else LIVE


@contextlib.contextmanager
def open_snapshot(config: Config) -> Iterator[Snapshot]:
    """Open the configured ledger for reading.

    Raises LedgerError if there is none, and DBAPIError's text as one if it cannot be read.
    """
    engine, description = _reader(config)
    try:
        with engine.connect() as connection, connection.begin():
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")  # the driver opens no transaction before SELECT
            if stored_version(connection, description) is None:
                raise LedgerEmptyError(f"{description} is empty: nothing was sent yet with this configuration.")
            yield Snapshot(connection, store_of(config), description, ledger_path(config))
    except DBAPIError as error:
        raise opening_error(error, description) from None
    finally:
        engine.dispose()


def _reader(config: Config) -> tuple[Engine, str]:
    if isinstance(config.ledger, PostgresLedger):
        engine, description = postgresql_engine(config.ledger.url, config.ledger.schema_name)
        return engine.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ"), description
    path = ledger_path(config)
    if path is None:
        raise LedgerError("This configuration has no ledger (`none`), so nothing is known about what was sent.")
    try:
        exists = path.is_file()
    except OSError as error:  # a name that is too long
        raise LedgerError(f"The ledger {path} cannot be opened ({error.strerror}).") from None
    if path.is_dir():
        raise folder_error(path)
    if not exists:
        raise LedgerError(
            f"There is no ledger at {path}: nothing was sent yet with this configuration, or only on another machine."
        )
    return sqlite_reader(path), f"The ledger {path}"
