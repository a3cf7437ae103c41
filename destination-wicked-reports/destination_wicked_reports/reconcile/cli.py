"""The console script `wicked-reports-reconcile`: compare, print, and say by the exit code how it went."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.config.reader import read_config_file
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError, LedgerError, ReadError
from destination_wicked_reports.ledger.engines import reason
from destination_wicked_reports.reconcile.comparison import Comparison, compare
from destination_wicked_reports.reconcile.expected import Expected, expect
from destination_wicked_reports.reconcile.report import html, text
from destination_wicked_reports.reconcile.reported import Shown, read_account, read_files, reader_settings

#: The vendor loads 365 days of history once (overview, "How far back"), so the first order sent is hardly older.
_HISTORY = timedelta(days=366)
#: Rows are processed once a day, and may take 24 hours to show (wicked-facts 2.1).
_GRACE_HOURS = 24.0
_MOST_ROWS = 100
CANNOT = 2


def cli() -> None:
    """Run the command and exit: 0 equal, 1 differs, 2 cannot tell."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Compare and report; return the exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    asked = _parser().parse_args(arguments)
    try:
        comparison = _comparison(asked)
        if asked.html:
            _write(asked.html, html(comparison))
        for line in text(comparison, asked.rows):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except (ConfigurationError, LedgerError, ReadError) as error:
        return _fail(str(error))
    except AirbyteTracedException as error:
        return _fail(error.message or "The command failed.")
    except DBAPIError as error:
        return _fail(f"The ledger could not be read ({reason(error)}). Nothing was changed; try again.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return CANNOT
    except KeyboardInterrupt:
        return _fail("Stopped. Nothing was changed.")
    return comparison.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wicked-reports-reconcile",
        description="Does my revenue match? Compares the orders that destination-wicked-reports sent with those that "
        "Wicked Reports now shows, day by day and row by row. It changes nothing on either side.",
        epilog="Exit code: 0 equal (or only not yet processed), 1 something differs, 2 it cannot tell.",
    )
    files: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument(
        "--destination-config", required=True, **files, help="the configuration of destination-wicked-reports"
    )
    parser.add_argument(
        "--source-config",
        **files,
        help="that of source-wicked-reports; left out, the destination's key and address serve, and reading begins a "
        "year before the first order was sent",
    )
    parser.add_argument(
        "--sent",
        nargs="+",
        default=[],
        **files,
        help="the RECORD lines that were piped into the destination, oldest file first: the amounts of mappings whose "
        "ledger keeps none (native, custom), and the dates",
    )
    parser.add_argument("--catalog", **files, help="the configured catalog of these records")
    parser.add_argument(
        "--read", nargs="+", default=[], **files, help="output of `source-wicked-reports read`, instead of reading now"
    )
    parser.add_argument("--from", dest="first", type=_day, metavar="DAY", help="the first day, as 2026-01-31")
    parser.add_argument("--to", dest="last", type=_day, metavar="DAY", help="the last day")
    parser.add_argument(
        "--zone", type=_zone, default=timezone.utc, metavar="NAME", help="whose days: UTC, or as America/New_York"
    )
    parser.add_argument(
        "--grace-hours",
        type=_hours,
        default=_GRACE_HOURS,
        metavar="HOURS",
        help="what was sent so shortly before the read may be missing yet (24)",
    )
    parser.add_argument("--html", **files, help="write a report with a chart to this file")
    parser.add_argument(
        "--rows", type=_count, default=_MOST_ROWS, metavar="N", help="print so many differences at most (100); 0: all"
    )
    return parser


def _comparison(asked: argparse.Namespace) -> Comparison:
    config = Config.parse(read_config_file(asked.destination_config))
    if config.test_mode:
        raise ConfigurationError(
            "test_mode is on, and Wicked Reports shows rows of its test store in no report: there is nothing to "
            "compare. Use its API verification tool, or the configuration of the live connection."
        )
    if asked.html and not asked.html.absolute().parent.is_dir():
        raise ConfigurationError(f"The folder of --html {asked.html} is not there: make it first.")
    if asked.first and asked.last and asked.last < asked.first:
        raise ConfigurationError("--to lies before --from: move one of them.")
    expected = expect(config, asked.sent, asked.catalog)
    shown = read_files(asked.read) if asked.read else _read(config, asked.source_config, expected, asked.first)
    return compare(
        expected,
        shown,
        grace_seconds=asked.grace_hours * 3600,
        zone=asked.zone,
        first=asked.first,
        last=asked.last,
    )


def _read(config: Config, source_config: Path | None, expected: Expected, first: date | None) -> Shown:
    """Read the account from long enough ago that every order that was sent is within, whatever days are asked for."""
    dates = [date.fromisoformat(order.date[:10]) for order in expected.orders.values() if order.date]
    if expected.first:
        dates.append((datetime.fromtimestamp(expected.first, timezone.utc) - _HISTORY).date())
    dates.append(first or datetime.now(timezone.utc).date())
    own = read_config_file(source_config) if source_config else None
    if own and own.get("api_key") != config.api_key:
        expected.notes.append(
            "The source reads with another API key than the destination sends with: is it the same account?"
        )
    return read_account(reader_settings(config, own, min(dates)))


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"The report {path} cannot be written ({error.strerror}).") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("no day of the calendar; write it as 2026-01-31") from None


def _zone(text: str) -> tzinfo:
    try:
        return timezone.utc if text.upper() == "UTC" else ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError("no time zone; write a name of the IANA list, as America/New_York") from None


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours <= 24 * 366:
        raise argparse.ArgumentTypeError("no number of hours from 0 to a year")
    return hours


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("no whole number, 0 or more")
    return int(text)


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return CANNOT


def _terminate(signum: int, _: Any) -> NoReturn:
    raise SystemExit(128 + signum)
