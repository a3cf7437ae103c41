"""The command line of the destination. It is parsed before the CDK is imported, so that `--help` is quick."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from destination_wicked_reports.base.command_line import add_command, make_parser

PROGRAM = "destination-wicked-reports"
SPEC, CHECK, DISCOVER, WRITE = "spec", "check", "discover", "write"

_COMMANDS = {
    SPEC: "print the JSON schema of the configuration",
    CHECK: "check the API key, the ledger and the dead-letter file; no data is sent",
    DISCOVER: "print the objects that records can become",
    WRITE: "send the records that arrive on standard input",
}
#: Commands with a parser of their own, which print text; see `commands/cli.py`.
TEXT_COMMANDS = {
    "preview": "show what write would send of the records on standard input",
    "ledger": "show, export, copy or correct the record of what was sent",
    "replay": "send fixed rows of the dead-letter file, each once",
}
_EXIT_CODES = """\
exit codes:
  0    the command did its work; the result of check is in its message, also if the check failed
  1    it failed, and the last messages say why and what to do
  2    the command line is wrong; after replay and ledger report: rows were rejected or are in doubt
  130  stopped by Ctrl-C;  143  stopped by SIGTERM; the same command continues
"""


def parse_args(args: Sequence[str]) -> argparse.Namespace:
    """Parse one of Airbyte's commands; for `--help`, `--version` and a wrong command line, print and exit.

    Has Airbyte's options, of which those without a use here are accepted but not shown.
    """
    parser, commands = make_parser(
        PROGRAM,
        "Send records to Wicked Reports, each once. Airbyte's commands print messages of the Airbyte protocol, one "
        f"JSON object a line; {', '.join(TEXT_COMMANDS)} print text.",
        _EXIT_CODES,
    )
    for name, text in _COMMANDS.items():
        command = add_command(commands, name, text)
        if name == WRITE:
            command.add_argument(
                "--catalog",
                required=True,
                metavar="FILE",
                help="the configured catalog, in JSON: the streams that arrive",
            )
            # For other programs: what the run did, as JSON; see `delivery/report.py`.
            command.add_argument("--report", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    for name, text in TEXT_COMMANDS.items():
        commands.add_parser(name, help=f"{text}; see {name} --help")
    return parser.parse_args(args)
