"""Console script `wicked-reports-reconcile`: compares, prints the report, and returns the result as exit code."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from sqlalchemy.exc import DBAPIError

from destination_wicked_reports.base.command_line import day
from destination_wicked_reports.base.terminal_log import printable
from destination_wicked_reports.config.reader import read_config_file
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError, LedgerError, ReadError
from destination_wicked_reports.ledger.engines import reason
from destination_wicked_reports.reconcile.comparison import Comparison, compare
from destination_wicked_reports.reconcile.expected import Expected, expect
from destination_wicked_reports.reconcile.options import add_reading_options
from destination_wicked_reports.reconcile.report import as_json, html, text
from destination_wicked_reports.reconcile.reported import (
    HISTORY,
    ReportedOrders,
    read_account,
    read_files,
    reader_settings,
    refuse_test_mode,
)

_DAY = timedelta(days=1)
_MAX_ROWS = 100
CANNOT_TELL = 2


def cli() -> None:
    """Run the command and exit with 0 if equal, 1 if different, 2 if it cannot tell."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Compare, print the report, and return the exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    options = _parser().parse_args(arguments)
    try:
        comparison = _comparison(options)
        if options.html:
            _write(options.html, html(comparison))
        if options.json:
            sys.stdout.write(json.dumps(as_json(comparison, all_days=options.all_days)) + "\n")
        else:
            for line in text(comparison, options.rows, all_days=options.all_days):
                sys.stdout.write(printable(line) + "\n")
        sys.stdout.flush()
    except (ConfigurationError, LedgerError, ReadError) as error:
        return _fail(str(error))
    except AirbyteTracedException as error:
        return _fail(error.message or "The command failed.")
    except DBAPIError as error:
        return _fail(f"The ledger could not be read ({reason(error)}). Nothing was changed; try again.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python prints an error when it exits
        return CANNOT_TELL
    except KeyboardInterrupt:
        return _fail("Stopped. Nothing was changed.")
    except Exception as error:  # exit code 1 would mean that something differs
        return _fail(f"The comparison failed ({type(error).__name__}). Nothing was changed. Please report this.")
    return comparison.code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wicked-reports-reconcile",
        description="Does my revenue match? Compares the orders that destination-wicked-reports sent with those that "
        "Wicked Reports reports, by day and order by order. It changes nothing.",
        epilog="Exit code: 0 equal, not yet processed, or within --tolerance; 1 different; 2 cannot tell, or failed.",
    )
    files: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    parser.add_argument(
        "--destination-config", required=True, **files, help="the configuration of destination-wicked-reports"
    )
    add_reading_options(parser)
    parser.add_argument(
        "--sent",
        nargs="+",
        default=[],
        **files,
        help="the RECORD lines that were piped into the destination, oldest file first; needed for dates, and for "
        "amounts with the mappings native and custom, whose ledger stores none",
    )
    parser.add_argument("--catalog", **files, help="the configured catalog of these records")
    parser.add_argument(
        "--read", nargs="+", default=[], **files, help="output of `source-wicked-reports read`, instead of reading now"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--from", dest="first", type=day, metavar="DAY", help="the first day, such as 2026-01-31")
    start.add_argument("--days", type=_positive, metavar="N", help="compare the last N days, today included")
    parser.add_argument("--to", dest="last", type=day, metavar="DAY", help="the last day")
    parser.add_argument(
        "--zone",
        type=_zone,
        default=timezone.utc,
        metavar="NAME",
        help="the time zone of the days: UTC, or a name such as America/New_York",
    )
    parser.add_argument(
        "--tolerance",
        type=_share,
        default=Decimal(0),
        metavar="PERCENT",
        help="exit with 0 although orders differ, if the net of the compared days differs by no more than this in each "
        "currency, such as 3%%; about 3%% is normal over a week",
    )
    parser.add_argument("--all-days", action="store_true", help="list the days that are equal, too")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("--html", **files, help="write a report with a chart to this file")
    parser.add_argument(
        "--rows", type=_count, default=_MAX_ROWS, metavar="N", help="print at most this many differences (100); 0: all"
    )
    return parser


def _comparison(options: argparse.Namespace) -> Comparison:
    config = Config.parse(read_config_file(options.destination_config))
    refuse_test_mode(config)
    if options.html and not options.html.absolute().parent.is_dir():
        raise ConfigurationError(f"The folder of --html {options.html} does not exist: create it first.")
    first = options.first
    if options.days is not None:
        first = datetime.now(options.zone).date() - timedelta(days=options.days - 1)
    if first and options.last and options.last < first:
        raise ConfigurationError("--to is before --from: change one of them.")
    expected = expect(config, options.sent, options.catalog)
    reported = (
        read_files(options.read)
        if options.read
        else _read(config, options.source_config, expected, first, options.last)
    )
    return compare(
        expected,
        reported,
        grace_seconds=options.grace_hours * 3600,
        zone=options.zone,
        first=first,
        last=options.last,
        tolerance=options.tolerance,
    )


def _read(
    config: Config, source_config: Path | None, expected: Expected, first: date | None, last: date | None
) -> ReportedOrders:
    """Read the account from early enough to include every sent order.

    If the dates of all sent orders are known, only the compared days are read, with a day more at either end: the days
    may be those of another time zone.
    """
    own = read_config_file(source_config) if source_config else None
    if own and own.get("api_key") != config.api_key:
        expected.notes.append(
            "The source uses another API key than the destination: check that both belong to the same account."
        )
    if expected.orders and all(order.date for order in expected.orders.values()):
        start = first or date.fromisoformat(min(order.date for order in expected.orders.values())[:10])
        until = last + _DAY if last else None
        return read_account(reader_settings(config, own, start - _DAY, until, exactly=first is not None))
    dates = [date.fromisoformat(order.date[:10]) for order in expected.orders.values() if order.date]
    if expected.first_sent_at:
        dates.append((datetime.fromtimestamp(expected.first_sent_at, timezone.utc) - HISTORY).date())
    dates.append(first or datetime.now(timezone.utc).date())
    return read_account(reader_settings(config, own, min(dates)))


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigurationError(f"The report {path} cannot be written ({error.strerror}).") from None


def _zone(text: str) -> tzinfo:
    try:
        return timezone.utc if text.upper() == "UTC" else ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError("not a time zone; use an IANA name such as America/New_York") from None


def _share(text: str) -> Decimal:
    try:
        percent = Decimal(text.strip().removesuffix("%").strip())
    except InvalidOperation:
        percent = Decimal(-1)
    if not (percent.is_finite() and 0 <= percent <= 100):
        raise argparse.ArgumentTypeError("not a percentage from 0% to 100%, such as 3%")
    return percent / 100


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3660:
        raise argparse.ArgumentTypeError("not a number of days from 1 to 3660")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("not a whole number, 0 or more")
    return int(text)


def _fail(message: str) -> int:
    sys.stderr.write(printable(message) + "\n")
    return CANNOT_TELL


def _terminate(signum: int, _: Any) -> NoReturn:
    raise SystemExit(128 + signum)
