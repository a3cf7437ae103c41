"""`ledger`: what was sent, in which runs, what is in doubt; copying it and making it forget."""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from destination_wicked_reports.base.command_line import day
from destination_wicked_reports.base.terminal_log import printable
from destination_wicked_reports.commands.in_doubt import add_in_doubt_options, run_in_doubt
from destination_wicked_reports.commands.tables import print_json, print_lines, print_rows
from destination_wicked_reports.config.paths import rejects_path
from destination_wicked_reports.config.reader import read_config_file
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.delivery.closing import report_lines
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.copying import copy_ledger
from destination_wicked_reports.ledger.forgetting import (
    Selection,
    forget,
    forget_settings,
    select_days,
    select_sale,
    select_source_system,
)
from destination_wicked_reports.ledger.history import History, timestamp
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.opening import open_ledger, refuse_foreign_ledger
from destination_wicked_reports.ledger.reading import open_snapshot
from destination_wicked_reports.ledger.runs import last_runs, last_syncs, recorded_run
from destination_wicked_reports.mappings.revenue import order_name

#: Exit codes, as of `replay`.
_FAILED, _UNSETTLED = 1, 2
_RUNS = 10
_MOST_FOUND = 100
_EXPORTED = ("sent_at", "endpoint", "key", "stream", "status", "digest", "currency", "payments")


