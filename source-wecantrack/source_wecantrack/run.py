"""Console script `source-wecantrack`."""

from __future__ import annotations

import sys

from .base import command_line, startup


def run() -> None:
    """Run `spec`, `check`, `discover` or `read` and exit."""
    command = command_line.parse_args("source-wecantrack", "wecantrack", sys.argv[1:])
    startup.prepare()
    from .base.entrypoint import launch
    from .source import SourceWecantrack

    startup.finish()
    sys.exit(launch(SourceWecantrack, command))
