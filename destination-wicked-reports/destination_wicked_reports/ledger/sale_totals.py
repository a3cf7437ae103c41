"""Sums over a source's rows: the contribution of each row, and the total of each sale.

For sources whose rows are not whole sales: a return may be a row of its own, and rows worth fractions of a cent count
only in sum. A contribution is stored under its row's key, so a row that is read again replaces its contribution, and
the total moves by the difference. What has to be sent is always the total less what the ledger's orders already have,
so a run killed between the two is completed by the next one.
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
    func,
    literal_column,
    select,
    tuple_,
)

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.schema import SCOPED, WHERE, create_tables
from destination_wicked_reports.ledger.sql import among, key_parameters, starts_with, upsert
from destination_wicked_reports.model import ZERO, Contribution, SaleTotal

#: More digits than any sum of amounts needs, so that subtracting a contribution undoes adding it exactly.
EXACT = Context(prec=100)
PAGE = 500
#: A literal, not a parameter: a database uses a partial index only if the query contains the same condition.
EMPTY: ColumnElement[str] = literal_column("''")

#: How many aliases a contribution may have.
ALIASES = 3

metadata = MetaData()
contributions = Table(
    "contributions",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True, info=SCOPED),
    Column("sale_key", String, nullable=False, info=SCOPED),
    Column("amount", String, nullable=False),  # money is decimal text, which no database rounds
    *(Column(f"alias_{number}", String, nullable=False, info=SCOPED) for number in range(1, ALIASES + 1)),
    Column("source_updated_at", String, nullable=False),
    Column("currency", String, nullable=False),
    sqlite_with_rowid=False,
)
sale_totals = Table(
    "sale_totals",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True, info=SCOPED),
    Column("amount", String, nullable=False),
    Column("pending", String, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
ALIAS_COLUMNS = [column for column in contributions.columns if column.name.startswith("alias_")]
for column in ALIAS_COLUMNS:
    Index(f"contributions_by_{column.name}", column, info={WHERE: column != EMPTY})
#: The `pending` value of a total that is due although nothing about it changed. It sorts before every day.
DUE_AGAIN = "1"
PENDING = sale_totals.c.pending != EMPTY
Index(
    "sale_totals_by_pending",
    sale_totals.c.store,
    sale_totals.c.pending,
    sale_totals.c.key,
    info={WHERE: PENDING},
)


class SaleTotals:
    """The totals of one store. Memory holds those of the last `load` or of the last page of `pending`."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._connection = ledger.connection
        self._store = ledger.store
        self._clear()
        with self._connection.begin():
            create_tables(self._connection, metadata)
            first: Select[Any] = select(literal_column("1")).where(contributions.c.store == self._store).limit(1)
            #: Whether no row was ever counted: then nothing needs to be loaded.
            self.empty = self._connection.scalar(first) is None

    def _clear(self) -> None:
        self._contributions: dict[str, Contribution] = {}
        self._totals: dict[str, SaleTotal] = {}
        self._related: dict[str, dict[str, None]] = {}
        self._unsaved_contributions: dict[str, Contribution] = {}
        self._unsaved_totals: dict[str, SaleTotal] = {}

    # -- reading ----------------------------------------------------------------------------------------------------

    def load(self, keys: Collection[str], sale_keys: Collection[str], aliases: Collection[str]) -> None:
        """Fetch contributions by key, those of their sales, all that share an alias, and the totals of their sales."""
        self._clear()
        with self._connection.begin():
            own = select(contributions).where(among(contributions.c.key), contributions.c.store == self._store)
            self._fetch_contributions(own, keys)
            self._fetch_contributions(own, {one.sale_key for one in self._contributions.values()} - set(keys))
            aliases = {*aliases, *self._related}
            # As an expression, because SQLite would prefer to scan the store by primary key to using the index.
            store = contributions.c.store.concat(EMPTY)
            for column in ALIAS_COLUMNS:
                query = select(contributions).where(among(column), column != EMPTY, store == self._store)
                self._fetch_contributions(query, aliases)
            query = select(sale_totals).where(sale_totals.c.store == self._store, among(sale_totals.c.key))
            wanted = {*sale_keys, *(contribution.sale_key for contribution in self._contributions.values())}
            for row in self._connection.execute(query, key_parameters(wanted)):
                self._totals[row.key] = SaleTotal(row.key, row.facts, Decimal(row.amount), row.pending)

    def _fetch_contributions(self, query: Select[Any], keys: Collection[str]) -> None:
        if keys:
            for row in self._connection.execute(query, key_parameters(keys)).mappings():
                amount, aliases = Decimal(row["amount"]), tuple(row[c.name] for c in ALIAS_COLUMNS if row[c.name])
                updated_at, currency = row["source_updated_at"], row["currency"]
                self._keep(Contribution(row["key"], row["sale_key"], amount, aliases, updated_at, currency))

    def _keep(self, contribution: Contribution) -> None:
        self._contributions[contribution.key] = contribution
        for alias in contribution.aliases:
            self._related.setdefault(alias, {})[contribution.key] = None

    def contribution(self, key: str) -> Contribution | None:
        """Return what a row adds, or None if it was never counted."""
        return self._contributions.get(key)

    def related(self, alias: str) -> list[Contribution]:
        """Return the loaded contributions that have this alias."""
        found = (self._contributions[key] for key in self._related.get(alias, ()))
        return [contribution for contribution in found if alias in contribution.aliases]

    def total(self, key: str) -> SaleTotal | None:
        """Return the total of a sale, or None if it has no row."""
        return self._totals.get(key)

    def amount(self, key: str) -> Decimal:
        """Return the sum of a sale's contributions; 0 if it has none."""
        total = self._totals.get(key)
        return ZERO if total is None else total.amount

    def loaded_keys(self) -> list[str]:
        """Return the keys of all loaded totals."""
        return list(self._totals)

    def holds(self, prefix: str) -> bool:
        """Tell whether the ledger has a total whose key has this prefix."""
        return self._ledger.has_keys(sale_totals, prefix)

    def count_pending(self, prefix: str, first: str, last: str) -> int:
        """Return how many totals whose key has this prefix are pending between two days, both included."""
        query = select(func.count()).where(sale_totals.c.store == self._store, PENDING)
        query = query.where(sale_totals.c.pending.between(first, last), starts_with(sale_totals.c.key, prefix))
        with self._connection.begin():
            return self._connection.scalar(query) or 0

    def pending(self, prefix: str, day: str) -> Iterator[list[SaleTotal]]:
        """Yield, in pages, the totals that are pending on or before this day and whose key has this prefix.

        No transaction is open between two pages.
        """
        last = ("", "")
        while True:
            query = (
                select(sale_totals)
                .where(sale_totals.c.store == self._store, PENDING, sale_totals.c.pending <= day)
                .where(starts_with(sale_totals.c.key, prefix))
                .where(tuple_(sale_totals.c.pending, sale_totals.c.key) > last)
                .order_by(sale_totals.c.pending, sale_totals.c.key)
                .limit(PAGE)
            )
            self._clear()
            with self._connection.begin():
                for row in self._connection.execute(query):
                    self._totals[row.key] = SaleTotal(row.key, row.facts, Decimal(row.amount), row.pending)
            if not self._totals:
                return
            page = list(self._totals.values())
            last = (page[-1].pending, page[-1].key)
            yield page

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, contribution: Contribution, facts: bytes | None = None, pending: str | None = None) -> None:
        """Replace a row's contribution and move the totals; `facts` and `pending` are the sale's. `save` stores it."""
        self.empty = False
        old = self._contributions.get(contribution.key)
        if old != contribution:
            if old is not None:
                self._add(self._totals[old.sale_key], old.amount.copy_negate())
            total = self._totals.setdefault(contribution.sale_key, SaleTotal(contribution.sale_key, facts or b"{}"))
            self._add(total, contribution.amount)
            self._keep(contribution)
            self._unsaved_contributions[contribution.key] = contribution
        self.update(contribution.sale_key, facts, pending)

    def _add(self, total: SaleTotal, amount: Decimal) -> None:
        total.amount = EXACT.add(total.amount, amount)
        self._unsaved_totals[total.key] = total

    def update(self, key: str, facts: bytes | None = None, pending: str | None = None) -> None:
        """Change a sale's facts or `pending`; None leaves them as they are."""
        total = self._totals[key]
        if (facts is not None and facts != total.facts) or (pending is not None and pending != total.pending):
            total.facts = total.facts if facts is None else facts
            total.pending = total.pending if pending is None else pending
            self._unsaved_totals[key] = total

    def save(self) -> None:
        """Store all changes in one transaction."""
        with self._connection.begin():
            self._ledger.verify_lease()
            upsert(
                self._connection,
                contributions,
                [
                    (
                        self._store,
                        c.key,
                        c.sale_key,
                        str(c.amount),
                        *_filled(c.aliases),
                        c.source_updated_at,
                        c.currency,
                    )
                    for c in self._unsaved_contributions.values()
                ],
            )
            upsert(
                self._connection,
                sale_totals,
                [(self._store, t.key, str(t.amount), t.pending, t.facts) for t in self._unsaved_totals.values()],
            )
        self._unsaved_contributions, self._unsaved_totals = {}, {}


def _filled(aliases: tuple[str, ...]) -> tuple[str, ...]:
    return (*aliases, *[""] * (ALIASES - len(aliases)))
