"""Refuses a connection pooler that gives each transaction another session of the server.

PgBouncer calls this the transaction mode. Leases are advisory locks of a session (see `leases.py`). Behind such a
pooler they stay on a session that other clients use, so they neither keep other runs out nor end with the run.

A pooler answers with a process id of its own when a client connects. Where that is the id of the session, there is no
pooler. Otherwise the ids of the sessions that run the transactions of two connections show the mode: in session mode
each connection keeps its own.
"""

from __future__ import annotations

import contextlib
import select
import time
from typing import Any

from destination_wicked_reports.errors import LedgerError

#: How long to wait for the second connection's answer, in seconds. In session mode the pool may have no session left.
ANSWER_SECONDS = 5.0
_PROCESS_ID = "SELECT pg_backend_pid()"


def refuse_transaction_pooler(connection: Any, description: str) -> None:
    """Raise LedgerError if this new connection, in autocommit mode, goes through a pooler in transaction mode."""
    session = _process_id(connection)
    if session != connection.info.backend_pid and _shares_sessions(connection, session):
        raise LedgerError(
            f"{description} is behind a connection pooler in transaction mode, which cannot hold the locks that keep "
            "two runs from sending the same rows. Nothing was changed. In the ledger's URL, use the direct port of the "
            "database, or that of a pooler in session mode."
        )


def _shares_sessions(connection: Any, session: int) -> bool:
    """Return whether other sessions run this connection's transactions, or its session those of another connection."""
    import psycopg  # here, because most runs have no PostgreSQL ledger

    others: set[int | None] = set()
    try:
        second = psycopg.connect(
            connection.info.dsn, password=connection.info.password, autocommit=True, prepare_threshold=None
        )
    except psycopg.OperationalError:  # the pool has no room: the ids of the first connection have to do
        second = None
    own = {session}
    with contextlib.closing(second) if second is not None else contextlib.nullcontext():
        for _ in range(2):
            if second is not None:
                others.add(_answer(second))
            # Twice: a pool of two sessions that take turns would otherwise give each connection the same one.
            own |= {_process_id(connection), _process_id(connection)}
    return len(own) > 1 or session in others


def _process_id(connection: Any) -> int:
    return int(connection.execute(_PROCESS_ID).fetchone()[0])


def _answer(connection: Any) -> int | None:
    """Return the id of the session that runs a transaction of this connection; None if there is none in time."""
    import psycopg

    deadline = time.monotonic() + ANSWER_SECONDS
    client = connection.pgconn
    try:
        client.send_query(_PROCESS_ID.encode())
        while client.is_busy():
            if not select.select([client.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            client.consume_input()
        result = client.get_result()
        while client.get_result() is not None:
            pass
        value = result.get_value(0, 0) if result is not None and result.ntuples else None
    except psycopg.OperationalError:
        return None
    return None if value is None else int(value)
