"""The rate limit is kept, every wait is logged, and no wait is endless."""

import pytest
from source_wecantrack.base.rate_limit import FixedWindowLimiter

from .conftest import SUBJECT, TRANSACTIONS, fill


def waits(caplog):
    return [record.getMessage() for record in caplog.records if "rate limit of" in record.getMessage()]


def test_given_a_limit_of_ten_a_minute_when_read_then_no_request_is_refused(sim, config, read, clock, caplog):
    expected = fill(sim, days=3, per_day=40)
    sim.throttle(10)
    outcome = read({**config, "page_size": 5})
    assert sorted(outcome.keys()) == sorted(expected)
    assert {request["status"] for request in sim.requests(TRANSACTIONS)} == {200}
    assert len(waits(caplog)) == len(clock.slept) == 2
    assert waits(caplog) == [
        "rate limit of 10 requests in 60 s reached; day 1 of 3, 40 rows, next request in 61 s, about 2 min left",
        "rate limit of 10 requests in 60 s reached; day 2 of 3, 40 rows, next request in 61 s, about 61 s left",
    ]


def test_given_a_throttle_that_others_used_up_when_read_then_it_waits_as_requested(sim, config, read, clock):
    expected = fill(sim)
    sim.fault("throttled", TRANSACTIONS, times=1, seconds=42)
    assert sorted(read(config).keys()) == sorted(expected)
    assert clock.slept == [42.0]


@pytest.mark.parametrize("switch", ["on", "no_retry_after", "none"])
@pytest.mark.parametrize("body", ["json", "html"])
def test_given_throttles_with_and_without_headers_when_read_then_every_row_comes(
    switch, body, sim, config, read, clock, monkeypatch
):
    expected = fill(sim, days=3, per_day=40)
    clock.time = 1_769_904_000.0  # the simulator's 2026-02-01
    sim.switch("wecantrack.throttle_headers", switch)
    sim.switch("wecantrack.throttle_body", body)
    sim.throttle(10)
    monkeypatch.setattr(FixedWindowLimiter, "update", lambda *_: None)  # so that requests are throttled
    outcome = read({**config, "page_size": 5})
    assert sorted(outcome.keys()) == sorted(expected)
    assert 429 in {request["status"] for request in sim.requests(TRANSACTIONS)}


def test_retries_outlast_a_window_of_sixty_seconds(sim, config, read, clock):
    expected = fill(sim)
    sim.fault("throttled_bare", TRANSACTIONS, times=5)
    assert sorted(read(config).keys()) == sorted(expected)
    assert sum(clock.slept) > 60
    sim.fault("status_503", TRANSACTIONS, times=6)
    assert sorted(read(config).keys()) == sorted(expected)
    assert sum(clock.slept[5:]) > 60


def test_given_a_reset_far_away_when_read_then_it_ends_and_says_until_when(sim, config, read, clock):
    sim.fault("throttled_far", TRANSACTIONS, times=0)
    outcome = read(config)
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "transient_error"
    assert f" UTC, longer than the {SUBJECT.default('longest_wait_seconds')} s a run waits" in outcome.error.message
    assert clock.slept == []


def test_given_a_wait_without_end_when_read_then_it_ends(sim, config, read):
    sim.fault("status", TRANSACTIONS, status=429, times=0, headers={"Retry-After": "999999999999"})
    outcome = read(config)
    assert outcome.error is not None
    assert "999999999999 s" in outcome.error.message
