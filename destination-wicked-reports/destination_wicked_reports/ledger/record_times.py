"""The update times of sales' latest records, where those records made no row.

A record older than the latest one of its sale must change nothing. The time of a record that made rows is in the
sale's state (`SaleState.source_updated_at`); this table has those of later records that changed nothing, or of a sale
that was never sent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, MetaData, Select, String, Table, literal_column, select

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.schema import SCOPED, create_tables
from destination_wicked_reports.ledger.sql import among, key_parameters, upsert

metadata = MetaData()
record_times = Table(
    "record_times",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True, info=SCOPED),
    Column("updated_at", String, nullable=False),
    sqlite_with_rowid=False,
    info={"never_decreases": ("updated_at",)},
)


class RecordTimes:
    """The times of one store. Memory holds those of the last `load`."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._connection = ledger.connection
        self._store = ledger.store
        self._times: dict[str, str] = {}
        self._unsaved: dict[str, str] = {}
        with self._connection.begin():
            create_tables(self._connection, metadata)
            first: Select[Any] = select(literal_column("1")).where(record_times.c.store == self._store).limit(1)
            self._empty = self._connection.scalar(first) is None

    def load(self, keys: Collection[str]) -> None:
        """Fetch the times of these sales in one query for the following calls of `get`."""
        self._times = {}
        if not self._empty:
            query = select(record_times).where(record_times.c.store == self._store, among(record_times.c.key))
            with self._connection.begin():
                self._times = {row.key: row.updated_at for row in self._connection.execute(query, key_parameters(keys))}

    def get(self, key: str) -> str:
        """Return the time of the latest record of a sale, "" if none was noted."""
        return self._times.get(key, "")

    def note(self, key: str, updated_at: str) -> None:
        """Note the time of a record; `save` stores it."""
        if updated_at > self.get(key):
            self._times[key] = self._unsaved[key] = updated_at

    def save(self) -> None:
        """Store all noted times in one transaction."""
        if self._unsaved:
            with self._connection.begin():
                self._ledger.verify_lease()
                upsert(
                    self._connection,
                    record_times,
                    [(self._store, key, updated_at) for key, updated_at in self._unsaved.items()],
                )
            self._unsaved, self._empty = {}, False
