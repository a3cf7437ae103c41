"""Opening what a run keeps on this machine, the ledger and the dead-letter file, and refusing what is not its own."""

from __future__ import annotations

import logging

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.mappings import AffiliateMapping, BigcommerceMapping
from destination_wicked_reports.config.paths import ledger_path
from destination_wicked_reports.config.spec import Config, PostgresLedger
from destination_wicked_reports.errors import ConfigurationError, LedgerError
from destination_wicked_reports.ledger.ledger import LEASE_WAIT_SECONDS, LOCK_WAIT_SECONDS, Ledger

logger = logging.getLogger("airbyte")

#: Mappings whose orders become payments by difference, so that what they are measured by must stay.
MEASURED = (AffiliateMapping, BigcommerceMapping)


def open_ledger(config: Config, patience: float | None = None) -> Ledger:
    """Open the ledger that the configuration names, making its folder or schema.

    `patience` is how many seconds to wait for another run: for the whole file, or for a part of a shared database.
    """
    store = "test" if config.test_mode else "live"
    if isinstance(config.ledger, PostgresLedger):
        chosen = config.ledger
        return Ledger.postgresql(
            chosen.url, chosen.schema_name, store, LEASE_WAIT_SECONDS if patience is None else patience
        )
    path = ledger_path(config)
    if path is None:
        return Ledger.in_memory(store)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"The ledger's folder {path.parent} cannot be made ({error.strerror}).") from None
    return Ledger.sqlite(path, store, LOCK_WAIT_SECONDS if patience is None else patience)


def refuse_strange_ledger(config: Config, ledger: Ledger) -> None:
    """Refuse a ledger that another account or another measure of revenue filled: its memory would be wrong here."""
    if not ledger.belongs_to(config.api_key) and not config.new_api_key:
        raise ConfigurationError(
            f"{ledger.description} was filled with another API key. If this is another Wicked account, give it its own "
            'ledger path or schema; if the key of the same account was renewed, set "new_api_key": true for one run.'
        )
    if isinstance(config.mapping, MEASURED):
        measure, former = config.mapping.measure, ledger.agreed(_measure_name(config.mapping, ledger))
        if former not in (None, measure):
            raise ConfigurationError(
                f"{ledger.description} remembers orders by {former}, and the mapping now says {measure}: every order "
                "would seem to have changed. Go back, or start anew with another source_system."
            )


def take_ledger(config: Config, ledger: Ledger, client: WickedClient) -> None:
    """Make the ledger this account's own, unless it is a stranger's; wait for a run of the same source system."""
    if isinstance(config.mapping, MEASURED):
        ledger.enter([config.mapping.source_system + SEPARATOR])
    try:
        refuse_strange_ledger(config, ledger)
    except ConfigurationError:
        client.prove_key()  # a mistyped key should be called a wrong key, not a stranger's ledger
        raise
    ledger.adopt(config.api_key)
    if isinstance(config.mapping, MEASURED):
        ledger.agree(_measure_name(config.mapping, ledger), config.mapping.measure)


def _measure_name(mapping: AffiliateMapping | BigcommerceMapping, ledger: Ledger) -> str:
    return f"revenue_basis.{ledger.store}.{mapping.source_system}"
