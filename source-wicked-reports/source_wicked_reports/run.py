"""Console script `source-wicked-reports`."""

from __future__ import annotations

import sys

from .base import command_line, startup


def run() -> None:
    """Run `spec`, `check`, `discover` or `read` and exit."""
    command = command_line.parse_args("source-wicked-reports", "Wicked Reports", sys.argv[1:])
    startup.prepare()
    from .base.entrypoint import launch
    from .source import SourceWickedReports

    startup.finish()
    sys.exit(launch(SourceWickedReports, command))
