"""Several runs on one ledger in PostgreSQL, of which no two work on the same rows.

Every row belongs to a scope: its source system, which its key begins with, or, for rows that are named by their
content alone, the one scope without a name. A run leases a scope before it asks what was sent there, and keeps it to
its end; another run waits for it. So all that is read, decided and written about a row happens in one run at a time,
while the syncs of wecantrack and Sovrn, whose source systems differ, do not touch each other.

A lease is a PostgreSQL advisory lock of the session, which vanishes with the run, however it ends. It is not believed
on its own: a pooler or a broken connection may give it up while the run lives. So a run also writes its name into the
scope's line, and every transaction that marks or settles a request first sees, and locks for its own duration, that
all its lines still bear its name. Whoever comes next writes his name after that transaction and finds the request, or
before it, and the transaction fails. Either way a request that is under way is known to the next run, which treats it
as it would treat a dead run's: orders are sent again byte for byte, and rows without an id are held.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from hashlib import blake2b

import orjson
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.exc import OperationalError

from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.errors import LedgerBusyError, LedgerError
from destination_wicked_reports.ledger.schema import leases, outbox
from destination_wicked_reports.ledger.sql import upsert
from destination_wicked_reports.signals import SIGNALS

logger = logging.getLogger("airbyte")

#: A run that waits says so this often, in seconds.
SAY_AGAIN_SECONDS = 60.0
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"


def scope_of(key: str) -> str:
    """Return the scope of a row or an order by its key."""
    system, separator, _ = key.partition(SEPARATOR)
    return system if separator else ""


class Leases:
    """The scopes that one run may work on, in one store. `patience` and `clock` are in seconds."""

    def __init__(
        self,
        connection: Connection,
        store: str,
        description: str,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.run = uuid.uuid4().hex
        self._connection = connection
        self._store = store
        self._description = description
        self._patience = patience
        self._clock = clock
        self._held: set[str] = set()
        with connection.begin():
            self._schema = str(connection.scalar(select(func.current_schema())))

    def enter(self, keys: Iterable[str]) -> bool:
        """Lease the scopes of these rows; True if there was one to lease, and so perhaps requests of a dead run."""
        new = {scope_of(key) for key in keys} - self._held
        entered = bool(new)
        while new:
            for scope in sorted(new):
                self._lease(scope)
            # A request of a dead run may hold rows of more scopes than we asked for: it is settled by one run alone.
            new = {scope for scopes in self._orphans().values() for scope in scopes} - self._held
        return entered

    def adopt(self) -> list[int]:
        """Take over the requests that dead runs left in our scopes; return their lines in the outbox.

        A transaction must be open.
        """
        lines = sorted(self._orphans_now())
        if lines:
            self._connection.execute(update(outbox).where(outbox.c.id.in_(lines)).values(run=self.run))
        return lines

    def scopes(self, keys: Iterable[str]) -> str:
        """Return the scopes of a request's rows as the outbox keeps them."""
        named = {scope_of(key) for key in keys}
        if not named <= self._held:
            raise LedgerError(f"{self._description} was not asked for these rows before. Please report this.")
        return orjson.dumps(sorted(named)).decode()

    def guard(self) -> None:
        """See that no other run has taken over, and that none does before the open transaction ends."""
        ours = select(leases.c.scope).where(leases.c.store == self._store, leases.c.run == self.run)
        if len(self._connection.execute(ours.with_for_update(read=True)).all()) < len(self._held):
            raise LedgerBusyError(
                f"{self._description} was taken over by another run: the connection to it was lost for a while, or a "
                "pooler in transaction mode lies in between. What was acknowledged is safe. Connect to PostgreSQL "
                "directly or by session pooling, and run the sync again."
            )

    def _orphans(self) -> dict[int, list[str]]:
        with self._connection.begin():
            return self._orphans_now()

    def _orphans_now(self) -> dict[int, list[str]]:
        """Return line -> scopes of requests that other runs left in scopes that now are ours."""
        query = select(outbox.c.id, outbox.c.scopes).where(outbox.c.store == self._store, outbox.c.run != self.run)
        lines = {row.id: orjson.loads(row.scopes or b"[]") for row in self._connection.execute(query)}
        return {line: scopes for line, scopes in lines.items() if not self._held.isdisjoint(scopes)}

    def _lease(self, scope: str) -> None:
        name = f"{self._schema}\0{self._store}\0{scope}".encode()
        lock = int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True)
        with self._connection.begin():
            free = self._connection.scalar(select(func.pg_try_advisory_lock(lock)))
        if not free:
            with SIGNALS.at_once():
                self._wait_for(scope, lock)
        with self._connection.begin():
            line = (self._store, scope, self.run, f"process {os.getpid()} on {socket.gethostname()}", int(time.time()))
            upsert(self._connection, leases, [line])
        self._held.add(scope)

    def _wait_for(self, scope: str, lock: int) -> None:
        deadline = self._clock() + self._patience
        while True:
            left = deadline - self._clock()
            whom = self._whom(scope)
            if left <= 0:
                raise LedgerBusyError(
                    f"{self._description} is in use: {whom}. Let it end and run the sync again; if the two often meet, "
                    "start them at different times."
                )
            logger.info("Waiting for %s (for %.0f more seconds at most).", whom, left)
            try:
                with self._connection.begin():
                    wait = max(1, int(min(left, SAY_AGAIN_SECONDS) * 1000))
                    self._connection.execute(text(f"SET LOCAL lock_timeout = {wait}"))
                    self._connection.execute(select(func.pg_advisory_lock(lock)))
                return
            except OperationalError as error:
                state = getattr(error.orig, "sqlstate", None)
                if state == _DEADLOCK:
                    deadline = self._clock()  # each of two runs waits for what the other has: one must go
                elif state != _LOCK_NOT_AVAILABLE:
                    raise

    def _whom(self, scope: str) -> str:
        with self._connection.begin():
            query = select(leases).where(leases.c.store == self._store, leases.c.scope == scope)
            holder = self._connection.execute(query).first()
        rows = f"the rows of source system {scope}" if scope else "the rows that have no id"
        if holder is None:
            return f"another run, which sends {rows}"
        since = datetime.fromtimestamp(holder.since, timezone.utc)
        return f"another run ({holder.holder}, since {since:%Y-%m-%d %H:%M:%S} UTC), which sends {rows}"
