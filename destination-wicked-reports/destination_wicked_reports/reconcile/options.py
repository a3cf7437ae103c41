"""Options of the commands that compare what was sent with what Wicked Reports reports."""

from __future__ import annotations

import argparse
from pathlib import Path

#: Rows are processed daily and can take 24 hours to be reported (docs/vendors/wicked-reports.md 2.1).
_GRACE_HOURS = 24.0


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add `--source-config` and `--grace-hours`."""
    parser.add_argument(
        "--source-config",
        type=Path,
        metavar="FILE",
        help="the configuration of source-wicked-reports; by default, it uses the destination's key and address",
    )
    parser.add_argument(
        "--grace-hours",
        type=_hours,
        default=_GRACE_HOURS,
        metavar="HOURS",
        help="rows sent less than this long before the read may not be processed yet (24)",
    )


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours <= 24 * 366:
        raise argparse.ArgumentTypeError("not a number of hours from 0 to a year")
    return hours
