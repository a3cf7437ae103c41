"""State follows closed windows, and an interrupted run resumes."""

from datetime import datetime, timedelta, timezone

import pytest
from airbyte_cdk.sources.types import StreamSlice
from source_wecantrack.components import TransactionsRetriever
from source_wecantrack.row_hashes import RowHashes

from .conftest import SUBJECT, TRANSACTIONS, fill


def windows(sim):
    """Return the requested windows, less the second that is added in case the vendor's end is exclusive."""
    return [
        (dict(request["query"])["start_date"], a_second_before(dict(request["query"])["end_date"]))
        for request in sim.requests(TRANSACTIONS)
    ]


def a_second_before(stamp):
    return (datetime.fromisoformat(stamp) - timedelta(seconds=1)).isoformat()


@pytest.mark.parametrize("bounds", ["inclusive", "end_exclusive"])
def test_the_last_second_of_a_window_is_read_whether_its_end_is_inside_or_not(sim, config, read, bounds):
    sim.switch("wecantrack.bounds", bounds)
    sim.upsert([{"transaction_id": "LAST", "user_network_account_id": 1}], at="2026-01-01T23:59:59")
    sim.upsert([{"transaction_id": "VERY", "user_network_account_id": 1}], at="2026-01-03T23:59:59")
    keys = [message.record.data["transaction_key"] for message in read(config).messages if message.record]
    assert sorted(set(keys)) == ["1-LAST", "1-VERY"]


@pytest.mark.parametrize("bounds", ["inclusive", "end_exclusive"])
def test_a_row_of_the_second_that_two_windows_share_is_emitted_once(sim, config, read, bounds):
    sim.switch("wecantrack.bounds", bounds)
    for number in range(3):
        sim.upsert([{"transaction_id": f"M{number}", "user_network_account_id": 1}], at="2026-01-02T00:00:00")
    sim.upsert([{"transaction_id": "M0", "user_network_account_id": 2}], at="2026-01-02T00:00:01")
    keys = [message.record.data["transaction_key"] for message in read(config).messages if message.record]
    assert sorted(keys) == ["1-M0", "1-M1", "1-M2", "2-M0"]


def test_a_row_of_that_second_that_has_changed_or_was_not_emitted_yet_is_emitted(monkeypatch):
    def row(key, status):
        return {"transaction_key": key, "status": status, "last_wct_update": "2026-01-02 00:00:00"}

    lists = iter(
        [
            [row("1-M", "pending"), row("1-N", "pending")],
            [row("1-M", "approved"), row("1-N", "pending"), row("1-O", "pending")],
            [],
        ]
    )
    retriever = TransactionsRetriever.__new__(TransactionsRetriever)
    retriever._date_field, retriever._shared_second, retriever._emitted = "last_wct_update", "", RowHashes()
    monkeypatch.setattr(retriever, "_window", lambda window: iter(next(lists)), raising=False)
    emitted = [
        [
            (row["transaction_key"], row["status"])
            for row in retriever._rows(StreamSlice(partition={}, cursor_slice=day))
        ]
        for day in ({"end_time": "2026-01-01T23:59:59"}, {"end_time": "2026-01-02T23:59:59"})
    ]
    assert emitted == [[("1-M", "pending"), ("1-N", "pending")], [("1-M", "approved"), ("1-O", "pending")]]


def test_windows_are_whole_days_and_each_closed_one_gives_one_state(sim, config, read):
    fill(sim)
    outcome = read(config)
    assert windows(sim) == [(f"2026-01-0{day}T00:00:00", f"2026-01-0{day}T23:59:59") for day in (1, 2, 3)]
    assert outcome.states() == [{"last_wct_update": f"2026-01-0{day}T23:59:59"} for day in (1, 2, 3)]


def test_empty_windows_advance_the_state(sim, config, read):
    assert read(config).states()[-1] == {"last_wct_update": "2026-01-03T23:59:59"}


def test_states_count_the_records_since_the_one_before(sim, config, read):
    fill(sim, days=2)
    messages = [message for message in read(config).messages if message.state]
    assert [message.state.sourceStats.recordCount for message in messages] == [5.0, 5.0, 0.0]


