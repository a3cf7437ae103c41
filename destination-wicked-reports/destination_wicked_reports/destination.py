"""`check` and `write`: the wiring of the parts."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, NoReturn

import orjson
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    DestinationSyncMode,
    FailureType,
    Status,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets, update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from sqlalchemy.exc import DatabaseError

from destination_wicked_reports.client import WickedClient
from destination_wicked_reports.delivery import Delivery
from destination_wicked_reports.ledger import LOCK_WAIT_SECONDS, Ledger, LedgerBusyError, LedgerError
from destination_wicked_reports.messages import Output, OutputHandler, read_lines
from destination_wicked_reports.normalizers.affiliate import AffiliateRules
from destination_wicked_reports.normalizers.base import Normalizer
from destination_wicked_reports.normalizers.identity import ContactRule
from destination_wicked_reports.normalizers.native import NativeNormalizer
from destination_wicked_reports.normalizers.sovrn import SovrnNormalizer
from destination_wicked_reports.normalizers.sovrn_rows import SovrnRules
from destination_wicked_reports.normalizers.wecantrack import WecantrackNormalizer
from destination_wicked_reports.places import dies_with_container, ledger_path, rejects_path
from destination_wicked_reports.rejects import DeadLetters
from destination_wicked_reports.spec import (
    AffiliateMapping,
    Config,
    ConfigurationError,
    NativeMapping,
    NoLedger,
    SovrnMapping,
)
from destination_wicked_reports.writer import Writer

logger = logging.getLogger("airbyte")

SUPPORTED = frozenset({DestinationSyncMode.append, DestinationSyncMode.append_dedup})
#: How long the writer waits for input before it looks after its requests and its clock.
PATIENCE = 0.2


class DestinationWickedReports(Destination):
    """Writes records to Wicked Reports' inbound API, each row once."""

    def __init__(self, output: Output | None = None) -> None:
        self._output = output

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Prove the key by one read, and the ledger and dead-letter paths by opening them; nothing is written."""
        try:
            parsed = Config.parse(config)
            make_normalizer(parsed)
            status = _client(parsed).prove_key()
            busy = contextlib.suppress(LedgerBusyError)  # a run that uses the ledger right now has proven it
            with busy, contextlib.closing(_open_ledger(parsed, patience=0)) as ledger:
                refuse_strange_ledger(parsed, ledger)
            _open_letters(parsed).try_out()
        except (ConfigurationError, LedgerError) as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
        except AirbyteTracedException as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=error.message)
        except OSError as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=_unwritable(parsed, error))
        if status >= 500:
            return AirbyteConnectionStatus(
                status=Status.FAILED,
                message=f"Wicked Reports answered {status}, which says nothing about the API key. Try again later.",
            )
        proven = f"Wicked Reports answered {status} to GET /latest and did not refuse the API key. Nothing was written."
        return AirbyteConnectionStatus(status=Status.SUCCEEDED, message=proven)

    # -- write ------------------------------------------------------------------------------------------------------

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterable[AirbyteMessage]:
        """Not used: this connector reads raw lines, so that STATE messages stay whole. See `deliver`."""
        raise AirbyteTracedException(message="Use `deliver`.", failure_type=FailureType.system_error)

    def deliver(
        self, config: Mapping[str, Any], catalog: ConfiguredAirbyteCatalog, input_lines: Iterable[list[bytes]]
    ) -> None:
        """Write everything in the input, lists of lines, to Wicked; STATEs go to the output as they are earned."""
        try:
            parsed = Config.parse(config)
            normalizer = make_normalizer(parsed)
            refuse_impossible(catalog, normalizer, parsed)
            ledger = _open_ledger(parsed)
        except LedgerBusyError as error:
            raise AirbyteTracedException(
                message=str(error), internal_message=str(error), failure_type=FailureType.transient_error
            ) from None
        except (ConfigurationError, LedgerError) as error:
            raise _config_error(str(error)) from None
        try:
            letters = _open_letters(parsed)
            letters.try_out()
        except OSError as error:
            ledger.close()
            raise _config_error(_unwritable(parsed, error)) from None
        client = _client(parsed)
        delivery = Delivery(
            client, ledger, letters, batch_rows=parsed.batch_rows, in_flight=parsed.max_requests_in_flight
        )
        writer = Writer(
            normalizer,
            delivery,
            letters,
            self.output.emit,
            {stream.stream.name for stream in catalog.streams},
            batch_rows=parsed.batch_rows,
            fail_fast=parsed.on_rejected_record == "fail_fast",
        )
        try:
            take_ledger(parsed, ledger, client)
            _say_where(parsed, letters)
            writer.write(input_lines)
        except DatabaseError as error:
            raise _out_of_order(f"{ledger.description} could not be written ({error.orig})") from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _out_of_order(f"{letters.path} could not be written ({error.strerror})") from None
        finally:
            client.close()
            delivery.close()
            letters.close()
            ledger.close()
            for line in writer.summary():
                logger.info(line)
        if writer.refused:
            if parsed.on_rejected_record != "skip":
                raise writer.failure()
            logger.warning(writer.failure().message)

    # -- the command line -------------------------------------------------------------------------------------------

    @property
    def output(self) -> Output:
        """Where messages go; standard output unless a test says otherwise."""
        if self._output is None:
            self._output = Output()
        return self._output

    def run_cmd(self, parsed_args: argparse.Namespace) -> Iterable[AirbyteMessage]:
        """Run one command. The base class's version would validate first, in words that only a developer reads."""
        spec = self.spec(logger)
        if parsed_args.command == "spec":
            yield AirbyteMessage(type=Type.SPEC, spec=spec)
            return
        config = self.read_config(parsed_args.config)
        update_secrets(get_secrets(spec.connectionSpecification, config))
        if parsed_args.command == "check":
            yield self._run_check(config)
        else:
            self.deliver(config, _read_catalog(Path(parsed_args.catalog)), read_lines(sys.stdin.fileno(), PATIENCE))

    @staticmethod
    def read_config(config_path: str) -> MutableMapping[str, Any]:
        """Return the configuration file's content; raises config_error if it is missing or no JSON object."""
        try:
            config = orjson.loads(Path(config_path).read_bytes())
        except OSError as error:
            raise _config_error(f"The configuration {config_path} cannot be read ({error.strerror}).") from None
        except orjson.JSONDecodeError:
            config = None
        if not isinstance(config, dict):
            raise _config_error(f"The configuration {config_path} is not a JSON object.")
        return config

    def run(self, args: list[str]) -> None:
        """Run one command: every message is flushed at once, and every failure is one TRACE and a non-zero exit."""
        handler = OutputHandler(self.output)
        logging.getLogger().handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        signal.signal(signal.SIGTERM, _terminate)
        try:
            if not args:
                raise _config_error("No command was given: say spec, check or write.")
            for message in self.run_cmd(self.parse_args(args)):
                self.output.emit(AirbyteMessageSerializer.dump(message))
        except AirbyteTracedException as error:
            self.output.emit(AirbyteMessageSerializer.dump(error.as_airbyte_message()))
            sys.exit(1)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(1)
        except KeyboardInterrupt:
            logger.warning("Stopped. What was sent is in the ledger: run the same command again to go on.")
            sys.exit(130)
        except Exception as error:
            # The text of a foreign exception may hold a row; its type and its place in our code are enough to mend it.
            traced = AirbyteTracedException(
                message=f"The connector failed ({type(error).__name__}). Nothing that was acknowledged is lost; run "
                "the sync again, and report this if it stays.",
                internal_message=type(error).__name__,
                failure_type=FailureType.system_error,
            )
            traced.__traceback__ = error.__traceback__
            self.output.emit(AirbyteMessageSerializer.dump(traced.as_airbyte_message()))
            sys.exit(1)


