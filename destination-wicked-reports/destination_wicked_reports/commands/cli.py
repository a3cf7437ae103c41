"""The commands `replay` and `ledger`, which print plain text instead of Airbyte messages."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.base.command_line import positive
from destination_wicked_reports.base.terminal_log import printable
from destination_wicked_reports.commands.dead_letter_reader import DeadLetter, DeadLetterReader
from destination_wicked_reports.commands.ledger import add_parser as add_ledger_parser
from destination_wicked_reports.commands.ledger import run_ledger
from destination_wicked_reports.commands.preview import run_preview
from destination_wicked_reports.commands.replay import Replay, check_file, dismiss, read_dead_letters
from destination_wicked_reports.commands.tables import print_lines
from destination_wicked_reports.config.mappings import NativeMapping
from destination_wicked_reports.config.reader import read_config_file
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.closing import mode_line
from destination_wicked_reports.delivery.session import open_dead_letters, open_session
from destination_wicked_reports.errors import ConfigurationError, LedgerError, ReadError
from destination_wicked_reports.ledger.opening import open_ledger, refuse_foreign_ledger
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.signals import SIGNALS


def main(arguments: Sequence[str]) -> int:
    """Run `replay`, `preview` or `ledger`. Return the exit code.

    `replay` and `ledger`: 0, 1 for a failure, 2 if rows were rejected or are in doubt. `preview`, as
    `wicked-reports-sync`: 0, 1 if rows would be rejected, 2 for a failure.
    """
    logging.getLogger().handlers[:] = [logging.StreamHandler(sys.stderr)]
    logging.getLogger("airbyte").setLevel(logging.INFO)
    SIGNALS.listen()
    options = _parser().parse_args(arguments)
    return _run(options, failed=2 if options.command == "preview" else 1)


def _run(options: argparse.Namespace, failed: int) -> int:
    """Run one command; return `failed`, with the reason on standard error, if it failed."""
    try:
        config = Config.parse(read_config_file(options.config))
        if options.command == "preview":
            return run_preview(config, options.catalog, limit=options.records, as_json=options.json)
        if options.command == "ledger":
            sys.stderr.write(mode_line(config) + "\n")  # standard output may be CSV or JSON
            return run_ledger(config, options)
        sys.stdout.write(mode_line(config) + "\n")
        return _replay(config, options)
    except AirbyteTracedException as error:
        return _fail(error.message or "The command failed.", failed)
    except (ConfigurationError, LedgerError, ReadError) as error:
        return _fail(str(error), failed)
    except BrokenPipeError:
        sys.stderr.close()
        return failed
    except Exception as error:  # its message may quote a row
        return _fail(
            f"The command failed ({type(error).__name__}). Acknowledged records are safe. Please report this.", failed
        )
    except KeyboardInterrupt:
        return _fail("Stopped. What was sent is in the ledger: run the same command again to continue.", failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="destination-wicked-reports")
    commands = parser.add_subparsers(dest="command", required=True)
    replay = commands.add_parser("replay", help="send the fixed rows of a dead-letter file again, each once")
    replay.add_argument("--config", type=Path, required=True, help="the configuration of the connector")
    replay.add_argument("--rejects", type=Path, required=True, help="the dead-letter file with its rows fixed")
    replay.add_argument(
        "--in-doubt",
        action="store_true",
        help="also send rows in doubt, whose response was lost: a row that Wicked has already is then there twice, so "
        "check first",
    )
    replay.add_argument(
        "--dismiss",
        action="store_true",
        help="send nothing: close the lines of the file, so that runs no longer report them",
    )
    preview = commands.add_parser(
        "preview",
        help="show what `write` would send of the records on standard input; sends and writes nothing",
        epilog="Exit code: 0, 1 if rows would be rejected, 2 if the preview failed.",
    )
    preview.add_argument("--config", type=Path, required=True, help="the configuration of the connector")
    preview.add_argument("--catalog", type=Path, required=True, help="the configured catalog")
    preview.add_argument("--records", type=positive, metavar="N", help="stop after N records")
    preview.add_argument("--json", action="store_true", help="print every row as JSON, one a line, then the summary")
    add_ledger_parser(commands)
    return parser


# -- replay -----------------------------------------------------------------------------------------------------------


def _replay(config: Config, options: argparse.Namespace) -> int:
    if options.dismiss:
        with contextlib.closing(open_ledger(config)) as ledger:
            refuse_foreign_ledger(config, ledger)
            count = dismiss(options.rejects, open_dead_letters(config), ledger)
        print_lines(f"{count:,} dead letters were dismissed; nothing was sent.")
        return 0
    normalizer = make_normalizer(config)
    reader = DeadLetterReader(normalizer.streams, native=isinstance(config.mapping, NativeMapping))
    size = check_file(options.rejects, reader)
    with open_session(config, "replay", replay=True, resend_in_doubt=options.in_doubt) as session:
        replay = Replay(session, normalizer)
        lines = (content for _, content in read_dead_letters(options.rejects, reader, size))
        try:
            replay.send(line for line in lines if isinstance(line, DeadLetter))
        finally:
            print_lines(*replay.summary())
        if session.tally.failed:
            print_lines(
                f"{session.tally.failed:,} rows were rejected or are in doubt; see {session.dead_letters.path}."
            )
            session.run.exit_code = 2
            return 2
    return 0


def _fail(message: str, code: int) -> int:
    sys.stderr.write(printable(message) + "\n")
    return code
