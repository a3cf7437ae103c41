"""What a contact lookup answered: the email address of a contact id, or that there is none.

Answers are personal data. They are stored only if `keep` allows it, and deleted when they expire.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, MetaData, String, Table, delete, select

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.schema import create_tables
from destination_wicked_reports.ledger.sql import among, key_parameters, upsert

metadata = MetaData()
contact_answers = Table(
    "contact_answers",
    metadata,
    Column("store", String, primary_key=True),
    Column("source_system", String, primary_key=True),  # of the contacts, not of the orders
    Column("contact_id", String, primary_key=True),
    Column("email", String, nullable=False),  # empty if there is no such contact
    Column("answered_at", BigInteger, nullable=False),  # UNIX seconds
    sqlite_with_rowid=False,
)


class ContactAnswer(NamedTuple):
    """The address of a contact, "" if it was not found, and when that was asked, in UNIX seconds."""

    email: str
    answered_at: int


class ContactAnswers:
    """The answers of one store."""

    def __init__(self, ledger: Ledger):
        self._connection = ledger.connection
        self._store = ledger.store
        with self._connection.begin():
            create_tables(self._connection, metadata)

    def load(self, source_system: str, ids: Collection[str]) -> dict[str, ContactAnswer]:
        """Return the stored answers about these contacts of a source system, by id, however old they are."""
        table = contact_answers.c
        query = select(table.contact_id, table.email, table.answered_at).where(
            table.store == self._store, table.source_system == source_system, among(table.contact_id)
        )
        with self._connection.begin():
            rows = self._connection.execute(query, key_parameters(ids))
            return {row.contact_id: ContactAnswer(row.email, row.answered_at) for row in rows}

    def save(self, source_system: str, answers: Sequence[tuple[str, ContactAnswer]]) -> None:
        """Store answers. Sorted by id, so that two runs that store the same ones cannot block each other."""
        rows = [(self._store, source_system, contact_id, *answer) for contact_id, answer in sorted(answers)]
        with self._connection.begin():
            upsert(self._connection, contact_answers, rows)

    def delete_older(self, source_system: str, found_before: int, not_found_before: int) -> None:
        """Delete addresses and negative answers that were given at these times or before."""
        table = contact_answers.c
        old = ((table.email != "") & (table.answered_at <= found_before)) | (
            (table.email == "") & (table.answered_at <= not_found_before)
        )
        with self._connection.begin():
            self._connection.execute(
                delete(contact_answers).where(table.store == self._store, table.source_system == source_system, old)
            )
