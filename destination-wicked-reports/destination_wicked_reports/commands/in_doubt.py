"""`ledger in-doubt`: lists the rows in doubt, asks Wicked which of them it has, and writes or settles them."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from destination_wicked_reports.commands.tables import print_lines, print_rows
from destination_wicked_reports.config.paths import rejects_path
from destination_wicked_reports.config.reader import read_config_file
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.history import display_key, timestamp
from destination_wicked_reports.ledger.in_doubt import RowInDoubt, confirm, rows_in_doubt
from destination_wicked_reports.ledger.opening import open_ledger, refuse_foreign_ledger
from destination_wicked_reports.ledger.reading import open_snapshot
from destination_wicked_reports.ledger.runs import recorded_run
from destination_wicked_reports.reconcile.in_doubt import MISSING, SHOWN, UNKNOWN, Doubt, look_up
from destination_wicked_reports.reconcile.options import add_reading_options

_REPLAY = "destination-wicked-reports replay --config FILE --rejects {} --in-doubt"
_ABOUT_UNKNOWN = (
    "Unknown rows were neither written nor settled. If they are recent, ask again after a day. Otherwise look for them "
    "in Wicked Reports, and replay or dismiss them (docs/guides/ledger.md Rows in doubt)."
)


def add_in_doubt_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ledger in-doubt`, except `--config` and `--json`."""
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="write them to this file, for `replay --in-doubt`; with --ask the missing ones only",
    )
    parser.add_argument(
        "--ask",
        action="store_true",
        help="read from Wicked Reports' outbound API which of them it has: shown, missing or unknown",
    )
    parser.add_argument(
        "--settle",
        action="store_true",
        help="with --ask: record those that are shown as sent, and close their dead letters; not during a run",
    )
    parser.add_argument(
        "--dismiss",
        action="store_true",
        help="close them all after you checked them: they count as sent, and no run mentions them; not during a run",
    )
    add_reading_options(parser)


def run_in_doubt(config: Config, options: argparse.Namespace) -> None:
    """List the rows in doubt, or do what the options say."""
    dead_letters = DeadLetterFile(rejects_path(config))
    if options.dismiss:
        if options.ask or options.write or options.settle:
            raise ConfigurationError("--dismiss closes all rows in doubt, so give it alone.")
        _dismiss(config, dead_letters)
        return
    if options.ask:
        _ask(config, options, dead_letters)
        return
    if options.settle or options.source_config:
        raise ConfigurationError("--settle and --source-config work with --ask only: add it.")
    with open_snapshot(config) as snapshot:
        rows = rows_in_doubt(snapshot.connection, snapshot.store)
    letters = {letter.get("key"): letter for letter in dead_letters.open_rows_in_doubt()}
    shown = [_shown_row(row, letters.get(row.key)) for row in rows]
    if options.write is not None:
        count = dead_letters.write_in_doubt(options.write)
        print_lines(f"{count:,} rows were written to {options.write}. Remove those that Wicked Reports has, then run")
        print_lines(_REPLAY.format(options.write))
        return
    if not shown and not options.json:
        print_lines("No row is in doubt.")
        return
    print_rows(shown, ("at", "endpoint", "key", "stream", "dead letter", "reason"), as_json=options.json)


def _dismiss(config: Config, dead_letters: DeadLetterFile) -> None:
    """Close every row in doubt of the store, and its dead letters."""
    with contextlib.closing(open_ledger(config, 0)) as ledger:
        refuse_foreign_ledger(config, ledger)
        keys = ledger.in_doubt()
        rows = {(endpoint, key) for endpoint, each in keys.items() for key in each}
        ledger.acquire(key for _, key in rows)
        with recorded_run(ledger, "in-doubt") as run:
            letters = dead_letters.open_rows_in_doubt()
            try:
                dead_letters.settle(
                    letter["id"] for letter in letters if (letter.get("endpoint"), letter.get("key")) in rows
                )
            except OSError as error:
                raise ConfigurationError(
                    f"The dead-letter file {dead_letters.path} cannot be closed ({error.strerror})."
                ) from None
            ledger.dismiss(keys)
            run.report = {"dismissed": len(rows)}
    dismissed = "1 row in doubt was" if len(rows) == 1 else f"{len(rows):,} rows in doubt were"
    print_lines(f"{dismissed} dismissed; nothing was sent.")


