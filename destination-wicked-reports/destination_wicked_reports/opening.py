"""Opening what a run keeps on this machine, the ledger and the dead-letter file, and refusing what is not its own."""

from __future__ import annotations

import logging

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.mappings import AffiliateMapping, BigcommerceMapping
from destination_wicked_reports.config.paths import dies_with_container, ledger_path, rejects_path
from destination_wicked_reports.config.spec import Config, ConfigurationError, NoLedger, PostgresLedger
from destination_wicked_reports.ledger.ledger import LEASE_WAIT_SECONDS, LOCK_WAIT_SECONDS, Ledger, LedgerError
from destination_wicked_reports.rejects import DeadLetters

logger = logging.getLogger("airbyte")

#: What SQLite calls the files of a ledger, behind the ledger's own name.
_FILES = ("", "-wal", "-shm", "-journal")
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


def open_letters(config: Config) -> DeadLetters:
    """Open the dead-letter file; OSError if its folder cannot be made, ConfigurationError if it is the ledger's."""
    path, ledger = rejects_path(config), ledger_path(config)
    if ledger is not None and path.resolve() in [ledger.with_name(ledger.name + end).resolve() for end in _FILES]:
        raise ConfigurationError(f"{path} is the ledger's own file. Choose another rejected_records_path.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return DeadLetters(path)


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


def unwritable(config: Config, error: OSError) -> str:
    """Return what to say of a dead-letter file that cannot be written."""
    return (
        f"The dead-letter file {rejects_path(config)} cannot be written ({error.strerror}). "
        "Choose another rejected_records_path."
    )


def say_where(config: Config, ledger: Ledger, letters: DeadLetters) -> None:
    """Log where the ledger and the dead-letter file lie, and warn where memory is short."""
    if isinstance(config.ledger, NoLedger):
        logger.warning(
            "Without a ledger nothing is remembered after this run: rows that come again are sent again, so that "
            "Wicked counts payments, clicks and marketing rows twice, a commission that changes goes out as a new "
            "order, parts of an order that are read in different runs never meet, and what a broken run had under way "
            "is not known to the next."
        )
        return
    path = ledger_path(config)
    place = path if path is not None else ledger.description.removeprefix("The ledger in ")
    logger.info("Ledger: %s. Rejected rows: %s.", place, letters.path)
    if path is not None and dies_with_container(path):
        logger.warning(
            "%s is inside this container and on no volume: what was sent is forgotten when the container ends, and "
            "will be sent again. Mount a volume there, or choose the ledger `postgres`.",
            ledger.description,
        )
    elif dies_with_container(letters.path):
        logger.warning(
            "The dead-letter file %s is inside this container and on no volume: rejected rows are lost when the "
            "container ends. Mount a volume, and set rejected_records_path to a file on it.",
            letters.path,
        )
