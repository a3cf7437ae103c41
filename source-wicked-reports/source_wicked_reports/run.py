"""The console script."""

from __future__ import annotations

import sys

from .source import SourceWickedReports
from .strict_source import launch


def run() -> None:
    """Run `source-wicked-reports spec|check|discover|read`."""
    sys.exit(launch(SourceWickedReports, sys.argv[1:]))
