"""The console script."""

from __future__ import annotations

import sys

from .base import startup


def run() -> None:
    """Run `source-sovrn spec|check|discover|read`."""
    startup.prepare()
    from .base.entrypoint import launch
    from .source import SourceSovrn

    startup.finish()
    sys.exit(launch(SourceSovrn, sys.argv[1:]))
