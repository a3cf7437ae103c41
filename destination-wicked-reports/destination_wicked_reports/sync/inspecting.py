"""The commands that change nothing at Wicked Reports: `check`, `plan`, `preview`, `status`, `reset` and `reconcile`."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from destination_wicked_reports.config.paths import rejects_path
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.errors import ConfigurationError, LedgerBusyError, LedgerError
from destination_wicked_reports.sync.agreement import configured_catalog, refuse_disagreement, warnings
from destination_wicked_reports.sync.connectors import (
    RECONCILE,
    Connector,
    destination_connector,
    find_program,
    passing_on_signals,
    private_folder,
    run_to_end,
    source_connector,
)
from destination_wicked_reports.sync.display import Display, new_table
from destination_wicked_reports.sync.exit_codes import DONE, STOPPED, UNSETTLED, CommandError
from destination_wicked_reports.sync.ledger_facts import read_ledger_facts, read_ledger_snapshot
from destination_wicked_reports.sync.plan import ADVICE, VENDORS, plan_row, plan_stream
from destination_wicked_reports.sync.progress import duration
from destination_wicked_reports.sync.settings import Settings, Sync
from destination_wicked_reports.sync.state import StateFile, is_running, position_of, run_lock, stream_of


def check(syncs: list[Sync], display: Display) -> int:
    """Check both sides and what they must agree on; raise at the first fault."""
    for sync in syncs:
        with _naming(sync):
            _check(sync, display)
    display.line("All well.")
    return DONE


@contextlib.contextmanager
def _naming(sync: Sync) -> Iterator[None]:
    """Put the name of the source before the message of a ConfigurationError."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{sync.name}: {error}") from None


def _check(sync: Sync, display: Display) -> None:
    refuse_disagreement(sync)
    with private_folder() as folder:
        source, destination = source_connector(sync.source, folder), destination_connector(folder)
        display.line(f"{sync.name}: {source.check(sync.source.config)}")
        display.line(f"{destination.name}: {destination.check(sync.destination)}")
        catalog = _catalog(sync, source)
    with contextlib.suppress(LedgerBusyError):  # a running sync uses the ledger, so it works
        display.line(read_ledger_facts(sync.config, lock_wait=0).first_line())
    display.line(f"{sync.name}: reads {', '.join(each['stream']['name'] for each in catalog['streams'])}.")
    for warning in warnings(sync):
        display.line(f"{sync.name}: WARN {warning}", "yellow")


def plan(settings: Settings, syncs: list[Sync], display: Display) -> int:
    """Show how long the next run of each stream takes."""
    states = StateFile(settings.state)
    for sync in syncs:
        with private_folder() as folder:
            source = source_connector(sync.source, folder)
            catalog = _catalog(sync, source)
        plans = [
            plan_stream(sync.source.connector, sync.source.config, each["stream"]["name"], states.states(sync.name))
            for each in catalog["streams"]
        ]
        table = new_table("stream", "from", "days", "requests", "time", right=(2, 3, 4))
        for each in plans:
            table.add_row(*plan_row(each))
        display.line(f"{sync.name}: the {'next' if states.states(sync.name) else 'first'} run")
        display.table(table)
        total = sum(each.seconds or 0 for each in plans)
        if len(plans) > 1:
            display.line(f"In all about {duration(total)}, one stream after the other.")
        vendor = VENDORS.get(sync.source.connector)
        if vendor:
            display.line(f"At {vendor.rate}. {vendor.history}")
    for text in ADVICE:
        display.line(text)
    return DONE


def preview(settings: Settings, sync: Sync, days: int | None, options: list[str], *, heading: bool = False) -> int:
    """Show what a run would send, on this terminal; sends nothing and keeps no state."""
    refuse_disagreement(sync)
    if heading:
        Display().line(f"Source {sync.name}", "bold")
    config, states = dict(sync.source.config), StateFile(settings.state).states(sync.name)
    if days is not None:
        try:
            config["start_date"] = (datetime.now(timezone.utc).date() - timedelta(days=days)).isoformat()
        except OverflowError:
            raise ConfigurationError(f"{days:,} days ago there was no calendar: choose fewer days.") from None
        states = []
    with private_folder() as folder:
        source, destination = source_connector(sync.source, folder), destination_connector(folder)
        reading: dict[str, Any] = {"config": config, "catalog": _catalog(sync, source)}
        read = source.line("read", **reading, **({"state": states} if states else {}))
        show = destination.line("preview", config=sync.destination, catalog=reading["catalog"])
        processes: list[subprocess.Popen[bytes]] = []
        with passing_on_signals(processes):
            reader = subprocess.Popen(read, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)  # noqa: S603
            processes.append(reader)
            processes.append(subprocess.Popen([*show, *options], stdin=reader.stdout))  # noqa: S603
            assert reader.stdout is not None
            reader.stdout.close()
            code = processes[1].wait()
            complete = code in (DONE, UNSETTLED) and "--records" not in options
            if not complete:  # nobody reads on
                reader.terminate()
            failed = reader.wait()
        if complete and failed:
            raise CommandError("The source failed, so the preview is not complete: see its error above.", STOPPED)
    return DONE if code == 0 else code if code in (UNSETTLED, STOPPED) else STOPPED


