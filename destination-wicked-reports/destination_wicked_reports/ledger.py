"""What was sent, so that nothing is sent twice and every later change becomes a payment.

Four facts are kept: rows Wicked has accepted (or whose fate nobody knows), what Wicked was told of each affiliate
order, the rows that are under way right now, and whose ledger this is. The rows under way are written down *before*
the request leaves, and struck out in the same transaction that records its outcome. A run that dies in between leaves
them behind, and the next one finds them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, literal, select
from sqlalchemy.exc import DatabaseError, OperationalError

from destination_wicked_reports.batches import Batch, dump, load
from destination_wicked_reports.normalizers.base import OrderState, Row
from destination_wicked_reports.schema import among, info, listed, make_tables, metadata, orders, outbox, sent, upsert

SCHEMA_VERSION = "1"
#: A second run on the same file waits this long for the first to end.
LOCK_WAIT_SECONDS = 30

ACCEPTED, HELD = "accepted", "held"


class LedgerError(Exception):
    """The ledger cannot be used; the message says why and what to do."""


class LedgerBusyError(LedgerError):
    """Another run holds the ledger."""


def fingerprint(api_key: str) -> str:
    """Return what the ledger keeps of an API key: enough to know it again, not enough to use it."""
    return hashlib.sha256(b"wicked-reports\0" + api_key.encode()).hexdigest()[:16]


class Ledger:
    """One store (`live` or `test`) of one ledger. Used by one thread."""

    def __init__(self, engine: Engine, store: str, description: str):
        self.store = store
        self.description = description
        self._engine = engine
        try:
            self._connection: Connection = engine.connect()
            with self._connection.begin():
                make_tables(self._connection, metadata)
                self._check_version()
        except OperationalError as error:
            if "locked" in str(error.orig):
                raise LedgerBusyError(
                    f"Another run is using {description[0].lower()}{description[1:]}. Let it end, or give this "
                    "connection a ledger of its own."
                ) from None
            raise LedgerError(f"{description} cannot be opened: {error.orig}.") from None
        except DatabaseError as error:
            raise LedgerError(
                f"{description} is not a readable ledger ({error.orig}). Nothing was changed: move it away or restore "
                "a backup. Starting without it would send everything again."
            ) from None

    @classmethod
    def sqlite(cls, path: Path, store: str, patience: float = LOCK_WAIT_SECONDS) -> Ledger:
        """Open, or make, the ledger file; its folder must exist. One run at a time: the file stays locked.

        It holds customers' rows, so only its owner may read it. `patience` is in seconds.
        """
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise LedgerError(f"The ledger {path} cannot be opened ({error.strerror}).") from None
        # hide_parameters: an error text must never carry a customer's row into a log.
        engine = create_engine(f"sqlite:///{path}", hide_parameters=True, connect_args={"timeout": patience})
        event.listen(engine, "connect", _durable_and_exclusive)
        return cls(engine, store, f"The ledger {path}")

    @classmethod
    def in_memory(cls, store: str) -> Ledger:
        """Open a ledger that dies with the run."""
        return cls(create_engine("sqlite://", hide_parameters=True), store, "The in-memory ledger")

    def _check_version(self) -> None:
        found = self._connection.scalar(select(info.c.value).where(info.c.name == "schema_version"))
        if found is None:
            self._connection.execute(insert(info).values(name="schema_version", value=SCHEMA_VERSION))
        elif found != SCHEMA_VERSION:
            raise LedgerError(
                f"{self.description} has schema version {found}; this release knows {SCHEMA_VERSION}. "
                "Use the release that wrote it, or a newer one."
            )

    @property
    def connection(self) -> Connection:
        """The one connection, for the tables that `sums.py` keeps in the same file."""
        return self._connection

    def close(self) -> None:
        """Let go of the ledger, and of its lock."""
        with contextlib.suppress(DatabaseError):
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

    # -- what was sent ----------------------------------------------------------------------------------------------

    def known(self, endpoint: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return key -> digest of the rows among `keys` that were sent (or are held: their fate is unknown)."""
        query = select(sent.c.key, sent.c.digest).where(
            sent.c.store == self.store, sent.c.endpoint == endpoint, among(sent.c.key)
        )
        with self._connection.begin():
            return {row.key: row.digest for row in self._connection.execute(query, listed(keys))}

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
                    )
                )
                batch.mark = result.inserted_primary_key[0]  # type: ignore[index]

    def settle(self, batch: Batch, remembered: Sequence[Row], status: str = ACCEPTED) -> None:
        """Record the outcome of a marked batch: these of its rows are remembered, and none is under way any more."""
        now = int(time.time())
        states: dict[str, OrderState] = {}
        for row in remembered:
            if row.order_key and row.order:
                former = states.get(row.order_key)
                if former is None or row.order.place > former.place:
                    states[row.order_key] = row.order
        with self._connection.begin():
            self._connection.execute(delete(outbox).where(outbox.c.id == batch.mark))
            upsert(
                self._connection,
                sent,
                [(self.store, row.endpoint, row.key, row.digest, status, row.stream, now) for row in remembered],
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

    def unfinished(self) -> list[Batch]:
        """Return the batches that an earlier run marked and never settled, oldest first."""
        query = select(outbox).where(outbox.c.store == self.store).order_by(outbox.c.id)
        with self._connection.begin():
            return [
                Batch(row.endpoint, load(row.endpoint, row.body, row.rows), mark=row.id)
                for row in self._connection.execute(query)
            ]

    def history(self) -> Iterator[tuple[str, str, str, str, int]]:
        """Yield (endpoint, key, status, stream, sent_at) of everything in this store, in endpoint and key order."""
        columns = (sent.c.endpoint, sent.c.key, sent.c.status, sent.c.stream, sent.c.sent_at)
        with self._connection.begin():
            yield from self._connection.execute(
                select(*columns).where(sent.c.store == self.store).order_by(sent.c.endpoint, sent.c.key)
            ).tuples()


def _durable_and_exclusive(connection: Any, _: Any) -> None:
    """Survive power loss, and keep a second run off the file: it would take our rows under way for a dead run's."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA locking_mode=EXCLUSIVE")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
