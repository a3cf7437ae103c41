"""`check` and `write`: the wiring of the parts."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalog,
    DestinationSyncMode,
    FailureType,
    Status,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets, update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.base.errors import config_error
from destination_wicked_reports.config.mappings import NativeMapping
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.session import (
    make_client,
    not_writable_message,
    open_dead_letters,
    open_session,
)
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.errors import ConfigurationError, LedgerBusyError, LedgerError
from destination_wicked_reports.ledger.opening import open_ledger, refuse_foreign_ledger
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.protocol import discover
from destination_wicked_reports.protocol.catalog import find_routes, find_schemas, read_catalog
from destination_wicked_reports.protocol.messages import Output, OutputHandler, read_lines
from destination_wicked_reports.protocol.pyairbyte_cache import Restorer
from destination_wicked_reports.signals import SIGNALS

logger = logging.getLogger("airbyte")

SUPPORTED = frozenset({DestinationSyncMode.append, DestinationSyncMode.append_dedup})
#: They print plain text, and no messages; see tools.py.
COMMANDS_FOR_PEOPLE = frozenset({"replay", "ledger"})
HELP = """usage: destination-wicked-reports COMMAND [OPTIONS]

  spec                                 print the settings, as a JSON schema
  check     --config FILE              try the API key, the ledger and the dead-letter file
  discover  --config FILE              print the objects that records can become
  write     --config FILE --catalog FILE   write the Airbyte messages of standard input
  ledger    --config FILE [--key ID]   show what was sent
  replay    --config FILE --rejects FILE [--in-doubt]   send fixed rows of the dead-letter file again, once

Each command has a --help of its own.
"""
#: How long to wait for input before looking at requests in flight and the clock again, in seconds.
POLL_SECONDS = 0.2


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
            status = make_client(parsed).prove_key()
            busy = contextlib.suppress(LedgerBusyError)  # a run that uses the ledger right now has proven it
            with busy, contextlib.closing(open_ledger(parsed, lock_wait=0)) as ledger:
                refuse_foreign_ledger(parsed, ledger)
            open_dead_letters(parsed).check_writable()
        except (ConfigurationError, LedgerError) as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
        except AirbyteTracedException as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=error.message)
        except OSError as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=not_writable_message(parsed, error))
        if status >= 500:
            return AirbyteConnectionStatus(
                status=Status.FAILED,
                message=f"Wicked Reports answered {status}, which says nothing about the API key. Try again later.",
            )
        proven = f"Wicked Reports answered {status} to GET /latest and did not refuse the API key. Nothing was written."
        return AirbyteConnectionStatus(status=Status.SUCCEEDED, message=proven)

    # -- discover ---------------------------------------------------------------------------------------------------

    def discover(self, config: Mapping[str, Any]) -> None:
        """Print the objects that a platform's records can become; none if the mapping settles that by itself."""
        mapping = Config.parse(config).mapping
        catalog = discover.destination_catalog()
        if not isinstance(mapping, NativeMapping):
            catalog["destination_catalog"]["operations"] = []
            logger.info(
                'The mapping %s decides itself what records become. To choose objects, set "mapping" to '
                '{"type": "native"}.',
                mapping.type,
            )
        self.output.emit(catalog)

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
            routes = find_routes(catalog, normalizer, parsed)
        except ConfigurationError as error:
            raise config_error(str(error)) from None
        with open_session(parsed, fail_fast=parsed.on_rejected_record == "fail_fast") as session:
            writer = Writer(
                normalizer,
                session.dispatcher,
                session.tally,
                self.output.emit,
                routes,
                batch_rows=parsed.batch_rows,
                restore=Restorer(find_schemas(catalog, routes)).restore,
            )
            try:
                writer.write(input_lines)
            finally:
                for line in writer.summary():
                    logger.info(line)
        if session.tally.failed:
            if parsed.on_rejected_record != "skip":
                raise session.tally.failure()
            logger.warning(session.tally.failure().message)

    # -- the command line -------------------------------------------------------------------------------------------

    @property
    def output(self) -> Output:
        """Where messages go; standard output unless a test says otherwise."""
        if self._output is None:
            self._output = Output()
        return self._output

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """Read the command line; the base class knows spec, check and write."""
        return discover.parse_args(args) if args[:1] == [discover.COMMAND] else super().parse_args(args)

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
        elif parsed_args.command == discover.COMMAND:
            self.discover(config)
        else:
            self.deliver(config, read_catalog(Path(parsed_args.catalog)), read_lines(sys.stdin.fileno(), POLL_SECONDS))

    @staticmethod
    def read_config(config_path: str) -> MutableMapping[str, Any]:
        """Return the configuration file's content; raises config_error if it is missing or no JSON object."""
        try:
            config = orjson.loads(Path(config_path).read_bytes())
        except OSError as error:
            raise config_error(f"The configuration {config_path} cannot be read ({error.strerror}).") from None
        except orjson.JSONDecodeError:
            config = None
        if not isinstance(config, dict):
            raise config_error(f"The configuration {config_path} is not a JSON object.")
        return config

    def run(self, args: list[str]) -> None:
        """Run one command: every message is flushed at once, and every failure is one TRACE and a non-zero exit."""
        try:
            self._run(args)
        except OSError as error:  # nobody can be told any more, for what tells them is closed or full
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stderr.write(f"Standard output cannot be written ({error.strerror}).\n")
            sys.exit(1)

    def _run(self, args: list[str]) -> None:
        if args and args[0] in COMMANDS_FOR_PEOPLE:
            from destination_wicked_reports.commands import cli

            sys.exit(cli.main(args))
        if args and args[0] in ("-h", "--help"):
            sys.stdout.write(HELP)
            sys.exit(0)
        handler = OutputHandler(self.output)
        logging.getLogger().handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        SIGNALS.listen()
        try:
            if not args:
                raise config_error("No command was given: say spec, check, discover, write, ledger or replay.")
            for message in self.run_cmd(self.parse_args(args)):
                self.output.emit(AirbyteMessageSerializer.dump(message))
        except AirbyteTracedException as error:
            self.output.emit(AirbyteMessageSerializer.dump(error.as_airbyte_message()))
            sys.exit(1)
        except ConfigurationError as error:
            self.output.emit(AirbyteMessageSerializer.dump(config_error(str(error)).as_airbyte_message()))
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
