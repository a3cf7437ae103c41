"""The two databases a ledger may lie in: how each is opened, and what is said when it cannot be.

No text from here holds a parameter of a statement, which may be a customer's row, or a password.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from destination_wicked_reports.config.urls import parse_url
from destination_wicked_reports.errors import LedgerBusyError, LedgerError

#: The server is to notice within a minute or so that a run's machine is gone, for its leases last that long; no
#: time-out may end a session that waits for its source; and what is committed must be on disk.
_SESSION_SETTINGS = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "idle_session_timeout": "0",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "synchronous_commit": "on",
}
#: The same from this side, and how long a connection may take; the URL may say otherwise.
_CONNECT_DEFAULTS = {
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "application_name": "destination-wicked-reports",
}


def sqlite_engine(path: Path | None, patience: float = 0) -> Engine:
    """Return the engine of a file, waiting `patience` seconds for its lock; None is a ledger in memory."""
    if path is None:
        return create_engine("sqlite://", hide_parameters=True)
    # hide_parameters: an error text must never carry a customer's row into a log.
    engine = create_engine(f"sqlite:///{path}", hide_parameters=True, connect_args={"timeout": patience})
    event.listen(engine, "connect", _durable_and_exclusive)
    return engine


def sqlite_reader(path: Path) -> Engine:
    """Return the engine of a file that is only read, and is not made if it is not there."""
    return create_engine(f"sqlite:///file:{path.absolute()}?mode=ro&uri=true", hide_parameters=True)


def postgresql_engine(url: str, schema: str) -> tuple[Engine, str]:
    """Return the engine of a schema in a database, and what to call it in texts."""
    parsed = parse_url(url)
    engine = create_engine(
        parsed.set(query={**_CONNECT_DEFAULTS, **parsed.query}),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=1,
        max_overflow=0,
    )
    event.listen(engine, "connect", _enter_schema(schema))
    place = f"{parsed.host or 'this machine'}{f':{parsed.port}' if parsed.port else ''}"
    return engine, f"The ledger in PostgreSQL ({place}, database {parsed.database}, schema {schema})"


def reason(error: DBAPIError) -> str:
    """Return the database's own words for what went wrong, less everything that may quote a row."""
    diagnosis = getattr(error.orig, "diag", None)
    words = getattr(diagnosis, "message_primary", None) or str(error.orig).partition("\n")[0]
    return words.rstrip(".")


def refusal(error: DBAPIError, description: str) -> LedgerError:
    """Return the error for a ledger that could not be opened."""
    subject = description[0].lower() + description[1:]
    if isinstance(error.orig, LedgerError):
        return error.orig
    if "locked" in str(error.orig) and "database" in str(error.orig):
        return LedgerBusyError(
            f"Another run is using {subject}. Let it end, or give this connection a ledger of its own."
        )
    if "PostgreSQL" in description:
        return LedgerError(
            f"{description} cannot be opened: {reason(error)}. Nothing was changed: see to the server, the ledger's "
            "URL and the user's rights (to connect, and to create in the database or in the schema)."
        )
    if isinstance(error, OperationalError) and "no such" not in str(error.orig):
        return LedgerError(f"{description} cannot be opened: {reason(error)}.")
    return LedgerError(
        f"{description} is not a readable ledger ({reason(error)}). Nothing was changed: move it away or restore "
        "a backup. Starting without it would send everything again."
    )


def _durable_and_exclusive(connection: Any, _: Any) -> None:
    """Survive power loss, and keep a second run off the file: it would take our rows under way for a dead run's."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA locking_mode=EXCLUSIVE")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA cache_size=-16000")  # kB; with the usual 2 MB, a ledger of a year is read and written anew
    cursor.close()


def _enter_schema(schema: str) -> Callable[[Any, Any], None]:
    def enter(connection: Any, _: Any) -> None:
        was, connection.autocommit = connection.autocommit, True
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config(name, wanted, false) FROM unnest(%s::text[], %s::text[]) AS s(name, wanted) "
                "JOIN pg_settings USING (name) WHERE name <> 'synchronous_commit' OR setting = 'off'",
                (list(_SESSION_SETTINGS), list(_SESSION_SETTINGS.values())),
            )
            cursor.execute("SELECT set_config('search_path', %s, false)", (f'"{schema}"',))
        connection.autocommit = was

    return enter
