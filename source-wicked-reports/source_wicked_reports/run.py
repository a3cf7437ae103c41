"""The console script."""

from __future__ import annotations

import sys

from . import quick_start


def run() -> None:
    """Run `source-wicked-reports spec|check|discover|read`."""
    from .source import SourceWickedReports
    from .strict_command import launch

    quick_start.started()
    sys.exit(launch(SourceWickedReports, sys.argv[1:]))