def add_parser(commands: Any) -> None:
    """Add `ledger` and its subcommands."""
    ledger = commands.add_parser("ledger", help="show, export, copy or correct the record of what was sent")
    jobs = ledger.add_subparsers(dest="job", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        job: argparse.ArgumentParser = jobs.add_parser(name, help=text, description=text)
        job.add_argument("--config", type=Path, required=True, help="the configuration of the connector")
        return job

    status = add("status", "show the last runs, what is in doubt, what waits, and the size; also during a run")
    status.add_argument("--by-day", action="store_true", help="show how many rows were sent by day instead")
    report = add("report", "show what the last run did, and why records were skipped or rejected")
    report.epilog = "Exit code: 0 all well, 1 the run did not reach its end, 2 rows were rejected or are in doubt."
    report.add_argument(
        "--since",
        type=int,
        metavar="SECONDS",
        help="every run that began since then, in UNIX time as `date +%%s` prints it; an error if there was none",
    )
    search = add("search", "show what was sent under an id; also during a run")
    search.add_argument("id", help="any part of an id: of a source, an order, a line, or SOURCE SYSTEM/ID")
    export = add("export", "print what was sent, and when, row by row; also during a run")
    export.add_argument("--format", choices=("csv", "jsonl"), default="csv")
    in_doubt = add("in-doubt", "list the rows whose outcome is unknown; also during a run, except to close them")
    add_in_doubt_options(in_doubt)
    for job in (status, report, search, in_doubt):
        job.add_argument("--json", action="store_true", help="print JSON, one object per line")
    forgetting = add("forget", "forget what was sent, so that it is sent again; without --yes only show it")
    what = forgetting.add_mutually_exclusive_group(required=True)
    what.add_argument("--sale", metavar="ID", help="a sale with all its orders, or an order, given its id")
    what.add_argument("--source-system", metavar="NAME", help="everything of a source system, and its guarded settings")
    what.add_argument("--days", nargs=2, type=day, metavar=("FIRST", "LAST"), help="what was sent on these days (UTC)")
    forgetting.add_argument("--yes", action="store_true", help="do it")
    copy = add("copy", "copy the ledger to another, empty one, and compare the two")
    copy.add_argument("--to", type=Path, required=True, metavar="FILE", help="a configuration with the new ledger")


def run_ledger(config: Config, options: argparse.Namespace) -> int:
    """Run one job; return the exit code."""
    job = {
        "status": _status,
        "report": _report,
        "search": _search,
        "export": _export,
        "in-doubt": run_in_doubt,
        "forget": _forget,
        "copy": _copy,
    }[options.job]
    return job(config, options) or 0


def _status(config: Config, options: argparse.Namespace) -> None:
    with open_snapshot(config) as snapshot:
        history = History(snapshot.connection, snapshot.store)
        if options.by_day:
            columns = ("day", "stream", "endpoint", "status", "rows")
            print_rows(history.totals(), columns, as_json=options.json)
            return
        facts = history.facts()
        runs = [_shown_run(run) for run in last_runs(snapshot, _RUNS)]
        size = snapshot.path.stat().st_size if snapshot.path else None
    open_letters = DeadLetterFile(rejects_path(config)).reminder()
    if options.json:
        facts |= {"ledger": snapshot.description, "store": snapshot.store, "bytes": size, "runs": runs}
        print_json({**facts, "dead_letters": open_letters})
        return
    megabytes = "" if size is None else f", {size / 1e6:,.1f} MB"
    sent = ", ".join(f"{count:,} {endpoint}" for endpoint, count in facts["sent"].items()) or "nothing"
    print_lines(f"{snapshot.description} ({snapshot.store}{megabytes}).", f"Sent: {sent}.")
    doubt = ", ".join(f"{count:,} {endpoint}" for endpoint, count in facts["in_doubt"].items())
    print_lines(f"In doubt: {doubt or 'none'}. Requests in flight: {facts['in_flight']:,}.")
    print_lines(f"Waiting: {facts['waiting']:,} sales and orders.")
    if open_letters:
        print_lines(open_letters)
    print_lines("", f"The last {len(runs)} runs:")
    print_rows(runs, ("started", "ended", "command", "version", "state", "code", "sent", "rejected", "in doubt"))


def _report(config: Config, options: argparse.Namespace) -> int:
    """Print what the last run did, or every run since a time; return the worst exit code."""
    with open_snapshot(config) as snapshot:
        runs = last_syncs(snapshot, options.since)
    if not runs:
        since = "yet" if options.since is None else f"since {timestamp(options.since)}"
        raise ConfigurationError(
            f"{snapshot.description} has no run {since}. A run that fails before it opens the ledger is not in it: see "
            "the error that the run itself reported."
        )
    for run in reversed(runs):
        if options.json:
            print_json(_shown_run(run))
            continue
        end = {"ended": f"ended with code {run['exit_code']}", "not ended": "was killed"}.get(
            run["state"], "is running"
        )
        print_lines(f"The run of {timestamp(run['started_at'])} ({run['command']}, {run['holder']}) {end}.")
        print_lines(*report_lines(run["report"]))
    codes = [_exit_code(run) for run in runs]
    return _FAILED if _FAILED in codes else max(codes)


def _exit_code(run: Mapping[str, Any]) -> int:
    shown = _shown_run(run)
    if run["state"] != "ended" or not run["report"].get("ended"):
        return _FAILED
    if shown["rejected"] or shown["in doubt"]:
        return _UNSETTLED
    return _FAILED if run["exit_code"] else 0


def _shown_run(run: Mapping[str, Any]) -> dict[str, Any]:
    rows = run["report"].get("rows") or {}
    counts = {
        name: sum(int(each.get(name.replace(" ", "_")) or 0) for each in rows.values())
        for name in ("sent", "rejected", "in doubt")
    }
    return {
        "started": timestamp(run["started_at"]),
        "ended": timestamp(run["ended_at"]) if run["ended_at"] else "",
        "command": run["command"],
        "version": run["version"],
        "state": run["state"],
        "code": "" if run["exit_code"] is None else run["exit_code"],
        **counts,
        "holder": run["holder"],
        "report": run["report"],
    }


def _search(config: Config, options: argparse.Namespace) -> None:
    with open_snapshot(config) as snapshot:
        history = History(snapshot.connection, snapshot.store)
        found = history.search(options.id, _MOST_FOUND + 1)
        sales, waiting = history.sales_like(options.id, _MOST_FOUND), history.waiting_like(options.id, _MOST_FOUND)
    more = len(found) > _MOST_FOUND
    found = found[:_MOST_FOUND]
    if options.json:
        print_rows(
            [*found, *({"sale": sale} for sale in sales), *({"waiting": key} for key in waiting)], (), as_json=True
        )
    elif not (found or sales or waiting):
        print_lines("Nothing with this id was sent or waits.")
    else:
        for sending in found:
            sending["digest"] = sending["digest"][:8]
            sending["payments"] = ", ".join(
                f"order {each['number']} {each['status']} {each['amount']}" for each in sending.get("payments", ())
            )
        if found:
            print_rows(found, ("at", "endpoint", "key", "stream", "status", "digest", "payments"))
        print_lines(*map(_describe, sales), *(f"Waiting: {key}." for key in waiting))
    if more:
        sys.stderr.write(f"Only the first {_MOST_FOUND} rows are shown: give more of the id.\n")


def _describe(sale: Mapping[str, Any]) -> str:
    """Return a sentence on what a sale counts for now."""
    open_orders = [
        f"{order_name(sale['key'], order['number'])} ({order['total']}, refunded {order['refunded']})"
        for order in sale["open_orders"]
    ]
    opened = ", ".join(open_orders) or "none"
    return f"Sale {sale['key']}: {sale['order_count']} orders sent in all. Open orders in {sale['currency']}: {opened}."


def _export(config: Config, options: argparse.Namespace) -> None:
    with open_snapshot(config) as snapshot:
        rows = History(snapshot.connection, snapshot.store).everything()
        if options.format == "jsonl":
            print_rows(rows, (), as_json=True)
            return
        writer = csv.DictWriter(sys.stdout, _EXPORTED, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: printable(str(value)) for name, value in row.items()})


