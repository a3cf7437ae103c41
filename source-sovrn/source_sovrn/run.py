"""The console script."""

from __future__ import annotations

import sys

from . import quick_start


def run() -> None:
    """Run `source-sovrn spec|check|discover|read`."""
    from .source import SourceSovrn
    from .strict_command import launch

    quick_start.started()
    sys.exit(launch(SourceSovrn, sys.argv[1:]))
