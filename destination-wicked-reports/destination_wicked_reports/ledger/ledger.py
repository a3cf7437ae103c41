"""What was sent, so that nothing is sent twice and every later change becomes a payment.

Four facts are kept: rows Wicked has accepted (or whose fate nobody knows), what Wicked was told of each affiliate
order, the rows that are under way right now, and whose ledger this is. The rows under way are written down *before*
the request leaves, and struck out in the same transaction that records its outcome. A run that dies in between leaves
them behind, and the next one finds them.

A ledger is an SQLite file, which one run at a time holds, or a schema of a PostgreSQL database, which any number of
runs share as `leases.py` says.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection, Engine, bindparam, delete, insert, literal, select
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.api.endpoints import UPDATABLE
from destination_wicked_reports.errors import LedgerError
from destination_wicked_reports.ledger.engines import postgresql_engine, refusal, sqlite_engine
from destination_wicked_reports.ledger.leases import Leases
from destination_wicked_reports.ledger.outbox import Batch, dump, load
from destination_wicked_reports.ledger.schema import former, info, order_events, orders, outbox, prepare, remember, sent
from destination_wicked_reports.ledger.sql import POSTGRESQL, among, listed, upsert
from destination_wicked_reports.model import OrderState, Row

#: A second run on the same file waits this long for the first to end.
LOCK_WAIT_SECONDS = 30
#: A run waits this long in PostgreSQL for another that sends rows of the same source system. Airbyte wants a STATE
#: every 15 minutes (conventions.md section 4.3), and none leaves while a run waits.
LEASE_WAIT_SECONDS = 600

ACCEPTED, HELD = "accepted", "held"


def fingerprint(api_key: str) -> str:
    """Return what the ledger keeps of an API key: enough to know it again, not enough to use it."""
    return hashlib.sha256(b"wicked-reports\0" + api_key.encode()).hexdigest()[:16]


class Ledger:
    """One store (`live` or `test`) of one ledger. Used by one thread."""

    def __init__(self, engine: Engine, store: str, description: str, patience: float = LEASE_WAIT_SECONDS):
        self.store = store
        self.description = description
        #: rows whose fate is unknown may be sent again: only `replay` says so, and only when it is told to.
        self.repeats_held = False
        self._engine = engine
        try:
            self._connection: Connection = engine.connect()
        except DBAPIError as error:
            raise refusal(error, description) from None
        try:
            with self._connection.begin():
                prepare(self._connection, description)
            shared = engine.dialect.name == POSTGRESQL
            self._leases = Leases(self._connection, store, description, patience) if shared else None
        except LedgerError:
            self.close()
            raise
        except DBAPIError as error:
            self.close()
            raise refusal(error, description) from None

    @classmethod
    def sqlite(cls, path: Path, store: str, patience: float = LOCK_WAIT_SECONDS) -> Ledger:
        """Open, or make, the ledger file; its folder must exist. One run at a time: the file stays locked.

        It holds customers' rows, so only its owner may read it. `patience` is in seconds.
        """
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise LedgerError(f"The ledger {path} cannot be opened ({error.strerror}).") from None
        return cls(sqlite_engine(path, patience), store, f"The ledger {path}")

    @classmethod
    def postgresql(cls, url: str, schema: str, store: str, patience: float = LEASE_WAIT_SECONDS) -> Ledger:
        """Open, or make, the ledger in this schema of a database; `patience` is in seconds, of waiting for a lease."""
        engine, description = postgresql_engine(url, schema)
        return cls(engine, store, description, patience)

    @classmethod
    def in_memory(cls, store: str) -> Ledger:
        """Open a ledger that dies with the run."""
        return cls(sqlite_engine(None), store, "The in-memory ledger")

    @property
    def connection(self) -> Connection:
        """The one connection, for the tables that `sums.py` and `documents.py` keep in the same database."""
        return self._connection

    def close(self) -> None:
        """Let go of the ledger, and of its lock."""
        with contextlib.suppress(DBAPIError):
            self._connection.close()
        self._engine.dispose()

    # -- whose ledger this is ---------------------------------------------------------------------------------------

    def belongs_to(self, api_key: str) -> bool:
        """Tell whether this key filled the ledger; one that nothing was ever written to belongs to everybody."""
        with self._connection.begin():
            if not self._filled():
                return True
            return bool(self._connection.scalar(select(info.c.value).where(info.c.name == self._owner(api_key))))

    def _filled(self) -> bool:
        any_row = (select(literal(1)).where(table.c.store == self.store).limit(1) for table in (sent, outbox))
        return any(self._connection.scalar(query) for query in any_row)

    def adopt(self, api_key: str) -> None:
        """Write down that this key's account is the one the ledger remembers."""
        self.agree(self._owner(api_key), str(int(time.time())))

    def agreed(self, name: str) -> str | None:
        """Return what the rows of this ledger have in common under this name; None if it has no rows yet."""
        with self._connection.begin():
            return self._connection.scalar(select(info.c.value).where(info.c.name == name)) if self._filled() else None

    def agree(self, name: str, value: str) -> None:
        """Write down what the rows of this ledger have in common."""
        with self._connection.begin():
            upsert(self._connection, info, [(name, value)])

    def _owner(self, api_key: str) -> str:
        return f"key.{self.store}.{fingerprint(api_key)}"

    # -- who works on it --------------------------------------------------------------------------------------------

    def enter(self, keys: Iterable[str]) -> bool:
        """Make sure, before anything is asked of these rows or orders, that no other run works on their like.

        True if a dead run may have left requests of them, which `unfinished` then names. Where one run has the whole
        ledger, there is nothing to do. Raises LedgerBusyError if another run does not end in time.
        """
        return self._leases is not None and self._leases.enter(keys)

    def guard(self) -> None:
        """See, in the transaction that is open, that no other run has taken over what this one works on.

        Whoever writes down what was computed from earlier reads asks this first. Raises LedgerBusyError.
        """
        if self._leases is not None:
            self._leases.guard()

    # -- what was sent ----------------------------------------------------------------------------------------------

    def known(self, endpoint: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return key -> digest of the rows among `keys` that were sent (or are held: their fate is unknown)."""
        ignored = HELD if self.repeats_held else ""
        asked = {"store": self.store, "endpoint": endpoint, "ignored": ignored, **listed(keys)}
        with self._connection.begin():
            return dict(self._connection.execute(_KNOWN, asked).tuples().all())

    def orders(self, keys: Sequence[str]) -> dict[str, OrderState]:
        """Return what Wicked was told of these affiliate orders."""
        query = select(orders).where(orders.c.store == self.store, among(orders.c.key))
        with self._connection.begin():
            return {
                row.key: OrderState(
                    total=Decimal(row.total),
                    approved=Decimal(row.approved),
                    refunded=Decimal(row.refunded),
                    status=row.status,
                    payments=row.payments,
                    revision=row.revision,
                    currency=row.currency,
                    changed=row.changed,
                )
                for row in self._connection.execute(query, listed(keys))
            }

    # -- what is under way ------------------------------------------------------------------------------------------

    def mark(self, *batches: Batch, instead_of: Batch | None = None) -> None:
        """Write batches down before they leave; `instead_of` is the refused batch that they are the halves of."""
        with self._connection.begin():
            self.guard()
            if instead_of is not None:
                self._connection.execute(delete(outbox).where(outbox.c.id == instead_of.mark))
            for batch in batches:
                result = self._connection.execute(
                    insert(outbox).values(
                        store=self.store,
                        endpoint=batch.endpoint,
                        body=batch.body if batch.kept else b"",
                        rows=dump(batch.rows if batch.kept else ()),
                        marked_at=int(time.time()),
                        **self._marks(batch),
                    )
                )
                batch.mark = result.inserted_primary_key[0]  # type: ignore[index]

    def _marks(self, batch: Batch) -> dict[str, str]:
        if self._leases is None:
            return {}
        return {"run": self._leases.run, "scopes": self._leases.scopes(row.key for row in batch.rows)}

    def settle(self, batch: Batch, remembered: Sequence[Row], status: str = ACCEPTED) -> None:
        """Record the outcome of a marked batch: these of its rows are remembered, and none is under way any more."""
        now = int(time.time())
        told = [(row.order_key, row.order, row) for row in remembered if row.order_key and row.order]
        states: dict[str, OrderState] = {}
        for order_key, order, _ in told:
            former = states.get(order_key)
            if former is None or order.place > former.place:
                states[order_key] = order
        with self._connection.begin():
            self.guard()
            self._connection.execute(delete(outbox).where(outbox.c.id == batch.mark))
            if remembered and (batch.endpoint in UPDATABLE or self.repeats_held):
                self._connection.execute(_KEEP_FORMER, self._named(batch.endpoint, remembered))
            for stream, rows in _by_stream(remembered).items():
                remember(
                    self._connection,
                    [row.key for row in rows],
                    [row.digest for row in rows],
                    store=self.store,
                    endpoint=batch.endpoint,
                    stream=stream,
                    status=status,
                    sent_at=now,
                )
            upsert(
                self._connection,
                orders,
                [
                    (
                        self.store,
                        key,
                        str(state.total),
                        str(state.approved),
                        str(state.refunded),
                        state.status,
                        state.payments,
                        state.revision,
                        state.currency,
                        state.changed,
                    )
                    for key, state in states.items()
                ],
            )
            events = [self._event(*each, now) for each in told]
            upsert(self._connection, order_events, events)

    def _named(self, endpoint: str, rows: Sequence[Row]) -> dict[str, str]:
        return {"store": self.store, "endpoint": endpoint, **listed(row.key for row in rows)}

    def _event(self, order_key: str, order: OrderState, row: Row, now: int) -> tuple[str | int, ...]:
        names = (self.store, order_key, row.endpoint, row.key)
        money = (str(order.total), str(order.approved), str(order.refunded))
        return *names, order.revision, order.payments, order.status, *money, now

    def unfinished(self) -> list[Batch]:
        """Return the batches that an earlier run marked and never settled, oldest first."""
        query = select(outbox).where(outbox.c.store == self.store).order_by(outbox.c.id)
        with self._connection.begin():
            if self._leases is not None:
                query = query.where(outbox.c.id.in_(self._leases.adopt()))
            return [
                Batch(row.endpoint, load(row.endpoint, row.body, row.rows), mark=row.id, unsure=True)
                for row in self._connection.execute(query)
            ]


def _by_stream(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.stream, []).append(row)
    return found


# Built once: SQLAlchemy takes longer to build and recognize a statement than SQLite to answer it.
_NAMED = (sent.c.store == bindparam("store"), sent.c.endpoint == bindparam("endpoint"), among(sent.c.key))
_KNOWN = select(sent.c.key, sent.c.digest).where(*_NAMED, sent.c.status != bindparam("ignored"))
_KEEP_FORMER = insert(former).from_select([column.name for column in sent.columns], select(sent).where(*_NAMED))