def _catalog(sync: Sync, source: Connector) -> dict[str, Any]:
    return configured_catalog(sync, source.discover(sync.source.config))


def status(settings: Settings, syncs: list[Sync], display: Display) -> int:
    """Show the last run, the ledger, what is open, and from where the next run reads."""
    states = StateFile(settings.state)
    for sync in syncs:
        last = states.last_run(sync.name)
        report = last.get("report") or {}
        table = new_table("", "")
        table.add_row("source", f"{sync.name} ({sync.source.connector})")
        if last:
            seconds = duration(float(last["seconds"]))
            table.add_row(
                "last run", f"ended {last['ended']} with code {last['code']}, {seconds}, {last['read']:,} read"
            )
            sent = {name: int(counts.get("sent") or 0) for name, counts in (report.get("rows") or {}).items()}
            table.add_row("sent", ", ".join(f"{count:,} {name}" for name, count in sent.items() if count) or "nothing")
            waiting = (report.get("attribution") or {}).get("waiting")
            if waiting:
                table.add_row("waiting", f"{waiting:,} orders for a contact")
        else:
            table.add_row("last run", "none")
        running, begun = is_running(settings.state), states.unfinished(sync.name)
        table.add_row("running", "yes" if running else "no")
        if begun and not running:
            table.add_row("cut off", f"the run of {begun} recorded no end: `run` goes on from its last state")
        try:
            facts = read_ledger_snapshot(sync.config)
            in_doubt = facts.in_doubt
            table.add_row("ledger", f"{facts.location}, {facts.rows:,} rows, {facts.mode}, account {facts.account}")
        except LedgerError as error:
            in_doubt = DeadLetterFile(rejects_path(sync.config)).open_in_doubt()
            table.add_row("ledger", str(error))
        table.add_row("in doubt", f"{in_doubt:,} rows")
        for state in states.states(sync.name):
            table.add_row("next start", f"{stream_of(state) or 'all streams'} from {position_of(state)}")
        if not states.states(sync.name):
            table.add_row("next start", f"the start date {sync.source.config.get('start_date') or ''}".rstrip())
        display.table(table)
    return DONE


def reset(settings: Settings, syncs: list[Sync], streams: list[str], display: Display, *, everything: bool) -> int:
    """Remove states, so that the next run reads these streams from the start date. The ledger is untouched."""
    if everything == bool(streams):
        raise ConfigurationError("Name the streams to read again, or use --all.")
    with run_lock(settings.state):
        states = StateFile(settings.state)
        for sync in syncs:
            known = [stream_of(state) for state in states.states(sync.name)]
            for name in streams:
                if name not in known and None not in known:
                    raise ConfigurationError(
                        f"{sync.name}: {name} has no state. These have: {', '.join(filter(None, known)) or 'none'}."
                    )
            removed = states.reset(sync.name, streams or None)
            display.line(
                f"{sync.name}: the next run reads {', '.join(removed) or 'everything'} from the start date. The ledger "
                "is untouched: rows that were sent are not sent again."
            )
    return DONE


def reconcile(sync: Sync, options: list[str]) -> int:
    """Compare with what Wicked Reports shows: `wicked-reports-reconcile`, with this configuration and its exit code."""
    with private_folder() as folder:
        destination = destination_connector(folder)
        config = destination.file("config", sync.destination)
        return run_to_end([find_program(RECONCILE), "--destination-config", config, *options])


def run_destination(sync: Sync, arguments: list[str]) -> int:
    """Run another command of the destination with this configuration, such as `ledger status`; return its exit code."""
    with private_folder() as folder:
        destination = destination_connector(folder)
        return run_to_end([*destination.command, *arguments, "--config", destination.file("config", sync.destination)])
