"""What was sent, so that nothing is sent twice and every later change becomes a refund or a further order.

The ledger stores the rows that Wicked accepted or whose outcome is unknown, the state of every affiliate and shop
sale, the requests in flight (the outbox), and whose ledger it is. `begin` writes a request to the outbox before it is
posted; `commit` removes it in the transaction that records its outcome. A run that dies in between leaves the request
in the outbox, and the next run finds it there.

A ledger is a SQLite file, locked by one run at a time and readable meanwhile, or a schema of a PostgreSQL database,
shared by any number of runs as described in `leases.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.api.endpoints import UPDATABLE
from destination_wicked_reports.config.files import NO_FILE_LOCKS, make_private, open_private, supports_locks
from destination_wicked_reports.errors import LedgerError
from destination_wicked_reports.ledger import schema
from destination_wicked_reports.ledger.engines import (
    folder_error,
    let_others_read,
    opening_error,
    postgresql_engine,
    reason,
    sqlite_engine,
)
from destination_wicked_reports.ledger.file_lock import FileLock
from destination_wicked_reports.ledger.leases import Leases
from destination_wicked_reports.ledger.ledger_file import LedgerFile
from destination_wicked_reports.ledger.outbox import (
    Batch,
    decode_rows,
    encode_rows,
    plain_payments,
    stored_sale,
)
from destination_wicked_reports.ledger.reserve import Reserve
from destination_wicked_reports.ledger.sale_json import decode_sale
from destination_wicked_reports.ledger.schema import (
    LIVE,
    TEST,
    other_store,
    outbox,
    sale_aliases,
    sale_events,
    sales,
    sent,
    sent_before,
    settings,
)
from destination_wicked_reports.ledger.sql import POSTGRESQL, among, has_table, key_parameters, starts_with, upsert
from destination_wicked_reports.model import IN_DOUBT, Row, SaleState

#: How long a second run waits for the lock of the file, in seconds.
FILE_LOCK_SECONDS = 30
#: How long a run waits in PostgreSQL for another run of the same source system, in seconds. No STATE is released
#: meanwhile, and Airbyte wants one every 15 minutes (docs/airbyte-cdk.md 5.2).
LEASE_WAIT_SECONDS = 600

_GONE = (
    "was removed or replaced during this run, so the next run would send everything again. Restore it from a backup, "
    "then run the sync again."
)

#: The status of a row in `sent` is one of these or IN_DOUBT. DISMISSED was in doubt until the user dealt with it.
ACCEPTED, DISMISSED = "accepted", "dismissed"


def fingerprint(api_key: str) -> str:
    """Return a short hash that identifies an API key without revealing it."""
    return hashlib.sha256(b"wicked-reports\0" + api_key.encode()).hexdigest()[:16]


class Ledger:
    """One store (`live` or `test`) of a ledger. Not thread-safe.

    `lock_wait` is how many seconds to wait for another run's lease. With `resend_in_doubt`, which only `replay` sets,
    rows in doubt do not count as sent.
    """

    def __init__(
        self,
        engine: Engine,
        store: str,
        description: str,
        lock_wait: float = LEASE_WAIT_SECONDS,
        *,
        resend_in_doubt: bool = False,
    ):
        self.store = store
        #: Whether the ledger outlives the run.
        self.durable = engine.dialect.name == POSTGRESQL or engine.url.database is not None
        self.description = description
        self.resend_in_doubt = resend_in_doubt
        self._engine = engine
        self._lock: FileLock | None = None
        self._reserve: Reserve | None = None
        self._file: LedgerFile | None = None
        try:
            self._connection: Connection = engine.connect()
        except DBAPIError as error:
            raise opening_error(error, description) from None
        except LedgerError:  # of the listener that sets up the session
            engine.dispose()
            raise
        try:
            with self._connection.begin():
                schema.prepare(self._connection, description)
                #: Random, given to the ledger when it was created.
                self.id = schema.stored_id(self._connection)
            shared = engine.dialect.name == POSTGRESQL
            if not shared:
                let_others_read(self._connection)
            #: Whether nothing was sent to this store before this run.
            self.is_new = not self._has_rows()
            self._leases = Leases(self._connection, store, description, lock_wait) if shared else None
        except LedgerError:
            self.close()
            raise
        except DBAPIError as error:
            self.close()
            raise opening_error(error, description) from None

    @classmethod
    def sqlite(
        cls, path: Path, store: str, lock_wait: float = FILE_LOCK_SECONDS, *, resend_in_doubt: bool = False
    ) -> Ledger:
        """Open or create the file, readable by its owner only, and lock it; its folder must exist.

        `lock_wait` is how many seconds to wait for another run's lock.
        """
        try:
            os.close(open_private(path, os.O_RDWR))
        except IsADirectoryError:
            raise folder_error(path) from None
        except OSError as error:
            raise LedgerError(f"The ledger {path} cannot be opened ({error.strerror}).") from None
        if not supports_locks(path.parent):
            raise LedgerError(
                f"The ledger {path} cannot be locked: {NO_FILE_LOCKS}, so two runs could send the same rows. Choose a "
                "folder on a local disk, or the ledger `postgres`."
            )
        lock = FileLock(path, lock_wait)
        try:
            ledger = cls(sqlite_engine(path), store, f"The ledger {path}", resend_in_doubt=resend_in_doubt)
        except LedgerError:
            lock.close()
            raise
        ledger._lock = lock
        try:
            ledger._reserve = Reserve(path)
            ledger._file = LedgerFile(path)
            make_private(path)  # only now, when it is known to be a ledger
        except LedgerError:
            ledger.close()
            raise
        return ledger

    @classmethod
    def postgresql(
        cls,
        url: str,
        schema: str,
        store: str,
        lock_wait: float = LEASE_WAIT_SECONDS,
        *,
        resend_in_doubt: bool = False,
    ) -> Ledger:
        """Open or create the ledger in this schema of a database."""
        engine, description = postgresql_engine(url, schema)
        return cls(engine, store, description, lock_wait, resend_in_doubt=resend_in_doubt)

    @classmethod
    def in_memory(cls, store: str) -> Ledger:
        """Open a ledger that ends with the run."""
        return cls(sqlite_engine(None), store, "The in-memory ledger")

    @property
    def connection(self) -> Connection:
        """The only connection, also for modules with tables of their own in the ledger; see `sql.py`."""
        return self._connection

    def close(self) -> None:
        """Close the connection, which releases the lock."""
        with contextlib.suppress(DBAPIError):
            self._connection.close()
        if self._reserve is not None:
            self._reserve.close()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def verify_location(self) -> None:
        """Check that the next run finds what this one recorded. Call it before STATEs are released.

        Raises LedgerError if the file was moved, replaced or removed, or the schema was.
        """
        if self._file is not None:
            self._file.verify()
        elif self._leases is not None:
            try:
                with self._connection.begin():
                    found = schema.stored_id(self._connection)
            except DBAPIError as error:
                raise LedgerError(f"{self.description} ({reason(error)}) {_GONE}") from None
            if found != self.id:
                raise LedgerError(f"{self.description} {_GONE}")

    # -- whose ledger this is ---------------------------------------------------------------------------------------

    def belongs_to(self, api_key: str) -> bool:
        """Tell whether this key filled the ledger; an empty ledger belongs to every key."""
        return not self._has_rows() or self.setting(self._owner(api_key)) is not None

    def claim(self, api_key: str) -> None:
        """Record that the ledger belongs to this key's account."""
        self.set_setting(self._owner(api_key), str(int(time.time())))

    def _owner(self, api_key: str) -> str:
        return f"key.{self.store}.{fingerprint(api_key)}"

    @cached_property
    def renames(self) -> list[tuple[str, str, int]]:
        """The renames of source systems, oldest first; see `schema.stored_renames`. Read once a run has begun."""
        with self._connection.begin():
            return schema.stored_renames(self._connection, self.store)

    def setting(self, name: str) -> str | None:
        """Return a setting that all rows of this ledger share; None if it is not set or there are no rows."""
        if not self._has_rows():
            return None
        with self._connection.begin():
            return self._connection.scalar(select(settings.c.value).where(settings.c.name == name))

    def set_setting(self, name: str, value: str) -> None:
        """Record a setting that all rows of this ledger share."""
        with self._connection.begin():
            upsert(self._connection, settings, [(name, value)])

    def size(self, store: str = "") -> int:
        """Return how many rows were sent to this store, or to another one, including those in doubt."""
        query = select(func.count()).select_from(sent).where(sent.c.store == (store or self.store))
        with self._connection.begin():
            return self._connection.scalar(query) or 0

    def contents(self) -> str:
        """Return how many rows the ledger has, and in the other mode, if any; a sentence without its period."""
        other = other_store(self.store)
        names = {LIVE: "of live mode", TEST: "of test mode"}
        found = self.size(other)
        if not found:
            return f"{self.description} has {self.size():,} rows"
        return f"{self.description} has {self.size():,} rows {names[self.store]}, and {found:,} {names[other]}"

    def _has_rows(self) -> bool:
        any_row = (select(literal(1)).where(table.c.store == self.store).limit(1) for table in (sent, outbox))
        with self._connection.begin():
            return any(self._connection.scalar(query) for query in any_row)

    # -- sharing it -------------------------------------------------------------------------------------------------

    def acquire(self, keys: Iterable[str]) -> bool:
        """Lease the scopes of these rows or orders. Call it before asking anything about them.

        Returns True if a dead run may have left requests there, which `unfinished` then returns. Does nothing for a
        SQLite file, which one run has to itself. Raises LedgerBusyError if another run does not end in time.
        """
        return self._leases is not None and self._leases.acquire(keys)

    def verify_lease(self) -> None:
        """Check, in the open transaction, that no other run has taken over what this one leased.

        Call it before writing anything that was computed from earlier reads. Raises LedgerBusyError.
        """
        if self._leases is not None:
            self._leases.verify()

    # -- what was sent ----------------------------------------------------------------------------------------------

    def known(self, endpoint: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return key -> digest of the rows among `keys` that were sent, including those in doubt."""
        ignored = (IN_DOUBT, DISMISSED) if self.resend_in_doubt else ("", "")
        parameters = {"store": self.store, "endpoint": endpoint, **key_parameters(keys)}
        parameters |= zip(("ignored", "dismissed"), ignored, strict=True)
        with self._connection.begin():
            return dict(self._connection.execute(_KNOWN, parameters).tuples().all())

    def in_doubt(self) -> dict[str, list[str]]:
        """Return endpoint -> keys of the rows whose outcome is unknown, and which the user has not dealt with."""
        query = select(sent.c.endpoint, sent.c.key).where(sent.c.store == self.store, sent.c.status == IN_DOUBT)
        found: dict[str, list[str]] = {}
        with self._connection.begin():
            for row in self._connection.execute(query):
                found.setdefault(row.endpoint, []).append(row.key)
        return found

    def dismiss(self, keys: Mapping[str, Sequence[str]]) -> None:
        """Record that the user has dealt with those rows among endpoint -> keys that are in doubt."""
        with self._connection.begin():
            self.verify_lease()
            for endpoint, names in keys.items():
                rows = sent.c.store == self.store, sent.c.endpoint == endpoint, among(sent.c.key)
                query = update(sent).where(*rows, sent.c.status == IN_DOUBT).values(status=DISMISSED)
                self._connection.execute(query, key_parameters(names))

    def sales(self, keys: Sequence[str]) -> dict[str, SaleState]:
        """Return key -> state of the sales among `keys`."""
        query = select(sales.c.key, sales.c.state).where(sales.c.store == self.store, among(sales.c.key))
        with self._connection.begin():
            return {row.key: decode_sale(row.state) for row in self._connection.execute(query, key_parameters(keys))}

    def has_keys(self, table: Table, prefix: str, *conditions: ColumnElement[bool]) -> bool:
        """Tell whether a table of the ledger, if it exists, has a row whose key has this prefix."""
        query = select(literal(1)).where(table.c.store == self.store, starts_with(table.c.key, prefix), *conditions)
        with self._connection.begin():
            return has_table(self._connection, table) and self._connection.scalar(query.limit(1)) is not None

    def sales_by_alias(self, aliases: Collection[str]) -> dict[str, SaleState]:
        """Return key -> state of the sales that have one of these aliases."""
        joined = sales.join(
            sale_aliases, (sales.c.store == sale_aliases.c.store) & (sales.c.key == sale_aliases.c.sale_key)
        )
        query = select(sales.c.key, sales.c.state).select_from(joined)
        query = query.where(sale_aliases.c.store == self.store, among(sale_aliases.c.alias))
        with self._connection.begin():
            return {row.key: decode_sale(row.state) for row in self._connection.execute(query, key_parameters(aliases))}

    # -- the outbox -------------------------------------------------------------------------------------------------

    def begin(self, *batches: Batch, replaces: Batch | None = None) -> None:
        """Write batches to the outbox before they are posted; `replaces` is the batch that they were split from.

        Raises DBAPIError, also after a full disk left only enough space to record what is in flight.
        """
        if self._reserve is not None and self._reserve.error is not None:
            raise self._reserve.error
        if self._file is not None:
            self._file.verify()
        with self._connection.begin():
            self.verify_lease()
            if replaces is not None:
                self._connection.execute(delete(outbox).where(outbox.c.id == replaces.outbox_id))
            for batch in batches:
                result = self._connection.execute(
                    insert(outbox).values(
                        store=self.store,
                        endpoint=batch.endpoint,
                        body=batch.body if batch.keep_rows else b"",
                        rows=encode_rows(batch.rows if batch.keep_rows else ()),
                        created_at=int(time.time()),
                        **self._run_and_scopes(batch),
                    )
                )
                batch.outbox_id = result.inserted_primary_key[0]  # type: ignore[index]

    def _run_and_scopes(self, batch: Batch) -> dict[str, str]:
        if self._leases is None:
            return {}
        return {"run": self._leases.run, "scopes": self._leases.scopes(row.key for row in batch.rows)}

    def commit(self, batch: Batch, rows: Sequence[Row], status: str = ACCEPTED) -> None:
        """Remove a batch from the outbox and record `rows` of it as sent, in one transaction.

        On a full disk this uses the space set aside for it, after which `begin` fails.
        """
        try:
            self._record(batch, rows, status)
        except DBAPIError as error:
            if self._reserve is None or not self._reserve.release(error):
                raise
            self._record(batch, rows, status)

    def _record(self, batch: Batch, rows: Sequence[Row], status: str) -> None:
        now = int(time.time())
        changes = [(row.sale_key, row.sale, row) for row in rows if row.sale_key and row.sale]
        latest: dict[str, tuple[SaleState, Row]] = {}
        for key, sale, row in changes:
            if key not in latest or sale.version > latest[key][0].version:
                latest[key] = sale, row
        with self._connection.begin():
            self.verify_lease()
            self._connection.execute(delete(outbox).where(outbox.c.id == batch.outbox_id))
            if rows and (batch.endpoint in UPDATABLE or self.resend_in_doubt):
                parameters = {"store": self.store, "endpoint": batch.endpoint}
                self._connection.execute(_KEEP_EARLIER, {**parameters, **key_parameters(row.key for row in rows)})
            for stream, sent_rows in _by_stream(rows).items():
                schema.upsert_sent(
                    self._connection,
                    [row.key for row in sent_rows],
                    [row.digest for row in sent_rows],
                    store=self.store,
                    endpoint=batch.endpoint,
                    stream=stream,
                    status=status,
                    sent_at=now,
                )
            states = [(self.store, k, sale.version, stored_sale(row)) for k, (sale, row) in latest.items()]
            upsert(self._connection, sales, states)
            upsert(self._connection, sale_aliases, list(self._aliases(changes)))
            upsert(self._connection, sale_events, [self._event(*change, now) for change in changes])

    def _aliases(self, changes: Iterable[tuple[str, SaleState, Row]]) -> Iterator[tuple[str, str, str]]:
        """Yield the aliases of the sales among these rows, each once."""
        found = dict.fromkeys((alias, key) for key, sale, _ in changes for alias in sale.aliases)
        return ((self.store, alias, key) for alias, key in found)

    def _event(self, key: str, sale: SaleState, row: Row, now: int) -> tuple[str | int, ...]:
        payments = orjson.dumps(plain_payments(row.payments)).decode()
        return self.store, key, sale.version, row.endpoint, row.key, sale.currency, payments, now

    def unfinished(self) -> list[Batch]:
        """Return the batches in the outbox that dead runs left, oldest first."""
        query = select(outbox).where(outbox.c.store == self.store).order_by(outbox.c.id)
        with self._connection.begin():
            if self._leases is not None:
                query = query.where(outbox.c.id.in_(self._leases.claim_orphans()))
            return [
                Batch(row.endpoint, decode_rows(row.endpoint, row.body, row.rows), outbox_id=row.id, maybe_stored=True)
                for row in self._connection.execute(query)
            ]


def _by_stream(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.stream, []).append(row)
    return found


# Built once, because SQLAlchemy takes longer to build a statement than SQLite to execute it.
_NAMED = (sent.c.store == bindparam("store"), sent.c.endpoint == bindparam("endpoint"), among(sent.c.key))
_KNOWN = select(sent.c.key, sent.c.digest).where(
    *_NAMED, *(sent.c.status != bindparam(name) for name in ("ignored", "dismissed"))
)
_KEEP_EARLIER = insert(sent_before).from_select([column.name for column in sent.columns], select(sent).where(*_NAMED))
