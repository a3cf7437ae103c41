"""The command line of the sources. It is parsed before the CDK is imported, so that `--help` is quick."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version

from . import terminal_log

_EXIT_CODES = """\
exit codes:
  0    the command did its work; the result of check is in its message, also if the check failed
  1    it failed, and the last messages say why and what to do
  2    the command line is wrong
  130  stopped by Ctrl-C;  143  stopped by SIGTERM; the next read with the last state continues
"""
_COMMANDS = {
    "spec": "print the JSON schema of the configuration",
    "check": "test the API key and the connection",
    "discover": "print the streams and their JSON schemas",
    "read": "read the streams of a configured catalog",
}


def parse_args(program: str, vendor: str, args: Sequence[str]) -> argparse.Namespace:
    """Parse a command; for `--help`, `--version` and a wrong command line, print and exit.

    Has Airbyte's options, of which those without a use here are accepted but not shown.
    """
    parser = argparse.ArgumentParser(
        program,
        description=f"Read {vendor} data. Prints the messages of the Airbyte protocol, one JSON object a line.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{program} {version(f'airbyte-{program}')}")
    parser.set_defaults(program=program)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name != "spec":
            command.add_argument("--config", required=True, metavar="FILE", help="the configuration, in JSON")
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
        command.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
        terminal_log.add_option(command)
    return parser.parse_args(args)
