"""State follows closed days, and an interrupted run resumes."""

from datetime import datetime, timezone

import pytest

from .conftest import NOON, TOTALS, TRANSACTIONS, fill, requested_days


def test_each_day_is_requested_once_and_gives_one_state(sim, config, read):
    fill(sim)
    outcome = read(config)
    assert requested_days(sim) == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert outcome.states() == [{"update_date": f"2026-01-0{day}"} for day in (1, 2, 3)]


def test_a_single_day_gives_its_state(sim, config, read):
    assert read({**config, "end_date": "2026-01-01"}).states() == [{"update_date": "2026-01-01"}]


def test_states_count_the_records_since_the_one_before(sim, config, read):
    fill(sim, days=2)
    messages = [message for message in read(config).messages if message.state]
    assert [message.state.sourceStats.recordCount for message in messages] == [5.0, 5.0, 0.0]


@pytest.mark.parametrize("state", ["2026-01-20", "2026-01-20T00:00:00Z"])
@pytest.mark.parametrize(("lookback", "first"), [(3, "2026-01-17"), (0, "2026-01-20"), (100, "2026-01-01")])
def test_a_resume_reads_from_the_state_less_the_lookback(state, lookback, first, sim, config, read):
    config = {**config, "end_date": "2026-01-21", "lookback_days": lookback}
    outcome = read(config, state={"update_date": state})
    assert requested_days(sim)[0] == first
    assert requested_days(sim)[-1] == "2026-01-21"
    assert outcome.states()[0] == {"update_date": "2026-01-20"}
    assert outcome.states()[-1] == {"update_date": "2026-01-21"}


def test_today_is_read_and_read_again(sim, config, read, clock):
    today = "2026-01-31"
    clock.time = datetime(2026, 1, 31, 10, tzinfo=timezone.utc).timestamp()
    sim.set_clock(f"{today}T10:00:00Z")
    config = {**config, "start_date": "2026-01-30", "end_date": "", "lookback_days": 0}
    first = read(config)
    assert requested_days(sim) == ["2026-01-30", today]
    sim.sovrn.upsert([{"revenueId": "9", "commissionId": "x"}], at=f"{today}T10:00:01Z")
    second = read(config, state=first.states()[-1])
    assert requested_days(sim)[2:] == [today]
    assert second.keys() == ["9:x"]


def test_an_end_in_the_future_is_today(sim, config, read, clock):
    clock.time = datetime(2026, 1, 3, 10, tzinfo=timezone.utc).timestamp()
    read({**config, "end_date": "2999-12-31"})
    assert requested_days(sim)[-1] == "2026-01-03"


def test_a_start_in_the_future_asks_for_nothing(sim, config, read):
    outcome = read({**config, "start_date": "2990-01-01", "end_date": ""})
    assert outcome.error is None
    assert sim.requests() == []


def test_records_dated_outside_the_requested_day_do_not_move_the_state(sim, config, read):
    body = '{"transactions":[{"commission":{"revenueId":"1","updateDate":"2026-06-30"}}]}'
    sim.fault("status", TRANSACTIONS, status=200, body=body, times=1)
    outcome = read(config)
    assert outcome.rows()[0]["update_date"] == "2026-06-30"
    assert outcome.states()[0] == {"update_date": "2026-01-01"}


@pytest.mark.parametrize("date_type", ["update_date", "commission_date", "click_date"])
def test_state_and_request_go_by_the_chosen_date(date_type, sim, config, read):
    outcome = read({**config, "date_type": date_type}, state={"other_date": "2026-01-03"})
    parameter = date_type.split("_")[0] + "Date"
    assert requested_days(sim, parameter) == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert outcome.states()[0] == {date_type: "2026-01-01"}


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_run_cut_off_anywhere_and_run_again_gives_the_same_set(cut, sim, config, read):
    expected = fill(sim, days=5, per_day=3)
    config = {**config, "end_date": "2026-01-05", "lookback_days": 0}
    sim.fault("status_401", TRANSACTIONS, nth=cut, times=0)
    first = read(config)
    assert first.error is not None
    sim.clear_faults()
    requested = len(sim.requests(TRANSACTIONS))
    second = read(config, state=first.states()[-1] if first.states() else None)
    assert set(first.keys()) | set(second.keys()) == expected
    assert len(sim.requests(TRANSACTIONS)) - requested <= 5 - cut + 1 + 1
    assert second.states()[-1] == {"update_date": "2026-01-05"}


def test_a_late_change_comes_with_the_next_run(sim, config, read):
    fill(sim, days=1, per_day=3)
    first = read(config)
    sim.sovrn.upsert(
        [{"revenueId": "010001", "commissionId": "c1", "publisherNetRevenue": "-1234.123456789012345"}],
        at="2026-01-20" + NOON,
    )
    second = read({**config, "end_date": "2026-01-21", "lookback_days": 0}, state=first.states()[-1])
    assert [(row["transaction_key"], row["publisher_net_revenue"]) for row in second.rows()] == [
        ("010001:c1", "-1234.123456789012345")
    ]


def test_a_state_in_the_future_is_taken_as_now_with_a_warning(sim, config, read, clock, caplog):
    clock.time = datetime(2026, 1, 20, tzinfo=timezone.utc).timestamp()
    read({**config, "end_date": ""}, state={"update_date": "2999-01-01"})
    assert "future" in caplog.text
    assert requested_days(sim) == ["2026-01-17", "2026-01-18", "2026-01-19", "2026-01-20"]


def test_an_unreadable_state_is_a_config_error(sim, config, read):
    assert read(config, state={"update_date": "yesterday"}).error.failure_type.value == "config_error"


def windows(sim):
    return [
        (dict(request["query"])["clickDateStart"], dict(request["query"])["clickDateEnd"])
        for request in sim.requests(TOTALS)
    ]


def test_totals_are_requested_in_windows_of_a_month_with_the_end_exclusive(sim, config, read):
    read({**config, "start_date": "2025-11-15", "end_date": "2026-01-31"}, "merchants_by_date")
    requested = windows(sim)
    assert requested[0][0] == "2025-11-15"
    assert requested[-1][1] == "2026-02-01"
    assert [end for _, end in requested[:-1]] == [start for start, _ in requested[1:]]
    spans = [(datetime.fromisoformat(end) - datetime.fromisoformat(start)).days for start, end in requested]
    assert max(spans) <= 31
    assert len(requested) <= 4


def test_totals_look_back_over_the_months_in_which_adjustments_come(sim, config, read):
    config = {**config, "start_date": "2025-01-01", "end_date": "2026-01-31"}
    read(config, "merchants_by_date", state={"date": "2026-01-30"})
    assert windows(sim)[0][0] == "2025-10-27"
