"""The fixed-window limiter, the waits that headers request, and what happens before a wait."""

import pytest
from source_wecantrack.base import rate_limit
from source_wecantrack.base.rate_limit import FixedWindowLimiter, parse_natural, requested_wait, wait


def waits(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("Waiting")]


def test_without_headers_thirty_requests_go_out_and_the_next_waits_for_the_window(clock):
    limiter = FixedWindowLimiter(30)
    for _ in range(30):
        limiter.acquire()
    clock.time += 10
    assert clock.slept == []
    limiter.acquire()
    assert clock.slept == [51.0]


def test_a_window_that_passed_costs_no_wait(clock):
    limiter = FixedWindowLimiter(30)
    for _ in range(95):
        limiter.acquire()
        clock.time += 2.2
    assert clock.slept == []


def test_headers_replace_the_declared_limit(clock):
    limiter = FixedWindowLimiter(30)
    for remaining in range(99, -1, -1):
        limiter.acquire()
        limiter.update({"x-ratelimit-limit": "100", "x-ratelimit-remaining": str(remaining)})
    assert clock.slept == []
    limiter.acquire()
    assert clock.slept == [61.0]


def test_requests_of_others_count_when_the_headers_reveal_them(clock):
    limiter = FixedWindowLimiter(30)
    limiter.acquire()
    limiter.update({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0"})
    limiter.acquire()
    assert clock.slept == [61.0]


def test_a_count_that_falls_opens_a_new_window(clock):
    limiter = FixedWindowLimiter(30)
    limiter.acquire()
    limiter.update({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "1"})
    clock.time += 40
    limiter.acquire()
    limiter.update({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "59"})
    clock.time += 10
    limiter.update({"x-ratelimit-remaining": "0"})
    limiter.acquire()
    assert clock.slept == [51.0]


@pytest.mark.parametrize("text", ["abc", "2026-01-01T00:00:00Z", "-5", "1.5", "", "1769904000000", "9" * 30])
def test_header_garbage_changes_nothing(text, clock):
    limiter = FixedWindowLimiter(2)
    for _ in range(2):
        limiter.acquire()
        limiter.update({"x-ratelimit-limit": text, "x-ratelimit-remaining": text})
    limiter.acquire()
    assert clock.slept == [61.0]


def test_a_limiter_may_start_used_and_ignore_headers(clock):
    limiter = FixedWindowLimiter(1, 61, used=1, obey_headers=False)
    limiter.update({"x-ratelimit-remaining": "50"})
    limiter.acquire()
    assert clock.slept == [62.0]


def test_parse_natural_reads_plain_numbers_only():
    assert [parse_natural(text) for text in ("7", " 7 ", None, "", "-7", "7.0", "\u0667", "0x7")] == [7, 7, *[None] * 6]


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
def test_a_throttle_is_waited_for_as_requested(headers, seconds):
    assert requested_wait(headers, 1_000_000.0) == seconds


def test_a_reset_in_milliseconds_is_understood():
    assert requested_wait({"x-ratelimit-reset": "1769904030000"}, 1_769_904_000.0) == 31.0


def test_every_wait_is_logged_and_output_is_flushed_before_it(clock, caplog, monkeypatch):
    happened = []
    monkeypatch.setattr(rate_limit.sys.stdout, "flush", lambda: happened.append(("flush", len(waits(caplog)))))
    monkeypatch.setattr(clock, "sleep", lambda seconds: happened.append(("sleep", seconds)))
    wait(3, "a reason")
    wait(0, "no reason")
    assert waits(caplog) == ["Waiting 3.0 s: a reason"]
    assert happened[-2:] == [("flush", 1), ("sleep", 3)]
