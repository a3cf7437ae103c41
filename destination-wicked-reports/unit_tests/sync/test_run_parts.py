"""Parts of a run: lines of a pipe, progress, exit codes, the table, the plan, and what two sides must agree on."""

from datetime import date
from types import SimpleNamespace

import pytest
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync import plan
from destination_wicked_reports.sync.agreement import configured_catalog, refuse_disagreement, warnings
from destination_wicked_reports.sync.display import progress_lines
from destination_wicked_reports.sync.pipeline import DESTINATION, SOURCE, Event, Lines
from destination_wicked_reports.sync.progress import Progress, duration
from destination_wicked_reports.sync.results import exit_code, result_table
from destination_wicked_reports.sync.runner import _groups
from destination_wicked_reports.sync.settings import Source, Sync
from rich.console import Console


def sync(program="source-wecantrack", mapping=None, streams=(), **config):
    destination = {"api_key": "k", "mapping": mapping or {"type": "wecantrack"}}
    source = Source(program=program, streams=list(streams), config=config)
    return Sync(source, destination, Config.parse(destination))


# -- lines and progress -----------------------------------------------------------------------------------------------


def test_records_are_counted_and_other_messages_come_whole_however_the_chunks_are_cut():
    text = (
        b'{"type":"RECORD","record":{}}\n{"type": "RECORD", "record": {}}\nnoise\n'
        b'{"type":"LOG","log":{"level":"INFO","message":"x"}}\n'
    )
    for size in (1, 7, 1000):
        lines = Lines()
        found = [each for at in range(0, len(text), size) for _, each in lines.feed(text[at : at + size])]
        assert [each["type"] for each in found] == ["LOG"]
        assert lines.records == 2


def test_a_very_long_record_is_counted_and_takes_little_memory():
    lines = Lines()
    list(lines.feed(b'{"type":"RECORD","record":'))
    for _ in range(40):
        list(lines.feed(b"x" * (1 << 16)))
    assert len(lines._rest) < 2 << 20
    list(lines.feed(b"\n"))
    assert lines.records == 1


def state_event(side, day, count=0):
    stream = {"stream_descriptor": {"name": "transactions"}, "stream_state": {"d": day}}
    return Event(side, {"type": "STATE", "state": {"stream": stream, "destinationStats": {"recordCount": count}}})


def log_event(text):
    return Event(SOURCE, {"type": "LOG", "log": {"level": "INFO", "message": text}})


def test_progress_knows_days_waits_and_the_time_left():
    now = [0.0]
    progress = Progress("wct", {"transactions": date(2026, 1, 1)}, date(2026, 1, 10), clock=lambda: now[0])
    progress.take(state_event(SOURCE, "2026-01-01T23:59:59"))
    now[0] = 20.0
    progress.take(state_event(SOURCE, "2026-01-02T23:59:59"))
    progress.take(state_event(DESTINATION, "2026-01-01T23:59:59", 30.0))
    progress.take(log_event("Waiting 61.0 s: rate limit of 1 request in 60 s reached"))
    progress.read = 40
    assert progress.parts() == [
        "transactions",
        "day 2 of 10",
        "40 read",
        "30 delivered",
        "1 min left",
        "waiting 61 s: rate limit of 1 request in 60 s reached",
    ]
    progress.take(state_event(SOURCE, "2026-01-03T23:59:59"))
    assert "waiting" not in str(progress.parts())


@pytest.mark.parametrize("width", [20, 40, 80])
def test_the_lines_of_progress_fit_the_window_and_carry_no_control_characters(width):
    progress = Progress("wct", {"transactions": date(2026, 1, 1)}, date(2026, 1, 10))
    progress.take(state_event(SOURCE, "2026-01-05"))
    progress.take(log_event("Waiting 61.0 s: a \x1b[2J reason that is too long for a narrow window"))
    lines = [line.plain for line in progress_lines(progress, width)]
    assert max(map(len, lines)) <= width
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(("seconds", "text"), [(4, "4 s"), (90, "2 min"), (22_265, "6 h 11 min")])
def test_a_duration_reads_as_people_say_it(seconds, text):
    assert duration(seconds) == text


# -- the end of a run -------------------------------------------------------------------------------------------------


def ended(source=0, destination=0, kinds=(), other=(), **facts):
    errors = {SOURCE: [("x", kind) for kind in kinds], DESTINATION: [("y", kind) for kind in other]}
    facts = {"stopped": False, "cut_off": False, "wrote": True, **facts}
    return SimpleNamespace(codes={SOURCE: source, DESTINATION: destination}, errors=errors, **facts)


def report(rejected=0, in_doubt=0, complete=True):
    return {"ended": complete, "rows": {"orders": {"sent": 3, "rejected": rejected, "in_doubt": in_doubt}}}


@pytest.mark.parametrize(
    ("pipeline", "reported", "code"),
    [
        (ended(), report(), 0),
        (ended(), report(rejected=1), 1),
        (ended(destination=1), report(rejected=1), 1),
        (ended(destination=1), report(in_doubt=1), 1),
        (ended(destination=1), report(complete=False), 2),
        (ended(source=1, kinds=["transient_error"]), report(), 2),
        (ended(source=1, kinds=["config_error"]), report(), 3),
        (ended(source=1, kinds=["config_error"], stopped=True), report(), 2),
        (ended(source=143, stopped=True), report(), 2),
        (ended(source=-9), report(rejected=1), 2),
        (ended(destination=-9), None, 2),
        (ended(source=-9, destination=1, other=["config_error"], wrote=False), report(complete=False), 2),
        (ended(source=1, destination=1, kinds=["config_error"], other=["system_error"]), report(complete=False), 3),
        (ended(source=1, destination=1, kinds=["config_error"], cut_off=True), report(complete=False), 2),
        (ended(), None, 2),
    ],
)
def test_the_exit_code_is_true(pipeline, reported, code):
    assert exit_code(pipeline, reported) == code


