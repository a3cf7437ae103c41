"""The table of runs: when each began and ended, what it did, and its exit code. A killed run has no end."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import orjson
from sqlalchemy import Connection, Select, func, select, update
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.ledger.file_lock import is_locked
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.reading import Snapshot
from destination_wicked_reports.ledger.schema import runs
from destination_wicked_reports.ledger.sql import POSTGRESQL, upsert

#: The commands that deliver a source's records.
WRITE, TARGET = "write", "target"
SYNCS = (WRITE, TARGET)


class Run:
    """One run in the table. Set `report` and, if it is not that of the run's error, `exit_code`."""

    def __init__(self, ledger: Ledger, command: str):
        self.report: dict[str, Any] = {}
        self.exit_code: int | None = None
        self._connection = ledger.connection
        self._id = f"{time.time_ns():019d}-{uuid.uuid4().hex[:12]}"  # sorts by time
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        began = (self._id, ledger.store, command, version("airbyte-destination-wicked-reports"), holder)
        with self._connection.begin():
            if self._connection.dialect.name == POSTGRESQL:
                # The lock ends with the session, which distinguishes a killed run from one in progress.
                self._connection.execute(select(func.pg_advisory_lock(_lock(self._id))))
            upsert(self._connection, runs, [(*began, int(time.time()), None, None, "")])

    def end(self, code: int) -> None:
        """Record the end."""
        values = {
            "ended_at": int(time.time()),
            "exit_code": code if self.exit_code is None else self.exit_code,
            "report": orjson.dumps(self.report, default=str).decode(),
        }
        with contextlib.suppress(DBAPIError), self._connection.begin():  # the ledger may be what ended the run
            self._connection.execute(update(runs).where(runs.c.id == self._id).values(values))


@contextlib.contextmanager
def recorded_run(ledger: Ledger, command: str) -> Iterator[Run]:
    """Record a run in the ledger, from here to the end of the block, however it ends."""
    run = Run(ledger, command)
    try:
        yield run
    except BaseException as error:
        run.end(_exit_code(error))
        raise
    run.end(0)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return 1


def last_runs(snapshot: Snapshot, limit: int) -> list[dict[str, Any]]:
    """Return the last runs, the latest first. `state` is `ended`, `running` or, for a killed run, `not ended`."""
    query = select(runs).where(runs.c.store == snapshot.store).order_by(runs.c.id.desc()).limit(limit)
    return _with_states(snapshot, query)


def last_syncs(snapshot: Snapshot, since: int | None = None) -> list[dict[str, Any]]:
    """Return, as `last_runs` does, the runs that began at this UNIX second or later and delivered a source's records.

    Without `since`, return the last one of them.
    """
    query = select(runs).where(runs.c.store == snapshot.store, runs.c.command.in_(SYNCS)).order_by(runs.c.id.desc())
    query = query.limit(1) if since is None else query.where(runs.c.started_at >= since)
    return _with_states(snapshot, query)


def _with_states(snapshot: Snapshot, query: Select[Any]) -> list[dict[str, Any]]:
    last = snapshot.connection.scalar(select(func.max(runs.c.id)))
    found = [dict(row) for row in snapshot.connection.execute(query).mappings()]
    for run in found:
        running = run["ended_at"] is None and _is_running(snapshot, run["id"], is_last=run["id"] == last)
        run["state"] = "running" if running else "not ended" if run["ended_at"] is None else "ended"
        run["report"] = orjson.loads(run["report"] or "{}")
    return found


def _is_running(snapshot: Snapshot, run: str, *, is_last: bool) -> bool:
    """Return whether a run without a recorded end is in progress. A file has one run at a time: the last one."""
    if snapshot.path is not None:
        return is_last and is_locked(snapshot.path)
    return not _is_free(snapshot.connection, run)


def _is_free(connection: Connection, run: str) -> bool:
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(_lock(run)))))


def _lock(run: str) -> Any:
    return func.hashtextextended(f"wicked-reports run {run}", 0)
