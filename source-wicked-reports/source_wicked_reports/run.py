"""The console script."""

from __future__ import annotations

import sys

from .base import startup


def run() -> None:
    """Run `source-wicked-reports spec|check|discover|read`."""
    startup.prepare()
    from .base.entrypoint import launch
    from .source import SourceWickedReports

    startup.finish()
    sys.exit(launch(SourceWickedReports, sys.argv[1:]))
