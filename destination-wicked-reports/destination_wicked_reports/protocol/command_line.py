"""The command lines of Airbyte's commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

PROGRAM = "destination-wicked-reports"
SPEC, CHECK, DISCOVER, WRITE = "spec", "check", "discover", "write"


def parse_args(args: Sequence[str]) -> argparse.Namespace:
    """Parse one of Airbyte's commands, given without the program's name; exits with 2 and the usage if it is wrong."""
    parser = argparse.ArgumentParser(PROGRAM)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(SPEC)
    for name in (CHECK, DISCOVER, WRITE):
        command = commands.add_parser(name)
        command.add_argument("--config", required=True, metavar="FILE", help="the configuration, in JSON")
    command.add_argument("--catalog", required=True, metavar="FILE", help="the configured catalog, in JSON")
    #: For other programs: the run as JSON, see `delivery/report.py`.
    command.add_argument("--report", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    return parser.parse_args(args)
