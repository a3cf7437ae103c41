"""One report request per interval over all streams and retries, and a log line before each wait."""

import json
import subprocess
import time

import pytest
import requests
from source_sovrn.base.rate_limit import format_duration
from source_sovrn.components import MAX_WAIT_SECONDS
from source_sovrn.rate_limit import MinIntervalLimiter

from .conftest import CAMPAIGNS, INTERVAL, SUBJECT, TOTALS, TRANSACTIONS, fill


def starts(sim):
    return [entry["clock"] for entry in sim.requests() if entry["path"].startswith("/v1/reports/")]


def gaps(moments):
    return [round(moments[n + 1] - moments[n], 3) for n in range(len(moments) - 1)]


def lines(caplog, word):
    return [record.getMessage() for record in caplog.records if word in record.getMessage()]


def test_the_first_request_waits_for_the_interval_and_nothing_waits_after_the_last(sim, config, read, clock):
    fill(sim)
    begun = clock.time
    read(config)
    assert clock.slept == [INTERVAL] * 3
    assert clock.time == begun + 3 * INTERVAL


def test_the_vendor_never_sees_a_request_before_its_time(sim, config, read):
    fill(sim)
    outcome = read(config, "transactions", "campaigns", "merchants_by_date")
    assert outcome.error is None
    assert gaps(starts(sim)) == [INTERVAL] * 3
    assert {entry["status"] for entry in sim.requests()} <= {200, 404}
    assert sim.stats()["sovrn"]["refused"] == 0


FAULTS = ["status_503", "half_body", "hang", "close_before_answer", "throttled_bare", "empty_200", "reset_mid_body"]


@pytest.mark.parametrize("fault", FAULTS)
def test_retries_never_undercut_the_interval_and_back_off_by_1_2_and_5(fault, sim, config, read, clock):
    expected = fill(sim)
    sim.fault(fault, TRANSACTIONS, nth=2, times=3)
    outcome = read({**config, "read_timeout_seconds": 0.3}, "transactions", "merchants_by_date")
    assert set(outcome.keys()) == expected
    seen = gaps([entry["clock"] for entry in sim.requests() if entry["path"].startswith("/v1/reports/")])
    assert seen == [INTERVAL * intervals for intervals in (1, 1, 2, 5, 1, 1)]


@pytest.mark.parametrize("seconds", [1, 30, 200])
def test_a_header_may_lengthen_a_wait_but_not_shorten_it(seconds, sim, config, read):
    fill(sim)
    sim.fault("throttled", TRANSACTIONS, nth=2, times=1, seconds=seconds)
    read(config)
    assert gaps(starts(sim)) == [INTERVAL, max(INTERVAL, seconds), INTERVAL]


def test_a_wait_of_a_year_ends_the_run(sim, config, read):
    sim.fault("throttled_far", TRANSACTIONS, times=0)
    assert f" UTC, longer than the {MAX_WAIT_SECONDS:g} s a run waits" in read(config).error.message


def test_a_resume_waits_for_the_interval_too(sim, config, read):
    fill(sim)
    first = read({**config, "end_date": "2026-01-01"})
    second = read({**config, "lookback_days": 0}, state=first.states()[-1])
    assert second.error is None
    assert gaps(starts(sim)) == [INTERVAL] * 3


@pytest.mark.parametrize("manner", ["429", "block_403", "stall"])
def test_a_read_survives_another_client_using_its_slot(manner, sim, config, read, clock, monkeypatch):
    expected = fill(sim)
    sim.switch("sovrn.over_limit", manner)
    sim.sovrn.pace(60, block_minutes=3)
    sleep = clock.sleep

    def interrupted(seconds):
        sleep(seconds)
        if len(clock.slept) == 2:
            headers = {"Authorization": f"secret {sim.sovrn_key}"}
            requests.get(sim.url + TRANSACTIONS, {"updateDate": "2026-01-01"}, headers=headers, timeout=5)

    monkeypatch.setattr(clock, "sleep", interrupted)
    outcome = read({**config, "read_timeout_seconds": 0.3})
    assert outcome.error is None
    assert set(outcome.keys()) == expected
    assert len(clock.slept) > 3


