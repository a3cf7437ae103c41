"""The command `run`: one sync of every source, from check to the table at the end."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from destination_wicked_reports.base.terminal_log import format_line
from destination_wicked_reports.errors import ConfigurationError, LedgerError
from destination_wicked_reports.sync.agreement import configured_catalog, refuse_disagreement, warnings
from destination_wicked_reports.sync.connectors import (
    Connector,
    destination_connector,
    error_of,
    private_folder,
    remove_left,
    source_connector,
)
from destination_wicked_reports.sync.display import Display
from destination_wicked_reports.sync.exit_codes import (
    DONE,
    EXPECTED,
    STOPPED,
    CommandError,
    code_of,
    machine_error,
    refusal,
)
from destination_wicked_reports.sync.ledger_facts import LedgerFacts, read_ledger_facts
from destination_wicked_reports.sync.pipeline import DESTINATION, Event, Pipeline
from destination_wicked_reports.sync.progress import Progress, as_day, expected_days
from destination_wicked_reports.sync.results import causes, exit_code, result_table
from destination_wicked_reports.sync.settings import Settings, Sync
from destination_wicked_reports.sync.state import State, StateFile, position_of, run_lock, stream_of

_TICK = 0.2
_KEPT_LOGS = 30
_SHOWN_LEVELS = ("WARN", "ERROR", "FATAL")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Runner:
    """Runs the chosen sources, one after the other, or side by side where no two share a key."""

    def __init__(self, settings: Settings, display: Display, *, first: date | None = None) -> None:
        self._settings = settings
        self._display = display
        self._first = first
        self._pipelines: list[Pipeline] = []
        self._stops = 0
        self._mutex = threading.Lock()

    def run(self, syncs: list[Sync]) -> int:
        """Run the syncs and return the worst exit code. Raises CommandError if another run is using the state file."""
        with run_lock(self._settings.state) as lock:
            self._listen()
            self._state = StateFile(self._settings.state)
            self._lock = lock
            self._state.remove_unfinished()
            for folder in lock.left:
                remove_left(folder)
            with self._display:
                groups = _groups(syncs) if self._settings.side_by_side else [syncs]
                with ThreadPoolExecutor(max_workers=len(groups)) as pool:
                    futures = [pool.submit(self._run_all, group) for group in groups]
                    return max(future.result() for future in futures)

    def _run_all(self, syncs: list[Sync]) -> int:
        return max(self._run_safely(sync) for sync in syncs)

    def _run_safely(self, sync: Sync) -> int:
        if self._stops:
            return STOPPED
        try:
            return self._run(sync)
        except EXPECTED as error:
            return self._fail(sync, error)
        except OSError as error:
            return self._fail(sync, machine_error(error))

    def _fail(self, sync: Sync, error: CommandError | ConfigurationError | LedgerError) -> int:
        self._display.line(self._named(sync, str(error)), "red")
        return code_of(error)

    def _run(self, sync: Sync) -> int:
        refuse_disagreement(sync)
        facts = read_ledger_facts(sync.config)
        self._display.line(self._named(sync, facts.first_line()), "bold")
        for warning in warnings(sync):
            self._display.line(self._named(sync, f"WARN {warning}"), "yellow")
        begun = self._state.unfinished(sync.name)
        if begun:
            self._display.line(
                self._named(sync, f"The run of {begun} was cut off: this one goes on from its last state.")
            )
        states = self._usable_states(sync, facts)
        config = self._source_config(sync, states)
        with private_folder() as folder:
            self._lock.note(folder)
            source, destination = source_connector(sync.source, folder), destination_connector(folder)
            catalog = self._check(sync, source, destination, config)
            streams = [each["stream"]["name"] for each in catalog["streams"]]
            states = [] if self._first else [each for each in states if stream_of(each) in (None, *streams)]
            reading: dict[str, Any] = {"config": config, "catalog": catalog}
            read = source.line("read", **reading, **({"state": states} if states else {}))
            report_file = folder / "report.json"
            write = destination.line("write", config=sync.destination, catalog=catalog)
            progress = Progress(sync.name, *expected_days(config, states, streams))
            with self._log_file(sync) as log:
                self._state.begin(sync.name, facts.id, facts.mode)
                code, report, unkept = self._join(
                    sync, read, [*write, "--report", str(report_file)], progress, report_file, log
                )
        return self._finish(sync, code, report, progress, unkept)

    def _usable_states(self, sync: Sync, facts: LedgerFacts) -> list[State]:
        """Return the states, which must have been reached with this ledger."""
        states = self._state.states(sync.name)
        ledger, mode = self._state.ledger(sync.name)
        if not states or (ledger, mode) == (facts.id, facts.mode):
            return states
        again = f"`wicked-reports-sync reset --all --source {sync.name}` to read everything again"
        if mode != facts.mode:
            raise ConfigurationError(
                f"the state in {self._settings.state} was reached in {_mode(mode)}, and this run is in "
                f"{_mode(facts.mode)}, to which nothing was sent: run {again}."
            )
        empty = "is empty" if not facts.rows else "is another one"
        raise ConfigurationError(
            f"the state in {self._settings.state} belongs to another ledger, and {facts.location} {empty}: "
            "what was sent before is missing in it. Restore the ledger that was used. "
            f"Only if you want everything to be sent a second time, run {again}."
        )

    def _source_config(self, sync: Sync, states: list[State]) -> dict[str, Any]:
        """Return the source's configuration, with `--from` as its start date."""
        config = dict(sync.source.config)
        if self._first is None:
            return config
        start = as_day(str(config.get("start_date") or ""))
        if start is None:
            raise ConfigurationError(
                "this source has no start_date, so --from cannot be used: `reset STREAM` reads all again."
            )
        reached = [day for state in states if (day := as_day(position_of(state)))] or [start]
        if self._first > min(reached):
            raise ConfigurationError(
                f"--from {self._first} is later than {min(reached)}, up to which everything was read: the "
                "days between would never be read. Choose an earlier day, or run without --from."
            )
        return {**config, "start_date": self._first.isoformat()}

    def _check(
        self, sync: Sync, source: Connector, destination: Connector, config: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Check both sides at once, and return the configured catalog."""
        with ThreadPoolExecutor(max_workers=3) as pool:
            checks = [pool.submit(source.check, config), pool.submit(destination.check, sync.destination)]
            discovered = pool.submit(source.discover, config)
            for check in checks:
                check.result()
            return configured_catalog(sync, discovered.result())

    # -- while it runs ----------------------------------------------------------------------------------------------

    def _join(
        self, sync: Sync, read: list[str], write: list[str], progress: Progress, report_file: Path, log: Log
    ) -> tuple[int, dict[str, Any] | None, CommandError | None]:
        """Run both processes to their end; return the exit code, the destination's report, and why no state was kept.

        If the state cannot be kept, reading ends, and what was read is still delivered.
        """
        unkept: CommandError | None = None
        with self._mutex:
            if self._is_stopped():
                raise CommandError("stopped before anything was read.", STOPPED)
            pipeline = Pipeline(read, write, self._lock.descriptor)
            self._pipelines.append(pipeline)
        if self._is_stopped():  # a signal that came meanwhile found no pipeline
            pipeline.stop()
        self._display.add(progress)
        try:
            for event in pipeline.events(_TICK):
                progress.read = pipeline.records
                if event is not None:
                    progress.take(event)
                    try:
                        self._take(sync, event, log)
                    except CommandError as error:
                        if unkept is None:
                            pipeline.stop()
                        unkept = error
                self._display.tick()
        finally:
            pipeline.close()
            self._display.remove(progress)
            with self._mutex:
                self._pipelines.remove(pipeline)
        progress.read = pipeline.records
        report = _read_report(report_file)
        code = exit_code(pipeline, report)
        for side in () if pipeline.stopped else causes(pipeline):
            self._display.line(self._named(sync, f"{side}: {pipeline.last_words(side)}"), "red")
        return code, report, unkept

    def _take(self, sync: Sync, event: Event, log: Log) -> None:
        """Log a message, show a warning, and keep a state that the destination has released."""
        message = event.message
        if message.get("type") == "STATE" and event.side == DESTINATION:
            self._state.keep(sync.name, message["state"])
            return
        level, text = _said(event)
        if not text:
            return
        fault = log.add(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {event.side} {format_line(level, text)}\n")
        if fault:
            self._display.line(self._named(sync, f"WARN {fault}"), "yellow")
        if level in _SHOWN_LEVELS and not text.startswith("The source failed"):
            self._display.line(self._named(sync, f"{level} {text}"), "yellow" if level == "WARN" else "red")

    def _finish(
        self,
        sync: Sync,
        code: int,
        report: dict[str, Any] | None,
        progress: Progress,
        unkept: CommandError | None,
    ) -> int:
        """Record the result for `status`, show it, and return the exit code."""
        seconds = time.monotonic() - progress.started
        states = self._state.states(sync.name)
        try:
            self._state.finish(
                sync.name,
                {
                    "code": code,
                    "read": progress.read,
                    "seconds": round(seconds, 1),
                    "report": report,
                },
            )
        except CommandError as error:
            unkept = error
            states = StateFile(self._settings.state).states(sync.name)  # as the next run finds them
        self._display.table(
            result_table(
                report,
                source=sync.name if len(self._settings.syncs) > 1 else "",
                read=progress.read,
                seconds=seconds,
                states=states,
                width=self._display.width,
            )
        )
        if unkept:
            code = max(code, self._fail(sync, unkept))
        if self._stops:
            again = "with --from again" if self._first and not progress.delivered else "again to go on from there"
            self._display.line(
                self._named(sync, f"Stopped. What was sent is in the ledger, and the state is kept: run {again}."),
                "bold",
            )
        elif code != DONE:
            self._display.line(self._named(sync, _ENDINGS[code]), "red")
        return code

    def _named(self, sync: Sync, text: str) -> str:
        return f"{sync.name}: {text}" if len(self._settings.syncs) > 1 else text

    # -- signals and logs -------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """End the sources at Ctrl-C, SIGTERM or a closed terminal; a second one ends the destination, too.

        The handlers stay: one Ctrl-C too many, once all is done, must not change the exit code.
        """
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)

    def _is_stopped(self) -> bool:
        return self._stops > 0

    def _stop(self, _number: int, _frame: object) -> None:
        self._stops += 1
        for pipeline in list(self._pipelines):
            pipeline.stop()

    @contextlib.contextmanager
    def _log_file(self, sync: Sync) -> Iterator[Log]:
        folder = self._settings.logs
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = f"{sync.name}-{datetime.now(timezone.utc):%Y%m%dT%H%M%S}Z.log"
            file = (folder / name).open("ab", buffering=0)
            own = re.compile(re.escape(sync.name) + r"-\d{8}T\d{6}Z\.log").fullmatch
            for old in sorted(path for path in folder.iterdir() if own(path.name))[:-_KEPT_LOGS]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise refusal(f"The folder for logs, {folder},", error) from None
        with file:
            yield Log(file)


class Log:
    """The log file of a run. A line that cannot be written is dropped: a full disk ends no run because of its log."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._complete = True

    def add(self, line: str) -> str:
        """Write a line; return a warning for the first one that cannot be written."""
        try:
            self._file.write(line.encode(errors="replace"))
        except OSError as error:
            first, self._complete = self._complete, False
            if first:
                return f"The log {self._file.name} is not complete ({error.strerror}). The run goes on."
        return ""


_ENDINGS = {
    1: "Rows were refused or are in doubt (exit code 1). They are in the dead-letter file with their reasons.",
    2: "The run did not reach its end (exit code 2). Nothing is lost: run it again to go on.",
    3: "The configuration is wrong (exit code 3). Nothing is lost: correct it and run again.",
}


def _groups(syncs: list[Sync]) -> list[list[Sync]]:
    """Return the syncs in groups that can run side by side: one group per key, whose rate limit its syncs share."""
    groups: dict[tuple[str, str], list[Sync]] = {}
    for sync in syncs:
        keys = [str(value) for name, value in sorted(sync.source.config.items()) if "key" in name or "token" in name]
        groups.setdefault((sync.source.connector, json.dumps(keys)), []).append(sync)
    return list(groups.values())


def _said(event: Event) -> tuple[str, str]:
    """Return the level and the text of what a process says to people; empty for other messages."""
    message = event.message
    if event.text:
        return "INFO", event.text
    if message.get("type") == "LOG":
        level = str(message["log"].get("level") or "INFO")
        return "WARN" if level == "WARNING" else level, str(message["log"].get("message") or "")
    error = error_of(message)
    return ("TRACE", error[0]) if error else ("", "")


def _read_report(path: Path) -> dict[str, Any] | None:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def _mode(name: str) -> str:
    return "test mode" if name == "test" else "live mode"
