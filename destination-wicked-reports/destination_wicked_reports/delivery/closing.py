"""The closing log of a run: the result first, then what to do. It is all that a user of Airbyte sees.

No line has a value of a record: samples are ids, positions in the input, and shapes of the texts that were searched.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from destination_wicked_reports.api.samples import Sampled
from destination_wicked_reports.config.spec import PRODUCTION_URL, Config
from destination_wicked_reports.delivery.tally import BUYERS, MOST_LINES, SENT, SKIPPED, Tally, counts_line
from destination_wicked_reports.ledger.ledger import fingerprint
from destination_wicked_reports.model import ADDRESS, ID_ALONE, SYNTHETIC, WAITING

#: A level of `logging` and the text.
LogLine = tuple[int, str]

#: Streams that one log line names.
MOST_NAMES = 10
_BUYER_NAMES = {
    ADDRESS: "with an e-mail address",
    ID_ALONE: "with a contact id alone",
    SYNTHETIC: "with a synthetic contact",
    WAITING: "waiting for the contact",
    SKIPPED: "skipped without a contact",
}
READ_AGAIN = "read the source again from its start date (clear its state): nothing is sent twice"


@dataclass(slots=True)
class InputEnd:
    """How the input ended.

    `ended` says that it was read and delivered to its end, `source_failed` that the source reported an error;
    `open_streams` were started and not completed. `refused` says that nothing was released, because no rule matched.
    """

    ended: bool
    source_failed: bool
    open_streams: Collection[str]
    refused: bool = False


def mode_line(config: Config) -> str:
    """Return the first line of a run: where its rows go."""
    account = f"the Wicked Reports account with the key fingerprint {fingerprint(config.api_key)}"
    where = "" if config.api_url == PRODUCTION_URL else f" The API is {config.api_url}."
    if config.test_mode:
        return f"TEST MODE: rows go to the test store of {account}, never into its reports.{where}"
    return f"LIVE: rows go to {account} and count in its reports.{where}"


def closing_lines(
    tally: Tally, end: InputEnd, notes: Iterable[str], *, finds_buyers: bool = False
) -> Iterator[LogLine]:
    """Yield the closing lines of a write. `finds_buyers` is that of the normalizer."""
    for line in (*tally.lines(), *_result(tally, end)):
        yield logging.INFO, line
    yield from attribution_lines(tally, finds_buyers=finds_buyers and end.ended)
    yield from rejected_lines(tally)
    yield from skipped_lines(tally, refused=end.refused)
    for line in (*tally.left_out_lines(), *notes):
        yield logging.INFO, line
    for stream, count in tally.deleted.items():
        records = "1 record is" if count == 1 else f"{count:,} records are"
        yield logging.WARNING, f"{stream}: {records} marked as deleted and left out: Wicked Reports cannot delete."
    if end.open_streams and end.ended:  # otherwise the run itself stopped, and its error is logged
        fix = "fix the error it reported and " if end.source_failed else ""
        yield (
            logging.WARNING,
            f"The input ended before {first_names(end.open_streams)} was complete: the source stopped "
            f"early, so {fix}run the sync again.",
        )


def _result(tally: Tally, end: InputEnd) -> Iterator[str]:
    """Yield a sentence on a run that sent nothing."""
    if any(counts[SENT] for counts in tally.counts.values()):
        return
    skipped = sum(sampled.count for sampled in tally.skipped.values())
    if not end.ended:
        if tally.empty:
            yield "The run ended before Wicked Reports accepted anything."
    elif end.source_failed:
        yield "Nothing was sent: the source failed before it delivered anything new."
    elif skipped:
        count = _count(tally.records.received, "record")
        # sales that waited in the ledger may be skipped, too
        which = f"{skipped:,} of {count}" if skipped <= tally.records.received else _count(skipped, "record")
        yield f"Nothing was sent: skipped {which}, see below."
    elif not tally.records.received:
        yield "Nothing was sent: the source delivered no records."
    elif tally.empty and not tally.deleted:
        yield "Nothing was sent yet: the ledger keeps what was received until its orders are complete."
    elif tally.only_unchanged:
        yield "Nothing new to send: everything received is already in Wicked Reports."


def attribution_lines(tally: Tally, *, finds_buyers: bool) -> Iterator[LogLine]:
    """Yield a line on who bought; a mapping that does not look for buyers itself shows what it has only."""
    total = tally.attribution.total()
    if total:
        shares = (
            f"{tally.attribution[buyer]:,} {_BUYER_NAMES[buyer]} ({_percent(tally.attribution[buyer], total)})"
            for buyer in BUYERS
            if finds_buyers or tally.attribution[buyer]
        )
        yield logging.INFO, f"Who bought, of {_count(total, 'sale')}: {', '.join(shares)}."
    elif finds_buyers:
        yield logging.INFO, "Who bought: no new sales."


def rejected_lines(tally: Tally) -> Iterator[LogLine]:
    """Yield the reasons of rejected rows, such as `orders: 2 rejected: OrderTotal: not a number (1001; 1002)`."""
    for key, sampled in _most_common(tally.rejected):
        yield logging.WARNING, _rejected(key, sampled)


def skipped_lines(tally: Tally, *, refused: bool = False) -> Iterator[LogLine]:
    """Yield the reasons of skipped records. With `refused`, the run's error says what to do."""
    for reason, sampled in _most_common(tally.skipped):
        unattributed = reason in tally.unattributed_reasons and not refused
        line = _skipped(reason, sampled)
        if unattributed:
            line += f". Fix contact_rules or set without_contact to synthetic, then {READ_AGAIN}."
        yield logging.WARNING if unattributed else logging.INFO, line


