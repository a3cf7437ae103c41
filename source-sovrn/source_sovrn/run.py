"""Console script `source-sovrn`."""

from __future__ import annotations

import sys

from .base import command_line, startup


def run() -> None:
    """Run `spec`, `check`, `discover` or `read` and exit."""
    command = command_line.parse_args("source-sovrn", "Sovrn Commerce", sys.argv[1:])
    startup.prepare()
    from .base.entrypoint import launch
    from .source import SourceSovrn

    startup.finish()
    sys.exit(launch(SourceSovrn, command))
