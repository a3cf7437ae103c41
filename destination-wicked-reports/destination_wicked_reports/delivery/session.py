"""What a run has open, and what becomes of the errors that end it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.config.paths import is_ephemeral, ledger_path, rejects_path
from destination_wicked_reports.config.spec import Config, NoLedger
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.errors import ConfigurationError, LedgerBusyError, LedgerError
from destination_wicked_reports.ledger.engines import reason
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.opening import open_ledger, take_ledger

logger = logging.getLogger("airbyte")

#: What SQLite calls the files of a ledger, behind the ledger's own name.
_FILES = ("", "-wal", "-shm", "-journal")


@dataclass(slots=True, frozen=True)
class Session:
    """The parts that a run works with."""

    ledger: Ledger
    letters: DeadLetterFile
    client: WickedClient
    delivery: Dispatcher


@contextlib.contextmanager
def running(config: Config) -> Iterator[Session]:
    """Open ledger, dead letters, client and delivery, make the ledger this account's, and close all at the end.

    Whatever goes wrong with them here or in the run is raised as one AirbyteTracedException that says what to do.
    """
    try:
        with contextlib.ExitStack() as stack:
            ledger = stack.enter_context(contextlib.closing(open_ledger(config)))
            letters = _open_letters(config)
            stack.callback(letters.close)
            client = client_of(config)
            delivery = Dispatcher(
                client, ledger, letters, batch_rows=config.batch_rows, in_flight=config.max_requests_in_flight
            )
            stack.callback(delivery.close)
            stack.callback(client.close)
            take_ledger(config, ledger, client)
            say_where(config, ledger, letters)
            try:
                yield Session(ledger, letters, client, delivery)
            except DBAPIError as error:
                raise _out_of_order(f"{ledger.description} could not be read or written ({reason(error)})") from None
            except BrokenPipeError:
                raise
            except OSError as error:
                raise _out_of_order(f"{letters.path} could not be written ({error.strerror})") from None
    except LedgerBusyError as error:
        raise _traced(str(error), FailureType.transient_error) from None
    except (ConfigurationError, LedgerError) as error:
        raise config_error(str(error)) from None
    except DBAPIError as error:
        raise _out_of_order(f"The ledger could not be read or written ({reason(error)})") from None


def client_of(config: Config) -> WickedClient:
    """Return a client for the account that the configuration names."""
    return WickedClient(
        config.api_url, config.api_key, test_mode=config.test_mode, connections=config.max_requests_in_flight
    )


def config_error(message: str) -> AirbyteTracedException:
    """Return the error that only the user can mend."""
    return _traced(message, FailureType.config_error)


def _open_letters(config: Config) -> DeadLetterFile:
    try:
        letters = open_letters(config)
        letters.try_out()
    except OSError as error:
        raise ConfigurationError(unwritable(config, error)) from None
    return letters


def _out_of_order(what: str) -> AirbyteTracedException:
    text = f"{what}. What was acknowledged is safe: make room or mend the disk or the database, and run the sync again."
    return _traced(text, FailureType.transient_error)


def _traced(message: str, failure_type: FailureType) -> AirbyteTracedException:
    return AirbyteTracedException(message=message, internal_message=message, failure_type=failure_type)


def open_letters(config: Config) -> DeadLetterFile:
    """Open the dead-letter file; OSError if its folder cannot be made, ConfigurationError if it is the ledger's."""
    path, ledger = rejects_path(config), ledger_path(config)
    if ledger is not None and path.resolve() in [ledger.with_name(ledger.name + end).resolve() for end in _FILES]:
        raise ConfigurationError(f"{path} is the ledger's own file. Choose another rejected_records_path.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return DeadLetterFile(path)


def unwritable(config: Config, error: OSError) -> str:
    """Return what to say of a dead-letter file that cannot be written."""
    return (
        f"The dead-letter file {rejects_path(config)} cannot be written ({error.strerror}). "
        "Choose another rejected_records_path."
    )


def say_where(config: Config, ledger: Ledger, letters: DeadLetterFile) -> None:
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
    if path is not None and is_ephemeral(path):
        logger.warning(
            "%s is inside this container and on no volume: what was sent is forgotten when the container ends, and "
            "will be sent again. Mount a volume there, or choose the ledger `postgres`.",
            ledger.description,
        )
    elif is_ephemeral(letters.path):
        logger.warning(
            "The dead-letter file %s is inside this container and on no volume: rejected rows are lost when the "
            "container ends. Mount a volume, and set rejected_records_path to a file on it.",
            letters.path,
        )
