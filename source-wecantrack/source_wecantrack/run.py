"""The console script."""

from __future__ import annotations

import sys

from .base import startup


def run() -> None:
    """Run `source-wecantrack spec|check|discover|read`."""
    startup.prepare()
    from .base.entrypoint import launch
    from .source import SourceWecantrack

    startup.finish()
    sys.exit(launch(SourceWecantrack, sys.argv[1:]))
