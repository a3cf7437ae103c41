"""Lets several runs share a ledger in PostgreSQL, and keeps two of them from working on the same rows.

Every row belongs to a scope: its source system, which its key starts with, or, for rows identified by their content
alone, the one scope without a name. A run leases a scope before it looks up what was sent there, and keeps the lease to
its end; another run waits for it. So reading, deciding and writing about a row happen in one run at a time, while syncs
of wecantrack and Sovrn, whose source systems differ, run in parallel.

A lease is an advisory lock of the PostgreSQL session, which ends with the run, however it ends. The lock alone is not
enough: a pooler or a dropped connection can release it mid-run. A run therefore also writes its id into the scope's row
of `leases`, and every transaction that begins or commits a request first locks these rows and checks that they still
hold its id. The next run writes its id either after that transaction, and then finds the request, or before it, and
then the transaction fails. Either way the next run knows every request in flight, and treats it like one of a dead run:
it sends orders again byte for byte, and reports rows without an id as in doubt.
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
from destination_wicked_reports.ledger.sql import schema_of, upsert
from destination_wicked_reports.signals import SIGNALS

logger = logging.getLogger("airbyte")

#: How often a waiting run logs that it waits, in seconds.
LOG_INTERVAL_SECONDS = 60.0
_LOCK_NOT_AVAILABLE, _DEADLOCK = "55P03", "40P01"


def scope_of(key: str) -> str:
    """Return the scope of a row or an order, given its key."""
    system, separator, _ = key.partition(SEPARATOR)
    return system if separator else ""


class Leases:
    """The scopes that one run holds in one store. `lock_wait` and `clock` are in seconds."""

    def __init__(
        self,
        connection: Connection,
        store: str,
        description: str,
        lock_wait: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.run = uuid.uuid4().hex
        self._connection = connection
        self._store = store
        self._description = description
        self._lock_wait = lock_wait
        self._clock = clock
        self._leased: set[str] = set()
        self._schema = schema_of(connection)
        with connection.begin():
            self._session = connection.scalar(select(func.pg_backend_pid()))

    def acquire(self, keys: Iterable[str]) -> bool:
        """Lease the scopes of these rows. Returns whether any was new, so that a dead run may have left requests."""
        new = {scope_of(key) for key in keys} - self._leased
        acquired = bool(new)
        while new:
            for scope in sorted(new):
                self._lease(scope)
            # A dead run's request may span more scopes than these rows; a single run has to resolve it.
            new = {scope for scopes in self._orphans().values() for scope in scopes} - self._leased
        return acquired

    def claim_orphans(self) -> list[int]:
        """Take over the requests that dead runs left in our scopes, in the open transaction; return their ids."""
        ids = sorted(self._orphans_in_transaction())
        if ids:
            self._connection.execute(update(outbox).where(outbox.c.id.in_(ids)).values(run=self.run))
        return ids

    def scopes(self, keys: Iterable[str]) -> str:
        """Return the scopes of a request's rows, encoded for the outbox."""
        scopes = {scope_of(key) for key in keys}
        if not scopes <= self._leased:
            raise LedgerError(f"{self._description} has no lease for these rows. Please report this.")
        return orjson.dumps(sorted(scopes)).decode()

    def verify(self) -> None:
        """Check that no other run has taken over, and prevent it until the open transaction ends."""
        ours = select(leases.c.scope, func.pg_backend_pid().label("session"))
        ours = ours.where(leases.c.store == self._store, leases.c.run == self.run)
        found = self._connection.execute(ours.with_for_update(read=True)).all()
        if len(found) < len(self._leased) or any(row.session != self._session for row in found):
            raise LedgerBusyError(
                f"{self._description} was taken over by another run: the connection was lost for a while, or goes "
                "through a pooler in transaction mode. Acknowledged records are safe. Connect to PostgreSQL directly "
                "or through session pooling, and run the sync again."
            )

    def _orphans(self) -> dict[int, list[str]]:
        with self._connection.begin():
            return self._orphans_in_transaction()

    def _orphans_in_transaction(self) -> dict[int, list[str]]:
        """Return outbox id -> scopes of the requests that other runs left in scopes that are now ours."""
        query = select(outbox.c.id, outbox.c.scopes).where(outbox.c.store == self._store, outbox.c.run != self.run)
        requests = {row.id: orjson.loads(row.scopes or b"[]") for row in self._connection.execute(query)}
        return {id_: scopes for id_, scopes in requests.items() if not self._leased.isdisjoint(scopes)}

    def _lease(self, scope: str) -> None:
        name = f"{self._schema}\0{self._store}\0{scope}".encode()
        lock = int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True)
        with self._connection.begin():
            free = self._connection.scalar(select(func.pg_try_advisory_lock(lock)))
        if not free:
            with SIGNALS.immediate():
                self._wait_for(scope, lock)
        with self._connection.begin():
            row = (self._store, scope, self.run, f"process {os.getpid()} on {socket.gethostname()}", int(time.time()))
            upsert(self._connection, leases, [row])
        self._leased.add(scope)

    def _wait_for(self, scope: str, lock: int) -> None:
        deadline = self._clock() + self._lock_wait
        while True:
            remaining = deadline - self._clock()
            holder = self._describe_holder(scope)
            if remaining <= 0:
                raise LedgerBusyError(
                    f"{self._description} is in use by {holder}. Wait until it ends and run the sync again. If the two "
                    "often overlap, schedule them at different times."
                )
            logger.info("Waiting for %s (at most %.0f s more).", holder, remaining)
            try:
                with self._connection.begin():
                    wait = max(1, int(min(remaining, LOG_INTERVAL_SECONDS) * 1000))
                    self._connection.execute(text(f"SET LOCAL lock_timeout = {wait}"))
                    self._connection.execute(select(func.pg_advisory_lock(lock)))
                return
            except OperationalError as error:
                state = getattr(error.orig, "sqlstate", None)
                if state == _DEADLOCK:
                    deadline = self._clock()  # two runs wait for each other's scopes: this one gives up
                elif state != _LOCK_NOT_AVAILABLE:
                    raise

    def _describe_holder(self, scope: str) -> str:
        with self._connection.begin():
            query = select(leases).where(leases.c.store == self._store, leases.c.scope == scope)
            holder = self._connection.execute(query).first()
        rows = f"the rows of source system {scope}" if scope else "the rows that have no id"
        if holder is None:
            return f"another run, which sends {rows}"
        since = datetime.fromtimestamp(holder.since, timezone.utc)
        return f"another run ({holder.holder}, since {since:%Y-%m-%d %H:%M:%S} UTC), which sends {rows}"
