"""What a run has open, and what becomes of the errors that end it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.config.spec import Config, ConfigurationError
from destination_wicked_reports.delivery import Delivery
from destination_wicked_reports.ledger.engines import reason
from destination_wicked_reports.ledger.ledger import Ledger, LedgerBusyError, LedgerError
from destination_wicked_reports.opening import open_ledger, open_letters, say_where, take_ledger, unwritable
from destination_wicked_reports.rejects import DeadLetters


@dataclass(slots=True, frozen=True)
class Run:
    """The parts that a run works with."""

    ledger: Ledger
    letters: DeadLetters
    client: WickedClient
    delivery: Delivery


@contextlib.contextmanager
def running(config: Config) -> Iterator[Run]:
    """Open ledger, dead letters, client and delivery, make the ledger this account's, and close all at the end.

    Whatever goes wrong with them here or in the run is raised as one AirbyteTracedException that says what to do.
    """
    try:
        with contextlib.ExitStack() as stack:
            ledger = stack.enter_context(contextlib.closing(open_ledger(config)))
            letters = _open_letters(config)
            stack.callback(letters.close)
            client = client_of(config)
            delivery = Delivery(
                client, ledger, letters, batch_rows=config.batch_rows, in_flight=config.max_requests_in_flight
            )
            stack.callback(delivery.close)
            stack.callback(client.close)
            take_ledger(config, ledger, client)
            say_where(config, ledger, letters)
            try:
                yield Run(ledger, letters, client, delivery)
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


def _open_letters(config: Config) -> DeadLetters:
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