def test_the_table_says_what_became_of_the_records():
    shown = {
        "rows": {"orders": {"sent": 1212, "unchanged": 3, "changed": 0, "rejected": 2, "in_doubt": 1}},
        "skipped": [{"reason": "no contact rule matched", "count": 902, "samples": ["A", "B", "C", "D"]}],
        "rejected": [{"endpoint": "orders", "field": "Email", "reason": "missing", "count": 2, "samples": ["A-3"]}],
        "attribution": {"address": 7, "id": 5, "synthetic": 0, "waiting": 1, "skipped": 902},
        "in_doubt_open": 4,
    }
    table = result_table(shown, source="blog", read=2114, seconds=65, states=[], width=100)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    text = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert text == [
        "source blog",
        "read 2,114 records",
        "sent 1,212 orders",
        "unchanged 3 orders",
        "skipped 902: no contact rule matched (A, B, C)",
        "rejected 2 orders: Email: missing (A-3)",
        "in doubt 1 rows of this run, 4 in all: see the dead-letter file",
        "orders 7 with an address, 5 with an id only, 1 waiting for a contact",
        "time 1 min",
        "next start the start date: nothing was completed yet",
    ]


def test_sources_with_one_key_share_its_limit_and_run_one_after_the_other():
    one, two, other = sync(api_key="a"), sync(api_key="a", start_date="2026-01-01"), sync(api_key="b")
    assert _groups([one, two, other]) == [[one, two], [other]]


# -- before a run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (sync(mapping={"type": "sovrn"}), "need the mapping wecantrack"),
        (sync("source-sovrn"), "need the mapping sovrn"),
        (sync(mapping={"type": "wecantrack", "recognize": "approved"}, date_type="order_date"), "date_type"),
        (sync("source-wicked-reports"), "no source of revenue"),
    ],
)
def test_two_sides_that_cannot_work_together_are_refused(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        refuse_disagreement(wrong)


def test_what_agrees_is_accepted_and_what_rarely_works_as_meant_is_warned_of():
    approved = {"type": "wecantrack", "recognize": "approved", "without_contact": "synthetic"}
    right = sync(mapping=approved, date_type="last_wct_update")
    refuse_disagreement(right)
    assert list(warnings(right)) == []
    poor = sync(date_type="order_date", statuses=["approved"])
    refuse_disagreement(poor)
    assert len(list(warnings(poor))) == 3


STREAM = {
    "name": "transactions",
    "supported_sync_modes": ["full_refresh", "incremental"],
    "source_defined_cursor": True,
    "default_cursor_field": ["last_wct_update"],
    "source_defined_primary_key": [["transaction_key"]],
}


def test_the_catalog_selects_the_streams_of_the_mapping():
    discovered = [{"name": "networks", "supported_sync_modes": ["full_refresh"]}, STREAM]
    (stream,) = configured_catalog(sync(), discovered)["streams"]
    assert stream["sync_mode"] == "incremental"
    assert stream["destination_sync_mode"] == "append_dedup"
    assert stream["primary_key"] == [["transaction_key"]]


@pytest.mark.parametrize(
    ("streams", "discovered", "said"),
    [
        (["clicks"], [STREAM], "has no stream clicks"),
        (["networks"], [{"name": "networks"}, STREAM], "does not take the stream networks"),
        ([], [{"name": "networks"}], "none of the streams"),
    ],
)
def test_a_stream_that_one_side_does_not_have_is_refused(streams, discovered, said):
    with pytest.raises(ConfigurationError, match=said):
        configured_catalog(sync(streams=streams), discovered)


@pytest.mark.parametrize(
    ("connector", "config", "stream", "days", "requests", "time"),
    [
        ("source-sovrn", {}, "transactions", 365, 365, "6 h 11 min"),
        ("source-sovrn", {"request_interval_seconds": 61}, "merchants_by_date", 365, 13, "13 min"),
        ("source-wecantrack", {}, "transactions", 365, 365, "12 min"),
        ("source-wicked-reports", {}, "orders", 365, 14, "7 s"),
        ("source-other", {}, "anything", None, None, "unknown"),
    ],
)
def test_a_plan_follows_the_vendors_rates(connector, config, stream, days, requests, time):
    config = {"start_date": "2025-01-01", "end_date": "2025-12-31", **config}
    found = plan.plan_stream(connector, config, stream, [])
    assert (found.days, found.requests, plan.plan_row(found)[-1]) == (days, requests, time)


def test_a_plan_of_a_later_run_starts_at_the_state_less_the_lookback():
    states = [state_event(SOURCE, "2026-01-20").message["state"]]
    config = {"start_date": "2025-01-01", "end_date": "2026-01-31"}
    found = plan.plan_stream("source-sovrn", config, "transactions", states)
    assert (found.first, found.days) == (date(2026, 1, 17), 15)
