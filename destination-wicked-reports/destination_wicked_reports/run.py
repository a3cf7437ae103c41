"""Console scripts `destination-wicked-reports` and `target-wicked-reports`."""

import sys

from destination_wicked_reports.base import startup


def run() -> None:
    """Run the command in `sys.argv`: spec, check, write or one of our own."""
    startup.prepare(defer_sources=True)
    from destination_wicked_reports.destination import DestinationWickedReports

    startup.finish()
    DestinationWickedReports().run(sys.argv[1:])


def target() -> None:
    """Run the Singer target with the command line in `sys.argv`."""
    startup.prepare(defer_sources=True)
    from destination_wicked_reports.commands.singer_target import cli

    startup.finish()
    cli()
