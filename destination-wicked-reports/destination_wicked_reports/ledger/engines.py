"""Opens the ledger's database, SQLite or PostgreSQL, and words the errors when that fails.

No message contains a statement's parameters, which may be personal data, or a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from destination_wicked_reports.config.urls import parse_url
from destination_wicked_reports.errors import LedgerBusyError, LedgerError
from destination_wicked_reports.ledger.poolers import refuse_transaction_pooler

#: The server must notice within about a minute that a run's machine is gone, because its leases last that long; no
#: timeout may end a session that waits for its source; and a commit must be on disk.
_SESSION_SETTINGS = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "synchronous_commit": "on",
}
#: How long SQLite waits for a lock of its own. A run and its readers hold them only for moments.
_BUSY_SECONDS = 30
#: The client's side of the same, and the connect timeout. The URL can override them.
_CONNECT_DEFAULTS = {
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "application_name": "destination-wicked-reports",
}
#: libpq's messages quote the value of an option of the URL, which may be anything.
_QUOTED_OPTION = re.compile(r'(\bvalue:? |\bservice )"[^"]*"').sub


def sqlite_engine(path: Path | None) -> Engine:
    """Return the engine of a file. None is a ledger in memory."""
    if path is None:
        return create_engine("sqlite://", hide_parameters=True)
    # hide_parameters keeps customers' rows out of error messages.
    url = URL.create("sqlite", database=str(path))  # a URL as text would cut the path at ? and decode %
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _set_pragmas)
    return engine


def let_others_read(connection: Connection) -> None:
    """Let others read a SQLite file during a run. This changes the file, so it must be known to be a ledger."""
    with connection.begin():
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def scratch_engine(path: Path) -> Engine:
    """Return the engine of a temporary file, which need not survive the process."""
    engine = create_engine(URL.create("sqlite", database=str(path)), hide_parameters=True)
    event.listen(engine, "connect", _set_scratch_pragmas)
    return engine


def sqlite_reader(path: Path) -> Engine:
    """Return a read-only engine of a file; it never creates the file."""
    url = URL.create("sqlite", database=path.absolute().as_uri(), query={"mode": "ro", "uri": "true"})
    return create_engine(url, hide_parameters=True)


def postgresql_engine(url: str, schema: str) -> tuple[Engine, str]:
    """Return the engine of a schema in a database, and its description for messages."""
    parsed = parse_url(url)
    engine = create_engine(
        parsed.set(query={**_CONNECT_DEFAULTS, **parsed.query}),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=1,
        max_overflow=0,
        # Behind a pooler, a search path may be another client's, and so may a prepared statement.
        execution_options={"schema_translate_map": {None: schema}},
        connect_args={"prepare_threshold": None},
    )
    address = f"{parsed.host or 'this machine'}{f':{parsed.port}' if parsed.port else ''}"
    description = f"The ledger in PostgreSQL ({address}, database {parsed.database}, schema {schema})"
    event.listen(engine, "connect", _set_up_session(description))
    return engine, description


def location_of(description: str) -> str:
    """Return where a ledger is, given what messages call it: the path, or `PostgreSQL (…)`."""
    return description.removeprefix("The ledger ").removeprefix("in ")


def reason(error: DBAPIError) -> str:
    """Return the first line of the database's message, which quotes no row."""
    diagnosis = getattr(error.orig, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or str(error.orig).partition("\n")[0]
    return _QUOTED_OPTION(r'\1"…"', message.rstrip("."))


def folder_error(path: Path) -> LedgerError:
    """Return the error for a path that leads to a folder."""
    return LedgerError(f"The ledger {path} is a folder. Name a file in it.")


def opening_error(error: DBAPIError, description: str) -> LedgerError:
    """Return the error for a ledger that could not be opened."""
    subject = description[0].lower() + description[1:]
    if isinstance(error.orig, LedgerError):
        return error.orig
    if "locked" in str(error.orig) and "database" in str(error.orig):
        return LedgerBusyError(
            f"Another run is using {subject}. Wait until it ends, or give this connection its own ledger."
        )
    if "PostgreSQL" in description:
        return LedgerError(
            f"{description} cannot be opened: {reason(error)}. Nothing was changed. Check the server, the ledger's URL "
            "and the user's privileges (CONNECT, and CREATE on the database or on the schema)."
        )
    if isinstance(error, OperationalError) and "no such" not in str(error.orig):
        return LedgerError(f"{description} cannot be opened: {reason(error)}.")
    return LedgerError(
        f"{description} is not a readable ledger ({reason(error)}). Nothing was changed. Restore a backup, or move "
        "the file away: then everything is sent again."
    )


def _set_pragmas(connection: Any, _: Any) -> None:
    """Survive power loss."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA cache_size=-16000")  # kB; the default of 2 MB is too small for a year's ledger
    cursor.close()


def _set_scratch_pragmas(connection: Any, _: Any) -> None:
    for pragma in ("journal_mode=MEMORY", "synchronous=OFF", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}")


def _set_up_session(description: str) -> Callable[[Any, Any], None]:
    def set_up(connection: Any, _: Any) -> None:
        before, connection.autocommit = connection.autocommit, True
        refuse_transaction_pooler(connection, description)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config(name, wanted, false) FROM unnest(%s::text[], %s::text[]) AS s(name, wanted) "
                "JOIN pg_settings USING (name) WHERE name <> 'synchronous_commit' OR setting = 'off'",
                (list(_SESSION_SETTINGS), list(_SESSION_SETTINGS.values())),
            )
        connection.autocommit = before

    return set_up
