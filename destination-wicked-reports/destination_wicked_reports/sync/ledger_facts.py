"""What a command has to know about the ledger before anything runs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from sqlalchemy import func, select

from destination_wicked_reports.config.spec import Config, NoLedger
from destination_wicked_reports.ledger.engines import location_of
from destination_wicked_reports.ledger.ledger import fingerprint
from destination_wicked_reports.ledger.opening import open_ledger
from destination_wicked_reports.ledger.reading import open_snapshot
from destination_wicked_reports.ledger.schema import sent, stored_id
from destination_wicked_reports.model import IN_DOUBT


@dataclass(slots=True, frozen=True)
class LedgerFacts:
    """The ledger of one sync. `id` is empty if there is none."""

    id: str
    mode: str
    location: str
    rows: int
    account: str
    in_doubt: int = 0

    def first_line(self) -> str:
        """Return where rows go, and what is known of earlier ones."""
        mode = "TEST MODE: rows go to Wicked's test store" if self.mode == "test" else "LIVE: rows go to Wicked Reports"
        ledger = f"Ledger {self.location}, {self.rows:,} rows" if self.id else "No ledger"
        return f"{mode}, account {self.account}. {ledger}."


def read_ledger_snapshot(config: Config) -> LedgerFacts:
    """Return the facts of the ledger without a lock, also during a run. Raises LedgerError if there is none."""
    with open_snapshot(config) as snapshot:
        query = select(func.count()).select_from(sent).where(sent.c.store == snapshot.store)
        rows = snapshot.connection.scalar(query) or 0
        in_doubt = snapshot.connection.scalar(query.where(sent.c.status == IN_DOUBT)) or 0
        location = location_of(snapshot.description)
        identity = stored_id(snapshot.connection)
    return LedgerFacts(identity, snapshot.store, location, rows, fingerprint(config.api_key), in_doubt)


def read_ledger_facts(config: Config, lock_wait: float | None = None) -> LedgerFacts:
    """Open the ledger, creating it if need be. Raises LedgerError."""
    with contextlib.closing(open_ledger(config, lock_wait)) as ledger:
        location = location_of(ledger.description)
        identity = "" if isinstance(config.ledger, NoLedger) else ledger.id
        return LedgerFacts(identity, ledger.store, location, ledger.size(), fingerprint(config.api_key))
