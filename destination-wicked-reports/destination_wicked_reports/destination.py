"""The Airbyte destination: `check`, `discover` and `write`."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalog,
    FailureType,
    Status,
    Type,
)
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets, update_secrets
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.base.errors import config_error, transient_error
from destination_wicked_reports.base.terminal_log import TerminalLog, open_terminal_log
from destination_wicked_reports.config.mappings import NativeMapping
from destination_wicked_reports.config.reader import read_config_file
from destination_wicked_reports.config.spec import Config, NoLedger
from destination_wicked_reports.delivery.closing import health_lines, mode_line
from destination_wicked_reports.delivery.report import RunReport, reported
from destination_wicked_reports.delivery.session import (
    make_client,
    open_dead_letters,
    open_session,
)
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.errors import ConfigurationError, LedgerBusyError, LedgerError
from destination_wicked_reports.ledger import runs
from destination_wicked_reports.ledger.guards import announcements
from destination_wicked_reports.ledger.opening import is_first_run, open_ledger, refuse_foreign_ledger
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.protocol import discover
from destination_wicked_reports.protocol.catalog import find_routes, find_schemas, read_catalog
from destination_wicked_reports.protocol.command_line import CHECK, DISCOVER, PROGRAM, SPEC, parse_args
from destination_wicked_reports.protocol.entrypoint import run_command
from destination_wicked_reports.protocol.messages import Line, Output, read_lines, require_input, standard_input
from destination_wicked_reports.protocol.pyairbyte_cache import CachedRecordDecoder

logger = logging.getLogger("airbyte")


class DestinationWickedReports(Destination):
    """Writes records to Wicked Reports' inbound API, each row once.

    `output` receives the messages; it defaults to standard output.
    """

    #: What the ledger calls a run of this program.
    command = runs.WRITE

    def __init__(self, output: Output | None = None) -> None:
        self.output = output or Output()

    # -- check ------------------------------------------------------------------------------------------------------

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Check the API key with one read, and the ledger and dead-letter file by opening them; sends no data."""
        try:
            parsed = Config.parse(config)
            logger.info(mode_line(parsed))
            normalizer = make_normalizer(parsed)
            status = make_client(parsed).prove_key()
            warnings = list(normalizer.check())
            found = "A run is using the ledger."  # so it works
            with contextlib.suppress(LedgerBusyError), contextlib.closing(open_ledger(parsed, lock_wait=0)) as ledger:
                refuse_foreign_ledger(parsed, ledger)
                for announcement in announcements(parsed, ledger):
                    logger.warning(announcement)
                found = f"{ledger.contents()}."
            open_dead_letters(parsed)
        except (ConfigurationError, LedgerError) as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
        except AirbyteTracedException as error:
            return self._failed_check(error)
        except OSError as error:
            return self._failed_check(
                transient_error(
                    f"This machine refused a file or a connection ({error.strerror or type(error).__name__})."
                )
            )
        if status >= 500:
            return self._failed_check(
                transient_error(
                    f"Wicked Reports answered {status}, so the API key could not be checked. Try again later."
                )
            )
        answer = "Wicked Reports accepted the API key"
        if not (200 <= status < 300 or status in (401, 403)):  # these two: a known key without the outbound plan
            answer = f"Wicked Reports answered {status}, which does not refuse the API key"
        if isinstance(parsed.ledger, NoLedger):
            found = "There is no ledger."
        text = f"{mode_line(parsed)} {answer}. {found} No data was sent."
        for warning in warnings:
            logger.warning(warning)
        return AirbyteConnectionStatus(status=Status.SUCCEEDED, message=" ".join([text, *warnings]))

    def _failed_check(self, error: AirbyteTracedException) -> AirbyteConnectionStatus:
        """Return the status; report a failure that is no fault of the configuration as an error with its type, too."""
        if error.failure_type != FailureType.config_error:
            self.output.emit(AirbyteMessageSerializer.dump(error.as_sanitized_airbyte_message()))
        return AirbyteConnectionStatus(status=Status.FAILED, message=error.message)

    # -- discover ---------------------------------------------------------------------------------------------------

    def discover(self, config: Mapping[str, Any]) -> None:
        """Emit the objects that records can become; none if the mapping chooses the objects itself."""
        mapping = Config.parse(config).mapping
        catalog = discover.destination_catalog()
        if not isinstance(mapping, NativeMapping):
            catalog["destination_catalog"]["operations"] = []
            logger.info(
                'The mapping %s chooses the objects itself. To choose them in the catalog, set "mapping" to '
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
        """Not used: this connector reads raw lines, which keeps STATE messages complete. See `deliver`."""
        raise AirbyteTracedException(message="Use `deliver`.", failure_type=FailureType.system_error)

    def deliver(
        self,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        input_lines: Iterable[Sequence[Line]],
        report: RunReport | None = None,
    ) -> None:
        """Send the records of the input, given as lists of lines; emit each STATE once every row before it is settled.

        Raises config_error for rejected rows, unless `on_rejected_record` is `skip`. `report` is filled in.
        """
        report = report or RunReport()
        try:
            parsed = Config.parse(config)
            report.configure(parsed)
            logger.info(mode_line(parsed))
            normalizer = make_normalizer(parsed)
            routes = find_routes(catalog, normalizer, parsed)
        except ConfigurationError as error:
            raise config_error(str(error)) from None
        with open_session(parsed, self.command, fail_fast=parsed.on_rejected_record == "fail_fast") as session:
            writer = Writer(
                normalizer,
                session.dispatcher,
                session.tally,
                self.output.emit,
                routes,
                batch_rows=parsed.batch_rows,
                first_run=is_first_run(parsed, session.ledger),
                restore=CachedRecordDecoder(find_schemas(catalog, routes)).decode,
            )
            try:
                writer.write(input_lines)
            finally:
                for level, line in writer.closing_lines():
                    logger.log(level, line)
                report.ended = writer.ended
                report.collect(session)
                for level, line in health_lines(report.health):
                    logger.log(level, line)
                with contextlib.suppress(DBAPIError):  # the ledger may be what ended the run
                    for reminder in session.reminders():
                        logger.warning(reminder)
                session.run.report = report.to_json()
            if session.tally.failed:
                if parsed.on_rejected_record != "skip":
                    raise session.tally.failure()
                logger.warning(session.tally.failure().message)

    # -- the command line -------------------------------------------------------------------------------------------

    def run(self, args: list[str]) -> None:
        """Run one command and exit with a code other than 0 if it fails."""
        parsed = self.parse_args(args)
        run_command(self.output, lambda: self.run_cmd(parsed), self.open_terminal_log(parsed))

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """Parse the command line: spec, check, discover or write."""
        return parse_args(args)

    def open_terminal_log(self, parsed_args: argparse.Namespace) -> TerminalLog | None:
        """Return the log for people on standard error, None if there is none."""
        return open_terminal_log(PROGRAM, parsed_args.log_format)

    def run_cmd(self, parsed_args: argparse.Namespace) -> Iterable[AirbyteMessage]:
        """Run one command. Unlike the base class, leave validation to `Config`, whose messages users understand."""
        spec = self.spec(logger)
        if parsed_args.command == SPEC:
            yield AirbyteMessage(type=Type.SPEC, spec=spec)
            return
        config = self.read_config(parsed_args.config)
        update_secrets(get_secrets(spec.connectionSpecification, config))
        if parsed_args.command == CHECK:
            yield self._run_check(config)
        elif parsed_args.command == DISCOVER:
            self.discover(config)
        else:
            self._write(config, parsed_args)

    def _write(self, config: Mapping[str, Any], parsed_args: argparse.Namespace) -> None:
        """Deliver standard input, and write the report however the run ends."""
        with reported(parsed_args.report) as report:
            self.deliver(
                config, read_catalog(Path(parsed_args.catalog)), require_input(read_lines(standard_input())), report
            )

    @staticmethod
    def read_config(config_path: str) -> MutableMapping[str, Any]:
        """Return the content of the configuration file; raises ConfigurationError unless it is a JSON object."""
        return read_config_file(config_path)