def make_normalizer(config: Config) -> Normalizer:
    """Return the normalizer that the mapping names."""
    mapping = config.mapping
    if isinstance(mapping, NativeMapping):
        return NativeNormalizer()
    settings = mapping.model_dump(exclude={"type", "contact_rules"})
    rules = [ContactRule(rule.field, rule.pattern) for rule in mapping.contact_rules]
    if isinstance(mapping, SovrnMapping):
        if mapping.cpc == "rollup" and isinstance(config.ledger, NoLedger):
            raise ConfigurationError(
                "mapping: cpc `rollup` needs a ledger, in which rows wait for their day to be complete. Choose another "
                "ledger than `none`, or cpc `skip`."
            )
        return SovrnNormalizer(SovrnRules(**settings, contact_rules=rules))
    return WecantrackNormalizer(AffiliateRules(**settings, contact_rules=rules))


def refuse_impossible(catalog: ConfiguredAirbyteCatalog, normalizer: Normalizer, config: Config) -> None:
    """Raise ConfigurationError for what Wicked cannot do: replacing, deleting, and streams it has no place for."""
    for configured in catalog.streams:
        name = configured.stream.name
        mode = configured.destination_sync_mode
        if mode not in SUPPORTED:
            raise ConfigurationError(
                f"Stream {name} asks for sync mode {mode.value if mode else None}. Wicked Reports can neither replace "
                "nor delete: choose append or append_dedup."
            )
        if _truncates(configured.generation_id, configured.minimum_generation_id, configured.sync_id):
            raise ConfigurationError(
                f"Stream {name} asks for a refresh that removes its old data. Wicked Reports cannot delete: choose a "
                "refresh that keeps the records."
            )
        if name not in normalizer.streams:
            known = ", ".join(sorted(normalizer.streams))
            raise ConfigurationError(
                f"Stream {name} has no place in Wicked Reports with the mapping {config.mapping.type}: deselect it. "
                f"That mapping takes {known}."
            )


