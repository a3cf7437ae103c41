"""Airbyte's command line, for all connectors. It is parsed before the CDK is imported, so that `--help` is quick."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from typing import Any

from . import terminal_log

_EXIT_CODES = """\
exit codes:
  0    the command did its work; the result of check is in its message, also if the check failed
  1    it failed, and the last messages say why and what to do
  2    the command line is wrong
  130  stopped by Ctrl-C;  143  stopped by SIGTERM; the next read with the last state continues
"""
#: No number of records or days is longer.
_MOST_DIGITS = 12
_COMMANDS = {
    "spec": "print the JSON schema of the configuration",
    "check": "test the API key and the connection",
    "discover": "print the streams and their JSON schemas",
    "read": "read the streams of a configured catalog",
}


def make_parser(program: str, description: str, exit_codes: str) -> tuple[argparse.ArgumentParser, Any]:
    """Return a parser with `--version`, and what `add_command` adds its commands to."""
    parser = argparse.ArgumentParser(
        program, description=description, epilog=exit_codes, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"{program} {version(f'airbyte-{program}')}")
    return parser, parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)


def add_command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Add one of Airbyte's commands with the options of all of them."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    if name != "spec":
        command.add_argument("--config", required=True, metavar="FILE", help="the configuration, in JSON")
    command.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    terminal_log.add_option(command)
    return command


def day(text: str) -> date:
    """Return the date of an argument; for `type=`."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("not a date; use the form 2026-01-31") from None


def positive(text: str) -> int:
    """Return the number of an argument, 1 or more; for `type=`."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text)):
        raise argparse.ArgumentTypeError("not a whole number of at least 1; write one such as 7")
    return int(text)


def parse_args(program: str, vendor: str, args: Sequence[str]) -> argparse.Namespace:
    """Parse a command of a source; for `--help`, `--version` and a wrong command line, print and exit.

    Has Airbyte's options, of which those without a use here are accepted but not shown.
    """
    description = f"Read {vendor} data. Prints the messages of the Airbyte protocol, one JSON object a line."
    parser, commands = make_parser(program, description, _EXIT_CODES)
    parser.set_defaults(program=program)
    for name, text in _COMMANDS.items():
        command = add_command(commands, name, text)
        if name != "spec":
            command.add_argument("--manifest-path", help=argparse.SUPPRESS)
            command.add_argument("--components-path", help=argparse.SUPPRESS)
        if name == "read":
            command.add_argument(
                "--catalog", required=True, metavar="FILE", help="the configured catalog, in JSON: the streams to read"
            )
            command.add_argument(
                "--state",
                metavar="FILE",
                help="continue after an earlier run: the messages that it printed, or its states in a list",
            )
    return parser.parse_args(args)
