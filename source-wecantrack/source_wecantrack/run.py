"""The console script."""

from __future__ import annotations

import sys

from . import quick_start


def run() -> None:
    """Run `source-wecantrack spec|check|discover|read`."""
    from .source import SourceWecantrack
    from .strict_command import launch

    quick_start.started()
    sys.exit(launch(SourceWecantrack, sys.argv[1:]))
