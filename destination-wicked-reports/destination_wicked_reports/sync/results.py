"""How a run ended: its exit code, and the table at the end, from the destination's report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from destination_wicked_reports.base.terminal_log import printable
from destination_wicked_reports.sync.display import new_table
from destination_wicked_reports.sync.exit_codes import DONE, MISCONFIGURED, STOPPED, UNSETTLED
from destination_wicked_reports.sync.pipeline import DESTINATION, SOURCE, Pipeline
from destination_wicked_reports.sync.progress import duration
from destination_wicked_reports.sync.state import State, position_of, stream_of

_SAMPLES = 3
_CONFIG_ERROR = "config_error"


def causes(pipeline: Pipeline) -> list[str]:
    """Return the sides that failed by themselves: one that fails can make the other fail, too."""
    failed = [side for side in (SOURCE, DESTINATION) if pipeline.codes[side]]
    if len(failed) < 2:
        return failed
    if pipeline.cut_off:
        return [DESTINATION]
    return failed if pipeline.wrote else [SOURCE]  # all that the destination can say is that it got no input


def exit_code(pipeline: Pipeline, report: Mapping[str, Any] | None) -> int:
    """Return the exit code of a run that has ended."""
    unsettled = report is not None and (_total(report, "rejected") or _total(report, "in_doubt"))
    complete = report is not None and bool(report.get("ended")) and not pipeline.stopped
    if pipeline.codes[SOURCE] == 0 and complete and (pipeline.codes[DESTINATION] == 0 or unsettled):
        return UNSETTLED if unsettled else DONE
    kinds = [kind for side in causes(pipeline) for _, kind in pipeline.errors[side]]
    wrong = _CONFIG_ERROR in kinds and not unsettled and not pipeline.stopped
    return MISCONFIGURED if wrong else STOPPED


def _total(report: Mapping[str, Any], outcome: str) -> int:
    return sum(int(counts.get(outcome) or 0) for counts in (report.get("rows") or {}).values())


def result_table(
    report: Mapping[str, Any] | None, *, source: str, read: int, seconds: float, states: list[State], width: int
) -> Table:
    """Return the table at the end of a run; `report` is None if the destination wrote none, `source` may be empty."""
    table = new_table("", "", width=width)
    if source:
        table.add_row("source", source)
    for label, text in _lines(report or {}, read, seconds, states):
        table.add_row(label, printable(text))
    return table


def _lines(report: Mapping[str, Any], read: int, seconds: float, states: list[State]) -> Iterator[tuple[str, str]]:
    yield "read", f"{read:,} records"
    outcomes = {"sent": "sent", "unchanged": "unchanged", "changed": "changed, cannot be updated"}
    rows = report.get("rows") or {}
    for outcome, label in outcomes.items():
        counts = {endpoint: int(each.get(outcome) or 0) for endpoint, each in rows.items()}
        texts = [f"{count:,} {endpoint}" for endpoint, count in counts.items() if count]
        if texts or outcome != "changed":
            yield label, ", ".join(texts) or "nothing"
    for each in report.get("skipped") or []:
        yield "skipped", f"{each['count']:,}: {each['reason']}{_samples(each)}"
    for each in report.get("rejected") or []:
        field = f" {each['field']}:" if each.get("field") else ""
        yield "rejected", f"{each['count']:,} {each['endpoint']}:{field} {each['reason']}{_samples(each)}"
    now, before = _total(report, "in_doubt"), int(report.get("in_doubt_open") or 0)
    if now or before:
        yield "in doubt", f"{now:,} rows of this run, {max(before, now):,} in all: see the dead-letter file"
    yield from _addresses(report.get("attribution") or {})
    for check in report.get("health") or []:
        if not check.get("passed"):
            yield "check", f"{check.get('name')}: {check.get('detail')}"
    yield "time", duration(seconds)
    starts = [f"{stream_of(state) or 'all streams'} from {position_of(state) or 'the start'}" for state in states]
    yield "next start", ", ".join(starts) or "the start date: nothing was completed yet"


def _addresses(counts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    with_address = int(counts.get("address") or 0)
    others = {"id": "with an id only", "synthetic": "with a synthetic address", "waiting": "waiting for a contact"}
    texts = [f"{with_address:,} with an address"]
    texts += [f"{counts[name]:,} {label}" for name, label in others.items() if counts.get(name)]
    if any(counts.values()):
        yield "orders", ", ".join(texts)


def _samples(entry: Mapping[str, Any]) -> str:
    samples = [str(each) for each in (entry.get("samples") or [])[:_SAMPLES]]
    return f" ({', '.join(samples)})" if samples else ""