def _truncates(generation: int | None, minimum: int | None, sync: int | None) -> bool:
    """Tell whether older data is to go. PyAirbyte says 1, 1, 1 for every stream (clients.md 1.3): nothing is older."""
    return bool(generation) and minimum == generation and (generation, sync) != (1, 1)


def _client(config: Config) -> WickedClient:
    return WickedClient(
        config.api_url, config.api_key, test_mode=config.test_mode, connections=config.max_requests_in_flight
    )


def _open_ledger(config: Config, patience: float = LOCK_WAIT_SECONDS) -> Ledger:
    store = "test" if config.test_mode else "live"
    path = ledger_path(config)
    if path is None:
        return Ledger.in_memory(store)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"The ledger's folder {path.parent} cannot be made ({error.strerror}).") from None
    return Ledger.sqlite(path, store, patience)


def _open_letters(config: Config) -> DeadLetters:
    path = rejects_path(config)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return DeadLetters(path)


def refuse_strange_ledger(config: Config, ledger: Ledger) -> None:
    """Refuse a ledger that another account or another measure of revenue filled: its memory would be wrong here."""
    if not ledger.belongs_to(config.api_key) and not config.new_api_key:
        raise ConfigurationError(
            f"{ledger.description} was filled with another API key. If this is another Wicked account, give it its own "
            'ledger path; if the key of the same account was renewed, set "new_api_key": true for one run.'
        )
    if isinstance(config.mapping, AffiliateMapping):
        basis, former = config.mapping.revenue_basis, ledger.agreed(_basis_name(config.mapping, ledger))
        if former not in (None, basis):
            raise ConfigurationError(
                f"{ledger.description} remembers orders by {former}, and revenue_basis is now {basis}: every order "
                "would seem to have changed. Go back, or start anew with another source_system."
            )


def take_ledger(config: Config, ledger: Ledger, client: WickedClient) -> None:
    """Make the ledger this account's own, unless it is a stranger's."""
    try:
        refuse_strange_ledger(config, ledger)
    except ConfigurationError as error:
        client.prove_key()  # a mistyped key should be called a wrong key, not a stranger's ledger
        raise _config_error(str(error)) from None
    ledger.adopt(config.api_key)
    if isinstance(config.mapping, AffiliateMapping):
        ledger.agree(_basis_name(config.mapping, ledger), config.mapping.revenue_basis)


def _basis_name(mapping: AffiliateMapping, ledger: Ledger) -> str:
    return f"revenue_basis.{ledger.store}.{mapping.source_system}"


def _unwritable(config: Config, error: OSError) -> str:
    return (
        f"The dead-letter file {rejects_path(config)} cannot be written ({error.strerror}). "
        "Choose another rejected_records_path."
    )


def _say_where(config: Config, letters: DeadLetters) -> None:
    path = ledger_path(config)
    if path is None:
        logger.warning(
            "Without a ledger nothing is remembered after this run: rows that come again are sent again, and later "
            "changes of a commission cannot be told from new ones."
        )
    else:
        logger.info("Ledger: %s. Rejected rows: %s.", path, letters.path)
        if dies_with_container(path):
            logger.warning(
                "The ledger %s is inside this container and on no volume: what was sent is forgotten when the "
                "container ends, and will be sent again. Mount a volume there.",
                path,
            )


def _read_catalog(path: Path) -> ConfiguredAirbyteCatalog:
    try:
        return ConfiguredAirbyteCatalogSerializer.load(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise _config_error(f"The catalog {path} cannot be read ({error.strerror}).") from None
    except Exception as error:
        raise _config_error(f"The catalog {path} is not a configured catalog ({type(error).__name__}).") from None


def _out_of_order(what: str) -> AirbyteTracedException:
    text = f"{what}. What was acknowledged is safe: make room or mend the disk, and run the sync again."
    return AirbyteTracedException(message=text, internal_message=text, failure_type=FailureType.transient_error)


def _config_error(message: str) -> AirbyteTracedException:
    return AirbyteTracedException(message=message, internal_message=message, failure_type=FailureType.config_error)


def _terminate(signum: int, _: Any) -> NoReturn:
    """End as a container runtime asks: what is under way is settled, earned STATEs leave, exit code 143."""
    raise SystemExit(128 + signum)
