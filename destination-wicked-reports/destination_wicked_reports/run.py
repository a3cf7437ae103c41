"""Console scripts `destination-wicked-reports` and `target-wicked-reports`."""

import sys

from destination_wicked_reports import light_cdk, quick_start


def run() -> None:
    """Run the command in `sys.argv`: spec, check, write or one of our own."""
    light_cdk.prepare()
    from destination_wicked_reports.destination import DestinationWickedReports

    quick_start.started()
    DestinationWickedReports().run(sys.argv[1:])


def target() -> None:
    """Run the Singer target with the command line in `sys.argv`."""
    light_cdk.prepare()
    from destination_wicked_reports.commands.singer_target import cli

    quick_start.started()
    cli()
