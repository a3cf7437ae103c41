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
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DatabaseError, OperationalError

from destination_wicked_reports.normalizers.base import Documents, OrderState, Row, Sums

SCHEMA_VERSION = "1"
#: A second run on the same file waits this long for the first to end.
LOCK_WAIT_SECONDS = 30

ACCEPTED, HELD = "accepted", "held"

metadata = MetaData()
info = Table("ledger", metadata, Column("name", String, primary_key=True), Column("value", String, nullable=False))
sent = Table(
    "sent",
    metadata,
    Column("store", String, primary_key=True),  # live or test: Wicked keeps two stores, so do we
    Column("endpoint", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("status", String, nullable=False),
    Column("stream", String, nullable=False),
    Column("sent_at", BigInteger, nullable=False),  # UNIX seconds
    sqlite_with_rowid=False,
)
orders = Table(
    "orders",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("total", String, nullable=False),  # money is decimal text: no database rounds it
    Column("approved", String, nullable=False),
    Column("refunded", String, nullable=False),
    Column("status", String, nullable=False),
    Column("payments", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("currency", String, nullable=False),
    Column("changed", String, nullable=False),
    sqlite_with_rowid=False,
)
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("store", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the request as it was sent, to be sent again byte for byte
    Column("rows", LargeBinary, nullable=False),  # what its rows are called, and what they do to their orders
    Column("marked_at", BigInteger, nullable=False),
)
#: Keys travel as one JSON parameter: no limit on their number, and one statement whatever it is.
KEYS = select(func.json_each(bindparam("keys")).table_valued("value").c.value)


class LedgerError(Exception):
    """The ledger cannot be used; the message says why and what to do."""


class LedgerBusyError(LedgerError):
    """Another run holds the ledger."""


@dataclass(slots=True, eq=False)
class Batch:
    """Rows for one endpoint that travel in one request; `mark` is their line in the outbox, 0 before there is one.

    `kept` says that the outbox holds the rows themselves: a later run must send the same bytes again or report them.
    Other rows come again from the source, whose STATE does not leave before they are settled.
    """

    endpoint: str
    rows: list[Row]
    kept: bool = True
    mark: int = 0
    sequence: int = field(init=False)
    _body: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        self.sequence = min([row.sequence for row in self.rows], default=0)

    @property
    def body(self) -> bytes:
        """The request body: a JSON array of rows that were encoded when they were made."""
        if not self._body:
            self._body = b"[" + b",".join([row.body for row in self.rows]) + b"]"
        return self._body

    def without(self, orders: Collection[str]) -> Batch | None:
        """Return the batch less the rows of these orders, or None if nothing is left."""
        rows = [row for row in self.rows if row.order_key not in orders]
        return Batch(self.endpoint, rows, self.kept) if rows else None


def fingerprint(api_key: str) -> str:
    """Return what the ledger keeps of an API key: enough to know it again, not enough to use it."""
    return hashlib.sha256(b"wicked-reports\0" + api_key.encode()).hexdigest()[:16]


class Ledger:
    """One store (`live` or `test`) of one ledger. Used by one thread."""

    def __init__(self, engine: Engine, store: str, description: str):
        self.store = store
        self.description = description
        self._engine = engine
        self._upserts: dict[str, str] = {}
        try:
            metadata.create_all(engine)
            self._connection: Connection = engine.connect()
            with self._connection.begin():
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
        insertion = sqlite.insert(info).values(name=name, value=value)
        with self._connection.begin():
            self._connection.execute(
                insertion.on_conflict_do_update(index_elements=[info.c.name], set_={"value": value})
            )

    def _owner(self, api_key: str) -> str:
        return f"key.{self.store}.{fingerprint(api_key)}"

    # -- what was sent ----------------------------------------------------------------------------------------------

    def known(self, endpoint: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return key -> digest of the rows among `keys` that were sent (or are held: their fate is unknown)."""
        query = select(sent.c.key, sent.c.digest).where(
            sent.c.store == self.store, sent.c.endpoint == endpoint, sent.c.key.in_(KEYS)
        )
        with self._connection.begin():
            return {row.key: row.digest for row in self._connection.execute(query, _listed(keys))}

    def orders(self, keys: Sequence[str]) -> dict[str, OrderState]:
        """Return what Wicked was told of these affiliate orders."""
        query = select(orders).where(orders.c.store == self.store, orders.c.key.in_(KEYS))
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
                for row in self._connection.execute(query, _listed(keys))
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
                        rows=_dump(batch.rows if batch.kept else ()),
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
                states[row.order_key] = max(states.get(row.order_key, row.order), row.order, key=_place)
        with self._connection.begin():
            self._connection.execute(delete(outbox).where(outbox.c.id == batch.mark))
            self._upsert(
                sent, [(self.store, row.endpoint, row.key, row.digest, status, row.stream, now) for row in remembered]
            )
            self._upsert(
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

    def _upsert(self, table: Table, rows: list[tuple[Any, ...]]) -> None:
        """Insert or replace rows, given as tuples in the table's order of columns.

        The statement is compiled by SQLAlchemy and executed as text: its own many-row path costs more per row than
        everything else that the ledger does.
        """
        if rows:
            if table.name not in self._upserts:
                self._upserts[table.name] = str(_upsert_of(table).compile(self._engine))
            self._connection.exec_driver_sql(self._upserts[table.name], rows)

    def unfinished(self) -> list[Batch]:
        """Return the batches that an earlier run marked and never settled, oldest first."""
        query = select(outbox).where(outbox.c.store == self.store).order_by(outbox.c.id)
        with self._connection.begin():
            return [
                Batch(row.endpoint, _load(row.endpoint, row.body, row.rows), mark=row.id)
                for row in self._connection.execute(query)
            ]

    def history(self) -> Iterator[tuple[str, str, str, str, int]]:
        """Yield (endpoint, key, status, stream, sent_at) of everything in this store, in endpoint and key order."""
        columns = (sent.c.endpoint, sent.c.key, sent.c.status, sent.c.stream, sent.c.sent_at)
        with self._connection.begin():
            yield from self._connection.execute(
                select(*columns).where(sent.c.store == self.store).order_by(sent.c.endpoint, sent.c.key)
            ).tuples()


def _upsert_of(table: Table) -> sqlite.Insert:
    insertion = sqlite.insert(table)
    fresh = {column.name: insertion.excluded[column.name] for column in table.columns if not column.primary_key}
    # Rows leave by endpoint, so the order of a revived sale may be settled before the refund of its former one.
    forward = None
    if table is orders:
        forward = tuple_(insertion.excluded.revision, insertion.excluded.payments) >= tuple_(
            orders.c.revision, orders.c.payments
        )
    return insertion.on_conflict_do_update(index_elements=list(table.primary_key), set_=fresh, where=forward)


def _durable_and_exclusive(connection: Any, _: Any) -> None:
    """Survive power loss, and keep a second run off the file: it would take our rows under way for a dead run's."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA locking_mode=EXCLUSIVE")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _listed(keys: Sequence[str]) -> dict[str, str]:
    return {"keys": orjson.dumps(list(keys)).decode()}


def _dump(rows: Sequence[Row]) -> bytes:
    """Encode everything about rows but their bodies, of which only the lengths are kept."""
    return orjson.dumps(
        [(row.key, row.digest.hex(), row.stream, row.order_key, row.order, len(row.body)) for row in rows], default=str
    )


def _load(endpoint: str, body: bytes, dumped: bytes) -> list[Row]:
    rows, start = [], len(b"[")
    for key, digest, stream, order_key, order, size in orjson.loads(dumped):
        if order is not None:
            order = OrderState(**order | {name: Decimal(order[name]) for name in ("total", "approved", "refunded")})
        row = Row(endpoint, key, body[start : start + size], bytes.fromhex(digest), stream)
        row.order_key, row.order = order_key, order
        rows.append(row)
        start += size + len(b",")
    return rows


def _place(state: OrderState) -> tuple[int, int]:
    return state.place


class OrderBook:
    """The ledger's affiliate orders, with what is queued but not yet accepted laid over them (see `base.Orders`).

    Memory is bounded: an order is held only while a row of it is on its way, and between `load` and the next `load`.
    """

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._queued: dict[str, tuple[OrderState, int]] = {}
        self._loaded: dict[str, OrderState] = {}

    def load(self, keys: Iterable[str]) -> None:
        """Fetch these orders in one go; see `base.Orders.load`."""
        self._loaded = self._ledger.orders([key for key in dict.fromkeys(keys) if key not in self._queued])

    def get(self, key: str) -> OrderState | None:
        """Return the order as of the last row made for it; see `base.Orders.get`."""
        queued = self._queued.get(key)
        return queued[0] if queued else self._loaded.get(key)

    @cached_property
    def sums(self) -> Sums:
        """What the rows of a source add up to; its tables are made when first asked for. See `base.Sums`."""
        from destination_wicked_reports.sums import SumBook

        return SumBook(self._ledger)

    @cached_property
    def documents(self) -> Documents:
        """What is known of each order; its table is made when first asked for. See `base.Documents`."""
        from destination_wicked_reports.documents import DocumentBook

        return DocumentBook(self._ledger)

    def is_queued(self, key: str) -> bool:
        """Tell whether any row of this order is on its way."""
        return key in self._queued

    def queue(self, row: Row) -> None:
        """Remember the order as this row, now on its way, will leave it."""
        if row.order_key and row.order:
            known, count = self._queued.get(row.order_key, (row.order, 0))
            self._queued[row.order_key] = max(known, row.order, key=_place), count + 1

    def settle(self, rows: Iterable[Row]) -> None:
        """Forget rows whose outcome is known: from here on the ledger answers."""
        for row in rows:
            if row.order_key in self._queued:
                state, count = self._queued.pop(row.order_key)
                if count > 1:
                    self._queued[row.order_key] = state, count - 1
