"""Console script `wicked-reports-sync`: says what to install if the extra `[cli]` is missing, else runs the command."""

from __future__ import annotations

import sys
from importlib.util import find_spec

#: Modules of the extra `[cli]`, which the connector's own image leaves out.
EXTRA = ("rich", "yaml")


def cli() -> None:
    """Run the command line in `sys.argv` and exit with its code."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"wicked-reports-sync needs {' and '.join(missing)}: install it with "
            "`pip install 'airbyte-destination-wicked-reports[cli]'`.\n"
        )
        sys.exit(3)
    from destination_wicked_reports.base import startup

    startup.prepare(defer_sources=True)
    from destination_wicked_reports.sync.command import main

    startup.finish()
    sys.exit(main(sys.argv[1:]))
