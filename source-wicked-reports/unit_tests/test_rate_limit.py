"""The rate limit over all streams and runs: never exceeded at the server, and nearly used up."""

import logging
import re
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_wicked_reports.base import rate_limit
from source_wicked_reports.base.sliding_window import SlidingWindowLimiter, reset_time

from integration_tests.support.source_fixtures import FakeClock

from .conftest import LISTS, SUBJECT, fill

#: Default requests per minute.
LIMIT = SUBJECT.default("requests_per_minute")
HEADERS = ["unix", "seconds_left", "http_date", "iso_date", "missing"]
WINDOWS = ["fixed", "clock_minute", "sliding"]


@pytest.mark.parametrize("window", WINDOWS)
def test_the_server_receives_at_most_the_limit_per_minute_and_nearly_that_many(window, sim, config, read, clock):
    fill(sim, contacts=130, orders=130, clicks=130)
    sim.switch("outbound.throttle_window", window)
    begun = clock.time
    outcome = read({**config, "page_size": 1}, *LISTS)
    pace = sim.outbound.pace()
    assert outcome.error is None
    assert (pace["refused"], pace["busiest_minute"]) == (0, LIMIT)
    assert pace["served"] >= 0.95 * LIMIT / 60 * (clock.time - begun)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("window", WINDOWS)
def test_what_another_run_has_spent_is_left_alone(window, header, sim, config, read):
    fill(sim, orders=100)
    sim.switch("outbound.throttle_window", window)
    sim.switch("outbound.reset_header", header)
    for _ in range(2):  # the second run starts in the same minute
        assert read({**config, "page_size": 1}).error is None
    assert sim.outbound.pace()["refused"] == 0
    assert sim.outbound.pace()["busiest_minute"] <= LIMIT


def test_a_lower_limit_in_the_headers_is_obeyed_and_a_higher_one_is_not(sim, config, read):
    fill(sim, orders=100)
    sim.outbound.pace(30)
    assert read({**config, "page_size": 1}).error is None
    assert sim.outbound.pace()["busiest_minute"] == 30
    sim.move_clock(seconds=600)
    sim.outbound.pace(240)
    assert read({**config, "page_size": 1, "requests_per_minute": 50}).error is None
    assert sim.outbound.pace()["busiest_minute"] == 50


@pytest.mark.parametrize("header", HEADERS)
def test_a_429_is_waited_for_as_its_header_says(header, sim, config, read, clock):
    fill(sim)
    at = {
        "unix": str(int(clock.time) + 40),
        "seconds_left": "40",
        "http_date": "Sun, 01 Feb 2026 12:00:40 GMT",
        "iso_date": "2026-02-01T12:00:40Z",
    }
    headers = {"x-ratelimit-reset": at[header]} if header in at else {}
    sim.fault("status", "/orders", status=429, headers=headers, times=1)
    assert read(config).error is None
    assert clock.slept == [41.0 if headers else 5.0]


def test_a_wait_of_a_year_ends_the_run(sim, config, read):
    sim.fault("status", "/orders", status=429, headers={"x-ratelimit-reset": "Mon, 01 Feb 2027 12:00:00 GMT"}, times=0)
    error = read(config).error
    assert "until 2027-02-01" in error.message
    assert error.failure_type.value == "transient_error"


def test_a_wait_is_logged_with_what_is_read_and_how_long_it_takes(sim, config, read, caplog):
    fill(sim, orders=130)
    with caplog.at_level("INFO"):
        read({**config, "page_size": 1})
    (line,) = [record.getMessage() for record in caplog.records if "rate limit" in record.getMessage()]
    assert line.startswith(f"Waiting 61.0 s: rate limit of {LIMIT} requests in 60 s reached; orders: window ")


@settings(max_examples=200, deadline=None)
@given(
    limit=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 40, allow_nan=False), min_size=1, max_size=120),
    delays=st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=7),
)
def test_no_60_seconds_hold_more_requests_than_the_limit_however_slow_the_network_is(limit, pauses, delays):
    clock, before = FakeClock(), rate_limit.CLOCK
    rate_limit.CLOCK = clock
    try:
        limiter, arrived = SlidingWindowLimiter(limit), []
        for n, pause in enumerate(pauses):
            clock.time += pause
            limiter.acquire()
            clock.time += delays[n % len(delays)]
            arrived.append(clock.time)  # at the latest when its response begins
            clock.time += delays[-1]
            limiter.update({})
    finally:
        rate_limit.CLOCK = before
    assert all(later - earlier > 60 for earlier, later in zip(arrived, arrived[limit:], strict=False))


def test_a_request_without_a_response_counts_from_its_timeout(clock):
    limiter = SlidingWindowLimiter(1)
    limiter.acquire()
    clock.time += 30
    limiter.acquire()
    assert clock.slept == [61.0]


def test_a_clock_that_goes_back_costs_one_minute_at_most(clock):
    limiter = SlidingWindowLimiter(1)
    limiter.acquire()
    limiter.update({})
    clock.time -= 86400
    limiter.acquire()
    assert clock.slept == [61.0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1769947240", 40),
        ("1769947240000", 40),
        ("40", 40),
        ("39.5", 39.5),
        ("0", 0),
        ("Sun, 01 Feb 2026 12:00:40 GMT", 40),
        ("2026-02-01T12:00:40Z", 40),
        ("2026-02-01T13:00:40.000+01:00", 40),
        ("2026-02-01 12:00:40", 40),
        ("soon", None),
        ("", None),
        (None, None),
        ("-5", None),
    ],
)
def test_the_time_of_the_reset_is_understood_in_every_form(text, seconds, clock):
    found = reset_time(text, clock.time)
    assert found == (None if seconds is None else clock.time + seconds)


def test_in_real_time_a_process_keeps_its_rate_limit_over_all_streams(sim, config, tmp_path):
    fill(sim)
    sim.set_clock("2026-02-01T12:00:00Z", frozen=False)
    sim.outbound.pace(0)
    script = "import source_wicked_reports.base.sliding_window as b\nb.WINDOW_MARGIN = 0.05\n"
    script += "import source_wicked_reports.source as s\nfull = s.SlidingWindowLimiter\n"
    script += "s.SlidingWindowLimiter = lambda limit: full(limit, 1.0)\n"
    config = {**config, "page_size": 10, "requests_per_minute": 6}
    arguments = SUBJECT.command_line("read", config, tmp_path, *LISTS, prelude=script)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    moments = [entry["monotonic"] for entry in sim.requests()]
    assert len(moments) > 15
    assert all(later - earlier >= 1.0 for earlier, later in zip(moments, moments[6:], strict=False))
    assert all(later >= earlier for earlier, later in pairwise(moments))


def test_progress_has_the_time_left_at_the_rate_limit_and_an_estimate(sim, config, read, clock, monkeypatch, caplog):
    fill(sim, start="2025-11-01", days=80)
    caplog.set_level(logging.INFO, logger="airbyte")
    report = SUBJECT.source.progress

    def slow(self, *arguments):
        clock.time += 15
        return report(self, *arguments)

    monkeypatch.setattr(SUBJECT.source, "progress", slow)
    outcome = read({**config, "start_date": "2025-11-01"})
    lines = [record.getMessage() for record in caplog.records if " so far, about " in record.getMessage()]
    assert lines
    assert all(re.fullmatch(r"orders: window \d of \d, [\d,]+ rows so far, about (\d+) s left", line) for line in lines)
    assert len(outcome.estimates()) == len(lines)
