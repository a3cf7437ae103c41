"""Opens the ledger that the configuration names, and refuses one that another account or mapping filled."""

from __future__ import annotations

import logging

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.changes import SOURCE_SYSTEM
from destination_wicked_reports.config.mappings import AffiliateMapping
from destination_wicked_reports.config.paths import ledger_path
from destination_wicked_reports.config.spec import Config, PostgresLedger
from destination_wicked_reports.errors import ConfigurationError, LedgerError
from destination_wicked_reports.ledger.guards import GuardedMapping, announcements, record_settings, refuse_changes
from destination_wicked_reports.ledger.ledger import FILE_LOCK_SECONDS, LEASE_WAIT_SECONDS, Ledger
from destination_wicked_reports.ledger.reading import store_of
from destination_wicked_reports.ledger.renaming import must_rename, rename_source_system
from destination_wicked_reports.ledger.schema import sales

logger = logging.getLogger("airbyte")


def open_ledger(config: Config, lock_wait: float | None = None, *, resend_in_doubt: bool = False) -> Ledger:
    """Open the configured ledger, creating its folder or schema.

    `lock_wait` is how many seconds to wait for another run: for the whole file, or for a source system in PostgreSQL.
    """
    store = store_of(config)
    if isinstance(config.ledger, PostgresLedger):
        wait = LEASE_WAIT_SECONDS if lock_wait is None else lock_wait
        return Ledger.postgresql(
            config.ledger.url, config.ledger.schema_name, store, wait, resend_in_doubt=resend_in_doubt
        )
    path = ledger_path(config)
    if path is None:
        return Ledger.in_memory(store)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"The ledger's folder {path.parent} cannot be created ({error.strerror}).") from None
    wait = FILE_LOCK_SECONDS if lock_wait is None else lock_wait
    return Ledger.sqlite(path, store, wait, resend_in_doubt=resend_in_doubt)


def refuse_foreign_ledger(config: Config, ledger: Ledger) -> None:
    """Raise ConfigurationError if another account filled the ledger, or a guarded setting changed since."""
    if not ledger.belongs_to(config.api_key) and not config.new_api_key:
        raise ConfigurationError(
            f"{ledger.description} was filled with another API key. If that is another Wicked account, give this one "
            "its own ledger path or schema. If the key of the same account was renewed, set "
            '"new_api_key": true for one run.'
        )
    refuse_changes(config, ledger)


def is_first_run(config: Config, ledger: Ledger) -> bool:
    """Return whether an affiliate mapping has sent no sale of its source system yet."""
    if not isinstance(config.mapping, AffiliateMapping):
        return False
    return not ledger.has_keys(sales, config.mapping.source_system + SEPARATOR)


def claim_ledger(config: Config, ledger: Ledger, client: WickedClient) -> None:
    """Refuse a foreign ledger, else record whose it is. Waits for a run of the same source system."""
    accepted = config.accepted_change
    renamed = accepted if accepted is not None and accepted.setting == SOURCE_SYSTEM else None
    scopes = {config.mapping.source_system} if isinstance(config.mapping, GuardedMapping) else set()
    scopes |= {renamed.old, renamed.new} if renamed is not None else set()
    ledger.acquire(scope + SEPARATOR for scope in scopes)
    try:
        refuse_foreign_ledger(config, ledger)
    except ConfigurationError:
        client.prove_key()  # a mistyped key is reported as a wrong key, not as a foreign ledger
        raise
    ledger.claim(config.api_key)
    if renamed is not None and must_rename(ledger, renamed):
        rename_source_system(ledger, renamed.old, renamed.new)
        logger.info("Renamed source system %s to %s in the ledger. Nothing is sent for that.", renamed.old, renamed.new)
    for announcement in announcements(config, ledger):
        logger.warning(announcement)
    record_settings(config, ledger)