def report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the result of a recorded run, in the words of its closing log; `report` is what the ledger stores of it."""
    if "records" in report:
        yield f"{_count(report['records']['received'], 'record')} received."
    for endpoint, counts in (report.get("rows") or {}).items():
        yield counts_line(endpoint, counts)
    for each in report.get("rejected") or ():
        key = each["endpoint"], each["field"], each["reason"]
        yield _rejected(key, Sampled(each["count"], each["samples"]))
    for each in report.get("skipped") or ():
        yield _skipped(each["reason"], Sampled(each["count"], each["samples"]))
    if report.get("in_doubt_open"):
        yield f"{_count(report['in_doubt_open'], 'row')} in doubt in all. `ledger in-doubt` lists them."


def health_lines(checks: Sequence[Mapping[str, Any]]) -> Iterator[LogLine]:
    """Yield one line on the checks that passed, and one for each that failed."""
    if checks:
        passed = [check["name"] for check in checks if check["passed"]]
        names = f": {', '.join(passed)}" if passed else ""
        yield logging.INFO, f"Health: {len(passed)} of {_count(len(checks), 'check')} passed{names}."
    for check in checks:
        if not check["passed"]:
            yield logging.WARNING, f"Health: {check['name']}: {check['detail']}."


def unmatched_error(tally: Tally) -> str:
    """Return why a first run ends in which no contact rule matched anything."""
    sampled = next(tally.skipped[reason] for reason in tally.unattributed_reasons)
    return (
        f"No contact rule matched any of the {tally.attribution[SKIPPED]:,} sales of this first run, so no order was "
        f"sent and no STATE was released. Searched, with letters and digits masked: {'; '.join(sampled.samples)}. Fix "
        "the field or the pattern of contact_rules, or set without_contact to synthetic, and run the sync again."
    )


def _most_common(counts: dict[str, Sampled] | dict[tuple[str, str, str], Sampled]) -> list[tuple[Any, Sampled]]:
    return sorted(counts.items(), key=lambda item: -item[1].count)[:MOST_LINES]


def _rejected(key: tuple[str, str, str], sampled: Sampled) -> str:
    endpoint, field, reason = key
    what = f"{field}: {reason}" if field else reason
    return f"{endpoint}: {sampled.count:,} rejected: {what}{_samples(sampled)}"


def _skipped(reason: str, sampled: Sampled) -> str:
    return f"skipped {_count(sampled.count, 'record')}: {reason}{_samples(sampled)}"


def _samples(sampled: Sampled) -> str:
    if not sampled.samples:
        return ""
    example = "such as " if sampled.count > len(sampled.samples) else ""
    return f" ({example}{'; '.join(sampled.samples)})"


def _count(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def _percent(part: int, whole: int) -> str:
    """Return a share without decimals; one that is not 0 % or 100 % is not rounded to it."""
    share = 100 * part / whole
    if 0 < part < whole:
        share = min(max(share, 1), 99)
    return f"{share:.0f} %"


def first_names(names: Collection[str]) -> str:
    """Return names for a sentence, cut after ten."""
    more = len(names) - MOST_NAMES
    return ", ".join(sorted(names)[:MOST_NAMES]) + (f" and {more:,} more streams" if more > 0 else "")
