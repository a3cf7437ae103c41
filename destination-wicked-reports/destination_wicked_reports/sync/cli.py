"""Console script `wicked-reports-sync`: says what to install if the extra `[cli]` is missing, else runs the command."""

from __future__ import annotations

import os
import signal
import sys
from importlib.util import find_spec

from destination_wicked_reports.sync.exit_codes import MISCONFIGURED, STOPPED

#: Modules of the extra `[cli]`, which the connector's own image leaves out.
EXTRA = ("rich", "yaml")


def cli() -> None:
    """Run the command line in `sys.argv` and exit with its code."""
    # process 1 of a container ignores SIGTERM until a handler is set, and the imports take a second
    signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED))
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"wicked-reports-sync needs {' and '.join(missing)}: install it with "
            "`pip install 'airbyte-destination-wicked-reports[cli]'`.\n"
        )
        sys.exit(MISCONFIGURED)
    from destination_wicked_reports.base import startup

    startup.prepare(defer_sources=True)
    from destination_wicked_reports.sync.command import main

    startup.finish()
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main(sys.argv[1:]))


def _interrupt(*_: object) -> None:
    """End a command as Ctrl-C does, so that it removes its files."""
    raise KeyboardInterrupt