def _shown_row(row: RowInDoubt, letter: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "at": timestamp(row.sent_at),
        "endpoint": row.endpoint,
        "key": display_key(row.key),
        "stream": row.stream,
        "dead letter": "yes" if letter else "no",
        "reason": letter.get("reason", "") if letter else "",
    }


def _ask(config: Config, options: argparse.Namespace, dead_letters: DeadLetterFile) -> None:
    """Look the rows in doubt up in Wicked; write the missing ones and settle the shown ones if that was asked for."""
    source_config = read_config_file(options.source_config) if options.source_config else None
    doubts = look_up(config, dead_letters, source_config, options.grace_hours * 3600)
    verdicts = Counter(doubt.verdict for doubt in doubts)
    shown = [
        {**_shown_row(doubt.row, next(iter(doubt.letters), None)), "wicked": doubt.verdict, "why": doubt.why}
        for doubt in doubts
    ]
    if options.json:
        print_rows(shown, (), as_json=True)
    elif not shown:
        print_lines("No row is in doubt.")
    else:
        print_rows(shown, ("at", "endpoint", "key", "wicked", "why"))
        print_lines("", ", ".join(f"{verdicts[each]:,} {each}" for each in (SHOWN, MISSING, UNKNOWN)) + ".")
    # standard output of --json has rows only
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        print_lines(*_written(options.write, doubts, dead_letters))
        print_lines(*_settled(config, doubts, dead_letters, settle=options.settle))
        if verdicts[UNKNOWN]:
            print_lines(_ABOUT_UNKNOWN)


def _written(path: Path | None, doubts: Iterable[Doubt], dead_letters: DeadLetterFile) -> Iterator[str]:
    """Write the missing rows to a file if one is given; yield what to do with them."""
    missing = {doubt.letters[-1]["id"] for doubt in doubts if doubt.verdict == MISSING}
    if path is None:
        if missing:
            yield "Write the missing rows to a file with --write FILE, for `replay --in-doubt`."
    elif missing:
        yield f"Written to {path}: {dead_letters.write_in_doubt(path, missing):,} missing. Send them with"
        yield _REPLAY.format(path)
    else:
        yield f"{path} was not written, because no row is missing for certain."


def _settled(config: Config, doubts: Iterable[Doubt], dead_letters: DeadLetterFile, *, settle: bool) -> Iterator[str]:
    """Record the rows that are shown as sent if that was asked for, and close their dead letters; yield the result."""
    shown = {doubt.row: doubt for doubt in doubts if doubt.verdict == SHOWN}
    if not (shown and settle):
        if shown:
            yield "Record the rows that are shown as sent with --settle: then no run mentions them any more."
        return
    with contextlib.closing(open_ledger(config, 0)) as ledger:
        refuse_foreign_ledger(config, ledger)
        ledger.acquire(row.key for row in shown)  # before the line in the runs: a refused command leaves none
        with recorded_run(ledger, "in-doubt") as run:
            confirmed = confirm(ledger, shown)
            run.report = {"settled": len(confirmed)}
    # Only now: a row whose dead letter is closed cannot be looked up again.
    try:
        dead_letters.settle(letter["id"] for row in confirmed for letter in shown[row].letters)
    except OSError as error:
        raise ConfigurationError(
            f"The rows are recorded as sent, but their dead letters could not be closed ({error.strerror})."
        ) from None
    yield f"Settled: {len(confirmed):,} that Wicked Reports has."