def test_a_year_is_365_requests_and_six_hours_of_waiting(sim, config, read, clock):
    sim.set_clock("2026-01-01T00:00:00Z")
    outcome = read({**config, "start_date": "2025-01-01", "end_date": "2025-12-31"})
    assert outcome.error is None
    days = [dict(request["query"])["updateDate"] for request in sim.requests(TRANSACTIONS)]
    assert len(days) == len(set(days)) == 365
    assert (days[0], days[-1]) == ("2025-01-01", "2025-12-31")
    assert sum(clock.slept) == 365 * INTERVAL
    assert len(outcome.states()) == 365


def test_check_spends_no_report_and_does_not_wait(sim, config, clock):
    assert SUBJECT.check(config).status.value == "SUCCEEDED"
    assert [request["path"] for request in sim.requests()] == [CAMPAIGNS]
    assert clock.slept == []


def test_each_day_is_logged_with_what_is_left(sim, config, read, caplog):
    fill(sim, days=1, per_day=1204)
    sim.sovrn.pace(0)
    with caplog.at_level("INFO"):
        read({**config, "end_date": "2026-01-31", "request_interval_seconds": 61})
    logged = lines(caplog, "next request in")
    assert logged[0] == "transactions: 31 days to read, next request in 61 s, about 32 min left"
    assert logged[1] == "day 1 of 31, 1,204 rows, next request in 61 s, about 30 min left"
    assert logged[30] == "day 30 of 31, 0 rows, next request in 61 s, about 61 s left"
    assert lines(caplog, "day 31 of 31") == ["day 31 of 31, 0 rows, 1,204 rows of transactions in total"]


def test_a_retry_is_logged_with_its_reason(sim, config, read, caplog):
    sim.fault("status_503", TRANSACTIONS, times=1)
    with caplog.at_level("INFO"):
        read(config)
    assert lines(caplog, "503") == [
        f"Waiting {INTERVAL:.1f} s: HTTP 503; then attempt 2 of {SUBJECT.default('max_tries')}"
    ]


def test_rows_are_estimated_from_the_mean_so_far(sim, config, read):
    fill(sim, days=1, per_day=6)
    assert read(config).estimates() == [18, 9, 6]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.25, "0.2 s"), (61, "61 s"), (305, "5 min"), (4758, "1 h 19 min"), (365 * 61, "6 h 11 min")],
)
def test_durations_are_written_for_people(seconds, text):
    assert format_duration(seconds) == text


def test_a_clock_that_goes_back_costs_one_interval_at_most(clock):
    limiter = MinIntervalLimiter(61)
    limiter.acquire()
    clock.time -= 86400
    limiter.acquire()
    assert clock.slept == [61.0, 62.0]


def test_a_request_that_was_long_on_its_way_counts_from_its_arrival(clock):
    limiter = MinIntervalLimiter(61)
    limiter.acquire()
    clock.time += 0.7
    limiter.update({})
    limiter.acquire()
    assert clock.slept == [61.0, 61.0]
    clock.time += 30
    limiter.update({})
    limiter.acquire()
    assert clock.slept[-1] == 32.0


def test_in_real_time_no_two_reports_of_a_process_arrive_too_close(sim, config, tmp_path):
    fill(sim)
    sim.sovrn.pace(0)
    sim.fault("status_503", TRANSACTIONS, nth=2, times=1)
    sim.fault("close_before_answer", TOTALS, nth=1, times=1)
    begun = time.monotonic()
    arguments = SUBJECT.command_line(
        "read", {**config, "request_interval_seconds": 0.3}, tmp_path, "transactions", "merchants_by_date"
    )
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    moments = [entry["monotonic"] for entry in sim.requests() if entry["path"].startswith("/v1/reports/")]
    assert len(moments) == 6
    assert min(gaps(moments)) >= 0.3
    assert moments[-1] - begun < 20
    waits = [json.loads(line)["log"]["message"] for line in done.stdout.splitlines() if "next request in" in line]
    assert waits
