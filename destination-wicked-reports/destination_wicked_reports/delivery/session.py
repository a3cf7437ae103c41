"""Opens what a run works with, closes it, and turns the errors in between into messages for the user."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.base.errors import config_error, transient_error
from destination_wicked_reports.config.paths import is_ephemeral, ledger_path, rejects_path
from destination_wicked_reports.config.spec import Config, NoLedger
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.errors import ConfigurationError, DeadLetterFileError, LedgerBusyError, LedgerError
from destination_wicked_reports.ledger.engines import location_of, reason
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.opening import claim_ledger, open_ledger
from destination_wicked_reports.ledger.runs import Run, recorded_run
from destination_wicked_reports.ledger.schema import other_store

logger = logging.getLogger("airbyte")

#: The files that SQLite keeps for a ledger, as suffixes of its name.
_SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal", "-reserve", "-lock")


@dataclass(slots=True, frozen=True)
class Session:
    """The parts of an open run."""

    ledger: Ledger
    dead_letters: DeadLetterFile
    client: WickedClient
    tally: Tally
    dispatcher: Dispatcher
    run: Run

    def rows_in_doubt(self) -> int:
        """Return how many rows are in doubt, of all runs: in the ledger, or in the dead-letter file without one."""
        if not self.ledger.durable:
            return self.dead_letters.open_in_doubt()
        return sum(map(len, self.ledger.in_doubt().values()))

    def reminders(self) -> Iterator[str]:
        """Yield what is open: dead letters, and rows in doubt that have none in the file, which may be gone."""
        if reminder := self.dead_letters.reminder():
            yield reminder
        if not self.ledger.durable:
            return
        lost = len(self.dead_letters.without_line(key for keys in self.ledger.in_doubt().values() for key in keys))
        if lost:
            rows = "1 row in doubt has" if lost == 1 else f"{lost:,} rows in doubt have"
            yield (
                f"{rows} no open line in {self.dead_letters.path}: the file was moved or removed, or it is the file of "
                "another connection with this ledger. `ledger in-doubt` lists them. Look for them in Wicked Reports; "
                "`ledger in-doubt --dismiss` closes them all."
            )


@contextlib.contextmanager
def open_session(
    config: Config,
    command: str = "write",
    *,
    fail_fast: bool = False,
    replay: bool = False,
    resend_in_doubt: bool = False,
) -> Iterator[Session]:
    """Open the ledger, the dead-letter file, the client and the dispatcher, and close them at the end.

    The ledger records the run under the name of its `command`. `fail_fast` ends the run at the first row that fails.
    `replay` writes rows that fail again to the dead-letter file again; `resend_in_doubt` sends rows in doubt again.
    Raises AirbyteTracedException for everything that goes wrong with these parts, here or inside the block.
    """
    try:
        with contextlib.ExitStack() as stack:
            ledger = stack.enter_context(contextlib.closing(open_ledger(config, resend_in_doubt=resend_in_doubt)))
            dead_letters = open_dead_letters(config, repeat=replay)
            stack.callback(dead_letters.close)
            client = make_client(config)
            tally = Tally(dead_letters, fail_fast=fail_fast, test_mode=config.test_mode)
            dispatcher = Dispatcher(
                client, ledger, tally, batch_rows=config.batch_rows, in_flight=config.max_requests_in_flight
            )
            stack.callback(dispatcher.close)
            stack.callback(client.close)
            claim_ledger(config, ledger, client)
            log_locations(config, ledger, dead_letters)
            warn_of_new_ledger(config, ledger)
            try:
                with recorded_run(ledger, command) as run:
                    yield Session(ledger, dead_letters, client, tally, dispatcher, run)
            except DBAPIError as error:
                raise _storage_error(f"{ledger.description} could not be read or written ({reason(error)})") from None
            except DeadLetterFileError as error:
                raise _storage_error(f"{dead_letters.path} could not be written ({error.strerror})") from None
    except LedgerBusyError as error:
        raise transient_error(str(error)) from None
    except (ConfigurationError, LedgerError) as error:
        raise config_error(str(error)) from None
    except DBAPIError as error:
        raise _storage_error(f"The ledger could not be read or written ({reason(error)})") from None


def make_client(config: Config) -> WickedClient:
    """Return a client for the configured account."""
    return WickedClient(
        config.api_url, config.api_key, test_mode=config.test_mode, connections=config.max_requests_in_flight
    )


def open_dead_letters(config: Config, *, repeat: bool = False) -> DeadLetterFile:
    """Return the dead-letter file, creating its folder; for `repeat` see DeadLetterFile.

    Raises ConfigurationError if it cannot be written, is one of the ledger's files, or holds anything else.
    """
    path, ledger = rejects_path(config), ledger_path(config)
    if ledger is not None and path.resolve() in [
        ledger.with_name(ledger.name + suffix).resolve() for suffix in _SQLITE_SUFFIXES
    ]:
        raise ConfigurationError(f"{path} is the ledger's own file. Choose another rejected_records_path.")
    dead_letters = DeadLetterFile(path, repeat=repeat)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        dead_letters.check_writable()
    except OSError as error:
        raise ConfigurationError(
            f"The dead-letter file {path} cannot be written ({error.strerror}). Choose another rejected_records_path."
        ) from None
    return dead_letters


def log_locations(config: Config, ledger: Ledger, dead_letters: DeadLetterFile) -> None:
    """Log where the ledger and the dead-letter file are, and warn if they do not outlive the run."""
    if isinstance(config.ledger, NoLedger):
        logger.warning(
            "Without a ledger nothing is remembered after this run: rows that come again are sent again, so Wicked "
            "counts payments, clicks and marketing rows twice; a changed commission is sent as a new order; parts of "
            "an order that are read in different runs are never combined; and the next run does not know which "
            "requests of a killed run were in flight."
        )
        return
    path = ledger_path(config)
    logger.info("Ledger: %s. Rejected rows: %s.", location_of(ledger.description), dead_letters.path)
    if path is not None and is_ephemeral(path):
        logger.warning(
            "%s is inside this container and not on a volume: what was sent is forgotten when the container ends, and "
            "is then sent again. Mount a volume there, or use the ledger `postgres`.",
            ledger.description,
        )
    elif is_ephemeral(dead_letters.path):
        logger.warning(
            "The dead-letter file %s is inside this container and not on a volume: rejected rows are lost when the "
            "container ends. Mount a volume, and set rejected_records_path to a file on it.",
            dead_letters.path,
        )


def warn_of_new_ledger(config: Config, ledger: Ledger) -> None:
    """Warn if nothing was sent in this mode with this ledger: a wrong path would send everything again."""
    if not ledger.is_new or isinstance(config.ledger, NoLedger):
        return
    if ledger.size(other_store(ledger.store)):
        logger.warning(
            "%s: everything that the source delivers will be sent. If this connection has sent rows in this mode "
            "before, stop this run and set the ledger that it used.",
            ledger.contents(),
        )
    else:
        logger.warning(
            "%s is new and empty: everything that the source delivers will be sent. If this connection has sent rows "
            "before, stop this run and set the ledger that it used.",
            ledger.description,
        )


def _storage_error(what: str) -> AirbyteTracedException:
    return transient_error(
        f"{what}. Acknowledged records are safe. Free disk space, or repair the disk or the database, then run the "
        "sync again."
    )
