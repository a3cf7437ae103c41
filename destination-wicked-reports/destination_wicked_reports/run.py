"""Console scripts `destination-wicked-reports` and `target-wicked-reports`: choose the command and run it."""

from __future__ import annotations

import sys

from destination_wicked_reports.base import startup
from destination_wicked_reports.protocol import command_line


def run() -> None:
    """Run the command line in `sys.argv`."""
    arguments = sys.argv[1:]
    if arguments[:1] and arguments[0] in command_line.TEXT_COMMANDS:
        startup.prepare(defer_sources=True)
        from destination_wicked_reports.commands import cli

        startup.finish()
        sys.exit(cli.main(arguments))
    command_line.parse_args(arguments)
    startup.prepare(defer_sources=True)
    from destination_wicked_reports.destination import DestinationWickedReports

    startup.finish()
    DestinationWickedReports().run(arguments)


def target() -> None:
    """Run the Singer target with the command line in `sys.argv`."""
    startup.prepare(defer_sources=True)
    from destination_wicked_reports.commands.singer_target import cli

    startup.finish()
    cli()