@pytest.mark.parametrize(
    "state",
    [
        {"last_wct_update": "2026-01-03T10:00:00"},
        {"last_wct_update": "2026-01-03 10:00:00"},
        {
            "state_type": "date-range",
            "legacy": {},
            "slices": [{"start": "2026-01-01T00:00:00", "end": "2026-01-03T10:00:00"}],
        },
    ],
)
def test_a_resume_reads_from_the_state_less_the_lookback(state, sim, config, read):
    outcome = read({**config, "lookback_hours": 24}, state=state)
    assert windows(sim) == [
        ("2026-01-02T10:00:00", "2026-01-02T23:59:59"),
        ("2026-01-03T00:00:00", "2026-01-03T23:59:59"),
    ]
    assert outcome.states() == [
        {"last_wct_update": "2026-01-03T10:00:00"},  # a window before the state does not move it back
        {"last_wct_update": "2026-01-03T23:59:59"},
    ]


def test_the_lookback_never_reaches_before_the_start(sim, config, read):
    read({**config, "lookback_hours": 8760}, state={"last_wct_update": "2026-01-02T00:00:00"})
    assert windows(sim)[0][0] == "2026-01-01T00:00:00"


def test_a_start_after_the_state_wins(sim, config, read):
    read({**config, "start_date": "2026-01-03"}, state={"last_wct_update": "2026-01-01T00:00:00"})
    assert windows(sim) == [("2026-01-03T00:00:00", "2026-01-03T23:59:59")]


def test_a_state_after_the_end_is_kept(sim, config, read):
    outcome = read({**config, "lookback_hours": 0}, state={"last_wct_update": "2026-01-10T00:00:00"})
    assert windows(sim) == []
    assert outcome.states() == [{"last_wct_update": "2026-01-10T00:00:00"}]


def test_a_state_in_the_future_is_taken_as_now_with_a_warning(sim, config, read, clock, caplog):
    now = datetime.now(timezone.utc)
    clock.time = now.timestamp()
    outcome = read(
        {**config, "end_date": "", "start_date": "2026-01-01"}, state={"last_wct_update": "2999-01-01T00:00:00"}
    )
    assert "future" in caplog.text
    assert windows(sim)[0][0] == (now - timedelta(hours=SUBJECT.default("lookback_hours"))).strftime(
        "%Y-%m-%dT%H:%M:%S"
    )
    assert outcome.states()[-1]["last_wct_update"] <= now.strftime("%Y-%m-%dT%H:%M:%S")


def test_without_an_end_the_last_minute_is_left_to_the_next_run(sim, config, read, clock):
    now = datetime.now(timezone.utc)
    start = (now - timedelta(days=2)).strftime("%Y-%m-%d")
    read({**config, "start_date": start, "end_date": "2999-01-01"})
    end = datetime.strptime(windows(sim)[-1][1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    assert timedelta(seconds=58) <= now - end <= timedelta(seconds=61)


def test_with_another_date_type_state_and_windows_go_by_that_date(sim, config, read):
    fill(sim)
    outcome = read({**config, "date_type": "order_date"}, state={"last_wct_update": "2026-01-03T00:00:00"})
    assert dict(sim.requests(TRANSACTIONS)[0]["query"])["date_type"] == "order_date"
    assert outcome.states()[0] == {"order_date": "2026-01-01T23:59:59"}


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_run_cut_off_anywhere_and_run_again_gives_the_same_set(cut, sim, config, read):
    expected = fill(sim, days=3, per_day=12)
    config = {**config, "page_size": 7, "lookback_hours": 0}
    sim.fault("status_401", TRANSACTIONS, nth=cut, times=0)
    first = read(config)
    assert first.error is not None
    sim.clear_faults()
    second = read(config, state=first.states()[-1] if first.states() else None)
    assert set(first.keys()) | set(second.keys()) == expected
    assert second.states()[-1] == {"last_wct_update": "2026-01-03T23:59:59"}


def test_a_late_change_comes_with_the_next_run(sim, config, read):
    fill(sim, days=1, per_day=3)
    first = read(config)
    sim.upsert(
        [{"transaction_id": "T010001", "user_network_account_id": 7, "status": "declined"}], at="2026-01-20T08:00:00Z"
    )
    second = read({**config, "end_date": "2026-01-21"}, state=first.states()[-1])
    assert [(row["transaction_key"], row["status"]) for row in second.rows()] == [("7-T010001", "declined")]


def test_an_unreadable_state_is_a_config_error(sim, config, read):
    outcome = read(config, state={"last_wct_update": "yesterday"})
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "config_error"
