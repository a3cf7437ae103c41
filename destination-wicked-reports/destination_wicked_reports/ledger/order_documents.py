"""What is known of each order of a shop, kept until it can be told: one document an order, in the ledger's database.

For sources whose orders arrive in pieces (the order, its lines, its payments), in any order of streams and over
separate runs. A piece that comes before what it belongs to waits here and not in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    literal_column,
    select,
    tuple_,
)

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.schema import make_tables
from destination_wicked_reports.ledger.sql import among, begins, listed, upsert
from destination_wicked_reports.model import Document

PAGE = 500
#: Written out, not bound: the database uses an index of part of a table only if the query names the same part.
NOTHING: ColumnElement[str] = literal_column("''")

metadata = MetaData()
documents = Table(
    "documents",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("due", String, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
Index(
    "documents_by_due",
    documents.c.store,
    documents.c.due,
    documents.c.key,
    sqlite_where=documents.c.due != NOTHING,
    postgresql_where=documents.c.due != NOTHING,
)


class OrderDocuments:
    """The documents of one store; see `base.Documents`. Memory holds what the last `load` or page of `due` named."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._connection = ledger.connection
        self._store = ledger.store
        self._held: dict[str, Document] = {}
        self._changed: dict[str, Document] = {}
        with self._connection.begin():
            make_tables(self._connection, metadata)

    def load(self, keys: Collection[str]) -> None:
        """Fetch these documents; see `base.Documents.load`."""
        query = select(documents).where(documents.c.store == self._store, among(documents.c.key))
        with self._connection.begin():
            rows = self._connection.execute(query, listed(keys))
            self._held = {row.key: Document(row.key, row.facts, row.due) for row in rows}

    def get(self, key: str) -> Document | None:
        """Return a document at hand, None if there is none of this order."""
        return self._held.get(key)

    def put(self, document: Document) -> None:
        """Replace a document; it counts once it is saved."""
        if self._held.get(document.key) != document:
            self._held[document.key] = self._changed[document.key] = document

    def save(self) -> None:
        """Write down what was put, all or nothing."""
        rows = [(self._store, key, document.due, document.facts) for key, document in self._changed.items()]
        if rows:
            with self._connection.begin():
                self._ledger.guard()
                upsert(self._connection, documents, rows)
        self._changed = {}

    def due(self, start: str) -> Iterator[list[Document]]:
        """Yield, in pages, the documents with something to tell, the earliest due first; see `base.Documents.due`.

        No transaction is open in between, and what is put between two pages stays behind the page it was put on.
        """
        last = ("", "")
        while True:
            query = (
                select(documents)
                .where(documents.c.store == self._store, documents.c.due != NOTHING)
                .where(begins(documents.c.key, start))
                .where(tuple_(documents.c.due, documents.c.key) > last)
                .order_by(documents.c.due, documents.c.key)
                .limit(PAGE)
            )
            with self._connection.begin():
                page = [Document(row.key, row.facts, row.due) for row in self._connection.execute(query)]
            if not page:
                return
            self._held = {document.key: document for document in page}
            last = (page[-1].due, page[-1].key)
            yield page

    def known(self, endpoint: str, keys: Collection[str]) -> frozenset[str]:
        """Return which of these rows were sent, or are held because nobody knows."""
        return frozenset(self._ledger.known(endpoint, list(keys))) if keys else frozenset()
