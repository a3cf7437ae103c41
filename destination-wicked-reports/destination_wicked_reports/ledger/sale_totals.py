"""What a source's rows add up to, kept beside what Wicked was told: the part of each row, and the sum of each sale.

For sources whose rows do not each tell a whole sale: a return may be a row of its own, and rows worth fractions of a
cent count only together. Every row's part is kept under the row's key, so that a row that is read again replaces its
part and adds nothing, and each sum moves by the difference alone. What is due is always this sum less what the ledger's
orders say, so a run that is killed between the two tells the rest when it is run again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Context, Decimal
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    literal_column,
    select,
    tuple_,
)

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.schema import make_tables
from destination_wicked_reports.ledger.sql import among, begins, listed, upsert
from destination_wicked_reports.model import Contribution, SaleTotal

#: More digits than any sum of amounts has, so that parts that are taken off again leave exactly what was there.
EXACT = Context(prec=100)
PAGE = 500
#: Written out, not bound: the database uses an index of part of a table only if the query names the same part.
NOTHING: ColumnElement[str] = literal_column("''")

metadata = MetaData()
parts = Table(
    "parts",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("whole", String, nullable=False),
    Column("amount", String, nullable=False),  # money is decimal text: no database rounds it
    Column("click", String, nullable=False),
    Column("commission", String, nullable=False),
    Column("changed", String, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)
wholes = Table(
    "wholes",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("amount", String, nullable=False),
    Column("due", String, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
for column in (parts.c.click, parts.c.commission):
    Index(f"parts_by_{column.name}", column, sqlite_where=column != NOTHING, postgresql_where=column != NOTHING)
DUE = wholes.c.due != NOTHING
Index("wholes_by_due", wholes.c.store, wholes.c.due, wholes.c.key, sqlite_where=DUE, postgresql_where=DUE)


class SaleTotals:
    """The sums of one store; see `base.Sums`. Memory holds what the last `load` or page of `due` named."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._connection = ledger.connection
        self._store = ledger.store
        self._forget()
        with self._connection.begin():
            make_tables(self._connection, metadata)

    def _forget(self) -> None:
        self._parts: dict[str, Contribution] = {}
        self._wholes: dict[str, SaleTotal] = {}
        self._kin: dict[str, dict[str, None]] = {}
        self._changed: dict[str, Contribution] = {}
        self._moved: dict[str, SaleTotal] = {}

    # -- reading ----------------------------------------------------------------------------------------------------

    def load(self, keys: Collection[str], whole_keys: Collection[str], aliases: Collection[str]) -> None:
        """Fetch these parts, their kin and the wholes of all; see `base.Sums.load`."""
        self._forget()
        with self._connection.begin():
            self._fetch_parts(select(parts).where(among(parts.c.key), parts.c.store == self._store), keys)
            # As an expression, for SQLite would rather read the whole store by its key than look up what is named.
            store = parts.c.store.concat(NOTHING)
            for column in (parts.c.click, parts.c.commission):
                query = select(parts).where(among(column), column != NOTHING, store == self._store)
                self._fetch_parts(query, aliases)
            query = select(wholes).where(wholes.c.store == self._store, among(wholes.c.key))
            named = {*whole_keys, *(part.whole for part in self._parts.values())}
            for row in self._connection.execute(query, listed(named)):
                self._wholes[row.key] = SaleTotal(row.key, row.facts, Decimal(row.amount), row.due)

    def _fetch_parts(self, query: Select[Any], keys: Collection[str]) -> None:
        if keys:
            for row in self._connection.execute(query, listed(keys)):
                self._hold(
                    Contribution(row.key, row.whole, Decimal(row.amount), row.click, row.commission, row.changed)
                )

    def _hold(self, part: Contribution) -> None:
        self._parts[part.key] = part
        for alias in (part.click, part.commission):
            if alias:
                self._kin.setdefault(alias, {})[part.key] = None

    def part(self, key: str) -> Contribution | None:
        """Return what a row adds, or None if it was never counted."""
        return self._parts.get(key)

    def kin(self, alias: str) -> list[Contribution]:
        """Return the rows of one click and merchant, or of one commission, among those at hand."""
        found = (self._parts[key] for key in self._kin.get(alias, ()))
        return [part for part in found if alias in (part.click, part.commission)]

    def whole(self, key: str) -> SaleTotal | None:
        """Return the sum of a sale, or None if no row was ever counted for it."""
        return self._wholes.get(key)

    def loaded(self) -> list[str]:
        """Return the keys of all wholes at hand."""
        return list(self._wholes)

    def due(self, start: str, limit: str) -> Iterator[list[SaleTotal]]:
        """Yield, in pages, the wholes of `start` that are due by `limit`; no transaction is open in between."""
        last = ("", "")
        while True:
            query = (
                select(wholes)
                .where(wholes.c.store == self._store, wholes.c.due != NOTHING, wholes.c.due <= limit)
                .where(begins(wholes.c.key, start))
                .where(tuple_(wholes.c.due, wholes.c.key) > last)
                .order_by(wholes.c.due, wholes.c.key)
                .limit(PAGE)
            )
            self._forget()
            with self._connection.begin():
                for row in self._connection.execute(query):
                    self._wholes[row.key] = SaleTotal(row.key, row.facts, Decimal(row.amount), row.due)
            if not self._wholes:
                return
            page = list(self._wholes.values())
            last = (page[-1].due, page[-1].key)
            yield page

    # -- counting ---------------------------------------------------------------------------------------------------

    def put(self, part: Contribution, facts: bytes | None = None, due: str | None = None) -> None:
        """Let a row count as this part, in place of what it counted as before; see `base.Sums.put`."""
        old = self._parts.get(part.key)
        if old != part:
            if old is not None:
                self._add(self._wholes[old.whole], old.amount.copy_negate())
            whole = self._wholes.setdefault(part.whole, SaleTotal(part.whole, facts or b"{}"))
            self._add(whole, part.amount)
            self._hold(part)
            self._changed[part.key] = part
        self.set(part.whole, facts, due)

    def _add(self, whole: SaleTotal, amount: Decimal) -> None:
        whole.amount = EXACT.add(whole.amount, amount)
        self._moved[whole.key] = whole

    def set(self, key: str, facts: bytes | None = None, due: str | None = None) -> None:
        """Change a whole's facts or when it is due; None leaves them."""
        whole = self._wholes[key]
        if (facts is not None and facts != whole.facts) or (due is not None and due != whole.due):
            whole.facts = whole.facts if facts is None else facts
            whole.due = whole.due if due is None else due
            self._moved[key] = whole

    def save(self) -> None:
        """Write down what has changed, all or nothing."""
        with self._connection.begin():
            self._ledger.guard()
            upsert(
                self._connection,
                parts,
                [
                    (self._store, p.key, p.whole, str(p.amount), p.click, p.commission, p.changed)
                    for p in self._changed.values()
                ],
            )
            upsert(
                self._connection,
                wholes,
                [(self._store, whole.key, str(whole.amount), whole.due, whole.facts) for whole in self._moved.values()],
            )
        self._changed, self._moved = {}, {}
