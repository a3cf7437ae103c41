"""Rows in doubt: lists them, and records those that Wicked turned out to have as accepted."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from destination_wicked_reports.ledger.ledger import ACCEPTED, Ledger
from destination_wicked_reports.ledger.schema import sent
from destination_wicked_reports.model import IN_DOUBT


class RowInDoubt(NamedTuple):
    """A row whose outcome is unknown; `key` is that of the ledger, `sent_at` in UNIX seconds."""

    sent_at: int
    endpoint: str
    key: str
    stream: str
    digest: bytes


def rows_in_doubt(connection: Connection, store: str) -> list[RowInDoubt]:
    """Return the rows in doubt of a store, oldest first."""
    columns = (sent.c[name] for name in RowInDoubt._fields)
    query = (
        select(*columns).where(sent.c.store == store, sent.c.status == IN_DOUBT).order_by(sent.c.sent_at, sent.c.key)
    )
    return [
        RowInDoubt(row.sent_at, row.endpoint, row.key, row.stream, bytes(row.digest))
        for row in connection.execute(query)
    ]


def confirm(ledger: Ledger, rows: Collection[RowInDoubt]) -> list[RowInDoubt]:
    """Record rows in doubt as accepted; return those that were, without those that a run has sent again meanwhile."""
    ledger.acquire(row.key for row in rows)
    with ledger.connection.begin():
        ledger.verify_lease()
        return [row for row in rows if _confirm(ledger, row)]


def _confirm(ledger: Ledger, row: RowInDoubt) -> bool:
    unchanged = [sent.c[name] == value for name, value in row._asdict().items()]
    of_store = sent.c.store == ledger.store, sent.c.status == IN_DOUBT
    changed = update(sent).where(*of_store, *unchanged).values(status=ACCEPTED)
    return ledger.connection.execute(changed).rowcount > 0
