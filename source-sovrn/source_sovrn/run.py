"""Console script `source-sovrn`."""

from __future__ import annotations

import sys

from .base import startup


def run() -> None:
    """Run `spec`, `check`, `discover` or `read` and exit."""
    startup.prepare()
    from .base.entrypoint import launch
    from .source import SourceSovrn

    startup.finish()
    sys.exit(launch(SourceSovrn, sys.argv[1:]))
