"""Limits are obeyed before they bite, every wait is announced, and none is endless."""

import pytest
from source_wecantrack.base import rate_limit
from source_wecantrack.base.rate_limit import FixedWindowLimiter, asked_wait, natural, wait

from .conftest import fill

TRANSACTIONS = "/api/v3/transactions"


def waits(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("Waiting")]


def test_without_headers_thirty_requests_go_out_and_the_next_waits_for_the_window(clock):
    budget = FixedWindowLimiter(30)
    for _ in range(30):
        budget.take()
    clock.time += 10
    assert clock.slept == []
    budget.take()
    assert clock.slept == [51.0]


def test_a_window_that_went_by_costs_no_wait(clock):
    budget = FixedWindowLimiter(30)
    for _ in range(95):
        budget.take()
        clock.time += 2.2
    assert clock.slept == []


def test_headers_replace_the_declared_limit(clock):
    budget = FixedWindowLimiter(30)
    for remaining in range(99, -1, -1):
        budget.take()
        budget.learn({"x-ratelimit-limit": "100", "x-ratelimit-remaining": str(remaining)})
    assert clock.slept == []
    budget.take()
    assert clock.slept == [61.0]


def test_requests_of_others_count_when_the_headers_tell_of_them(clock):
    budget = FixedWindowLimiter(30)
    budget.take()
    budget.learn({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0"})
    budget.take()
    assert clock.slept == [61.0]


def test_a_count_that_falls_opens_a_new_window(clock):
    budget = FixedWindowLimiter(30)
    budget.take()
    budget.learn({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "1"})
    clock.time += 40
    budget.take()
    budget.learn({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "59"})
    clock.time += 10
    budget.learn({"x-ratelimit-remaining": "0"})
    budget.take()
    assert clock.slept == [51.0]


@pytest.mark.parametrize("text", ["abc", "2026-01-01T00:00:00Z", "-5", "1.5", "", "1769904000000", "9" * 30])
def test_header_garbage_changes_nothing(text, clock):
    budget = FixedWindowLimiter(2)
    for _ in range(2):
        budget.take()
        budget.learn({"x-ratelimit-limit": text, "x-ratelimit-remaining": text})
    budget.take()
    assert clock.slept == [61.0]


def test_a_budget_may_start_spent_and_deaf_to_headers(clock):
    budget = FixedWindowLimiter(1, 61, spent=1, obey_headers=False)
    budget.learn({"x-ratelimit-remaining": "50"})
    budget.take()
    assert clock.slept == [62.0]


def test_natural_reads_plain_numbers_only():
    assert [natural(text) for text in ("7", " 7 ", None, "", "-7", "7.0", "\u0667", "0x7")] == [7, 7, *[None] * 6]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "0"}, 1.0),
        ({"Retry-After": "17", "x-ratelimit-reset": "1000099"}, 17.0),
        ({"x-ratelimit-reset": "1000030"}, 31.0),
        ({"Retry-After": "soon", "x-ratelimit-reset": "1000030"}, 31.0),
        ({"x-ratelimit-reset": "999999"}, None),
        ({"x-ratelimit-reset": "-3"}, None),
        ({"x-ratelimit-reset": "2026-01-01T00:00:00Z"}, None),
        ({"x-ratelimit-reset": "abc"}, None),
        ({}, None),
    ],
)
def test_a_throttle_is_waited_for_as_it_asks(headers, seconds):
    assert asked_wait(headers, 1_000_000.0) == seconds


def test_a_reset_in_milliseconds_is_understood():
    assert asked_wait({"x-ratelimit-reset": "1769904030000"}, 1_769_904_000.0) == 31.0


def test_every_wait_is_announced_and_output_leaves_before_it(clock, caplog, monkeypatch):
    happened = []
    monkeypatch.setattr(rate_limit.sys.stdout, "flush", lambda: happened.append(("flush", len(waits(caplog)))))
    monkeypatch.setattr(clock, "sleep", lambda seconds: happened.append(("sleep", seconds)))
    wait(3, "a reason")
    wait(0, "no reason")
    assert waits(caplog) == ["Waiting 3.0 s: a reason"]
    assert happened[-2:] == [("flush", 1), ("sleep", 3)]


def test_given_a_limit_of_ten_a_minute_when_read_then_no_request_is_refused(sim, config, read, clock, caplog):
    expected = fill(sim, days=3, per_day=40)
    sim.throttle(10)
    outcome = read({**config, "page_size": 5})
    assert sorted(outcome.keys()) == sorted(expected)
    assert {request["status"] for request in sim.requests(TRANSACTIONS)} == {200}
    assert len(waits(caplog)) == len(clock.slept) == 2
    assert "the budget of 10 requests in 60 s is used up" in waits(caplog)[0]


def test_given_a_throttle_that_others_used_up_when_read_then_it_waits_as_asked(sim, config, read, clock):
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
    monkeypatch.setattr(FixedWindowLimiter, "learn", lambda *_: None)  # so that the throttle is met
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
    assert " UTC, longer than the 900 s a run waits" in outcome.error.message
    assert clock.slept == []


def test_given_a_wait_without_end_when_read_then_it_ends(sim, config, read):
    sim.fault("status", TRANSACTIONS, status=429, times=0, headers={"Retry-After": "999999999999"})
    outcome = read(config)
    assert outcome.error is not None
    assert "999999999999 s" in outcome.error.message
