"""What is known about each order of a shop, one document per order, until its rows can be sent.

For sources whose orders arrive in parts (the order, its lines, its payments), in any order of streams and over several
runs. A part that arrives before the order it belongs to waits here instead of in memory.
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
from destination_wicked_reports.ledger.schema import SCOPED, WHERE, create_tables
from destination_wicked_reports.ledger.sql import among, key_parameters, starts_with, upsert
from destination_wicked_reports.model import Document

PAGE = 500
#: A literal, not a parameter: a database uses a partial index only if the query contains the same condition.
EMPTY: ColumnElement[str] = literal_column("''")
#: The `pending` value of an order that is due although nothing about it changed. It sorts before every date.
DUE_AGAIN = "0"

metadata = MetaData()
documents = Table(
    "documents",
    metadata,
    Column("store", String, primary_key=True),
    Column("key", String, primary_key=True, info=SCOPED),
    Column("pending", String, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
Index(
    "documents_by_pending",
    documents.c.store,
    documents.c.pending,
    documents.c.key,
    info={WHERE: documents.c.pending != EMPTY},
)


class OrderDocuments:
    """The documents of one store. Memory holds those of the last `load` or of the last page of `pending`."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._connection = ledger.connection
        self._store = ledger.store
        self._loaded: dict[str, Document] = {}
        self._unsaved: dict[str, Document] = {}
        with self._connection.begin():
            create_tables(self._connection, metadata)

    def load(self, keys: Collection[str]) -> None:
        """Fetch these documents in one query for the following calls of `get`."""
        query = select(documents).where(documents.c.store == self._store, among(documents.c.key))
        with self._connection.begin():
            rows = self._connection.execute(query, key_parameters(keys))
            self._loaded = {row.key: Document(row.key, row.facts, row.pending) for row in rows}

    def get(self, key: str) -> Document | None:
        """Return a loaded document, or None if this order has none."""
        return self._loaded.get(key)

    def put(self, document: Document) -> None:
        """Replace a document; `save` stores it."""
        if self._loaded.get(document.key) != document:
            self._loaded[document.key] = self._unsaved[document.key] = document

    def save(self) -> None:
        """Store all replaced documents in one transaction."""
        rows = [(self._store, key, document.pending, document.facts) for key, document in self._unsaved.items()]
        if rows:
            with self._connection.begin():
                self._ledger.verify_lease()
                upsert(self._connection, documents, rows)
        self._unsaved = {}

    def pending(self, prefix: str) -> Iterator[list[Document]]:
        """Yield, in pages sorted by `pending`, the documents that have rows to send and a key with this prefix.

        The prefix tells apart the shops that share a ledger. No transaction is open between two pages, and documents
        put between two pages do not come again.
        """
        last = ("", "")
        while True:
            query = (
                select(documents)
                .where(documents.c.store == self._store, documents.c.pending != EMPTY)
                .where(starts_with(documents.c.key, prefix))
                .where(tuple_(documents.c.pending, documents.c.key) > last)
                .order_by(documents.c.pending, documents.c.key)
                .limit(PAGE)
            )
            with self._connection.begin():
                page = [Document(row.key, row.facts, row.pending) for row in self._connection.execute(query)]
            if not page:
                return
            self._loaded = {document.key: document for document in page}
            last = (page[-1].pending, page[-1].key)
            yield page

    def known(self, endpoint: str, keys: Collection[str]) -> frozenset[str]:
        """Return which of these rows were sent, including those in doubt, whichever source made them."""
        return frozenset(self._ledger.known(endpoint, list(keys))) if keys else frozenset()