def _forget(config: Config, options: argparse.Namespace) -> None:
    with contextlib.closing(open_ledger(config, 0)) as ledger:
        refuse_foreign_ledger(config, ledger)
        selection = _select(ledger, options)
        counts = {name: count for name, count in selection.counts().items() if count}
        if not counts:
            print_lines("Nothing like this was sent: there is nothing to forget.")
            return
        what = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        if selection.orders:
            print_lines("Ask the support of Wicked Reports to delete these orders first, or they count twice:")
            print_lines(*(f"  {order}" for order in selection.orders))
        if not options.yes:
            print_lines(f"To be forgotten: {what}. Nothing was changed; repeat with --yes to forget them.")
            return
        ledger.acquire(selection.keys)  # before the line in the runs: a refused command leaves none
        with recorded_run(ledger, "forget") as run:
            forget(ledger, selection)
            if options.source_system:
                forget_settings(ledger, options.source_system)
            run.report = {"forgotten": counts, "orders": selection.orders}
        print_lines(f"Forgotten: {what}. They are sent again when the source delivers them again.")


def _select(ledger: Ledger, options: argparse.Namespace) -> Selection:
    if options.sale is not None:
        return select_sale(ledger, options.sale)
    if options.source_system is not None:
        return select_source_system(ledger, options.source_system)
    first, last = options.days
    if last < first:
        raise ConfigurationError("The last day is before the first one: change one of them.")
    return select_days(ledger, _midnight(first), _midnight(last + timedelta(days=1)))


def _midnight(when: date) -> int:
    """Return the UNIX seconds at which a day begins in UTC."""
    return int(datetime(when.year, when.month, when.day, tzinfo=timezone.utc).timestamp())


def _copy(config: Config, options: argparse.Namespace) -> None:
    target = Config.parse(read_config_file(options.to))
    contents = copy_ledger(config, target)
    print_rows(
        [{"table": name, "rows": f"{each.rows:,}", "digest": f"{each.digest:032x}"} for name, each in contents.items()],
        ("table", "rows", "digest"),
    )
    print_lines(
        "Copied and compared. If a run is in progress, what it sends from now on is not in the copy: copy again when "
        "it has ended."
    )
