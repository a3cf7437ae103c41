"""The commands of `wicked-reports-sync`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_wicked_reports.errors import ConfigurationError, LedgerBusyError, LedgerError
from destination_wicked_reports.sync import settings as settings_file
from destination_wicked_reports.sync.display import Display
from destination_wicked_reports.sync.exit_codes import DONE, MISCONFIGURED, STOPPED, CommandError
from destination_wicked_reports.sync.runner import Runner
from destination_wicked_reports.sync.settings import read_settings

PROGRAM = "wicked-reports-sync"
_EPILOG = (
    "Exit codes: 0 all well, 1 rows were refused or are in doubt, 2 it did not run to its end, 3 wrong configuration."
)


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as ended:  # argparse exits with 2, which here means that a run did not reach its end
        return MISCONFIGURED if ended.code else DONE
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except CommandError as error:
        return _fail(str(error), error.code)
    except LedgerBusyError as error:
        return _fail(str(error), STOPPED)
    except (ConfigurationError, LedgerError) as error:
        return _fail(str(error), MISCONFIGURED)
    except AirbyteTracedException as error:
        return _fail(error.message or "The command failed.", STOPPED)
    except BrokenPipeError:
        sys.stderr.close()
        return STOPPED
    except OSError as error:
        return _fail(f"This machine refused a file or a process ({error.strerror or type(error).__name__}).", STOPPED)
    except KeyboardInterrupt:
        return _fail("Stopped.", STOPPED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Reads a source and sends its records to Wicked Reports, each once, as sync.yaml says.",
        epilog=_EPILOG,
    )
    installed = version("airbyte-destination-wicked-reports")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {installed}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=_EPILOG)
        command.add_argument(
            "file", nargs="?", type=Path, default=settings_file.FILE, metavar="FILE", help="default: sync.yaml"
        )
        command.add_argument("--source", metavar="NAME", help="only this one of several sources")
        command.set_defaults(run=run)
        return command

    run = add("run", _run, "read what is new, and send it")
    run.add_argument(
        "--from",
        dest="first",
        type=_day,
        metavar="DATE",
        help="read again from this day on; the ledger keeps rows from being sent twice",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    settings = read_settings(options.file)
    return Runner(settings, Display(), first=options.first).run(settings.choose(options.source))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not a date; use the form 2026-01-31") from None


def _fail(message: str, code: int) -> int:
    sys.stderr.write(message + "\n")
    return code
