"""Console script `destination-wicked-reports`."""

import gc
import sys

from destination_wicked_reports.destination import DestinationWickedReports


def run() -> None:
    """Run the command in `sys.argv`: spec, check or write."""
    # What is imported stays; looking through it again for garbage costs a third of a long run.
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    DestinationWickedReports().run(sys.argv[1:])
