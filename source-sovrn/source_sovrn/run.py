"""The console script."""

from __future__ import annotations

import sys

from .source import SourceSovrn
from .strict_source import launch


def run() -> None:
    """Run `source-sovrn spec|check|discover|read`."""
    sys.exit(launch(SourceSovrn, sys.argv[1:]))
