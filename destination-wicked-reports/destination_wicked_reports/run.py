"""Console script `destination-wicked-reports`."""

import sys

from destination_wicked_reports import quick_start


def run() -> None:
    """Run the command in `sys.argv`: spec, check, write or one of our own."""
    from destination_wicked_reports.destination import DestinationWickedReports

    quick_start.started()
    DestinationWickedReports().run(sys.argv[1:])
