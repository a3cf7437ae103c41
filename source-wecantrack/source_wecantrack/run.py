"""The console script."""

from __future__ import annotations

import sys

from .source import SourceWecantrack
from .strict_source import launch


def run() -> None:
    """Run `source-wecantrack spec|check|discover|read`."""
    sys.exit(launch(SourceWecantrack, sys.argv[1:]))
