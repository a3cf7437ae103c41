"""A wrong clock on this machine loses no rows, and the log warns of it. Each source runs as its own process."""

import json
import re
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from source_wecantrack.base import rate_limit, vendor_clock

from .conftest import SUBJECT, SUBJECTS
from .test_http import Server

#: Moves the clock of the process, also that of the manifest's `now_utc`.
SKEW = """
import time
from datetime import datetime, timezone
from airbyte_cdk.sources.declarative.interpolation.jinja import _ENVIRONMENT
real = time.time
time.time = lambda: real() + ({})
moved = lambda: datetime.fromtimestamp(time.time(), timezone.utc)
_ENVIRONMENT.globals["now_utc"] = moved
"""
EMPTY = {
    "SourceWecantrack": {"current_page": 1, "last_page": 1, "per_page": 1000, "total": 0, "data": []},
    "SourceSovrn": {"transactions": [], "campaigns": []},
    "SourceWickedReports": {"status": "success", "page": 1, "totalPages": 0, "total": 0, "results": []},
}


@pytest.fixture
def server():
    opened = Server()
    yield opened
    opened.close()


def answer(body, date=None, status=200, headers=None):
    def respond(handler):
        text = json.dumps(body).encode()
        handler.send_response_only(status)
        handler.send_header("Date", format_datetime(date or datetime.now(timezone.utc), usegmt=True))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    return respond


def run(subject, server, folder, hours, start_days_ago, state=None):
    start = (datetime.now(timezone.utc) - timedelta(days=start_days_ago)).strftime("%Y-%m-%d")
    config = {"api_key": "right-key", "secret_key": "right-key", "start_date": start, "api_url": server.url}
    config |= {"request_interval_seconds": 0, "lookback_hours": 0, "lookback_days": 0}
    code, out, err = subject.run_process("read", config, folder, prelude=SKEW.format(hours * 3600))
    assert (code, err) == (0, "")
    messages = [json.loads(line) for line in out.splitlines()]
    states = [m["state"]["stream"]["stream_state"] for m in messages if m["type"] == "STATE"]
    logs = [m["log"]["message"] for m in messages if m["type"] == "LOG" and m["log"]["level"] == "WARN"]
    return states, [line for line in logs if "clock" in line]


@pytest.mark.unjudged_output("its clock is wrong, and so are its times")
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.source.__name__)
def test_a_clock_that_is_ahead_moves_no_state_past_the_vendors_time(subject, server, tmp_path):
    server.answer = answer(EMPTY[subject.source.__name__])
    states, warnings = run(subject, server, tmp_path, hours=48, start_days_ago=2)
    (reached,) = states[-1].values()
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    assert reached <= now
    assert reached[:10] >= (datetime.now(timezone.utc) - timedelta(minutes=5)).isoformat()[:10]
    assert len(warnings) == 1
    assert re.match(r"This machine's clock is (2 days|48 h 0 min) ahead of the vendor's\. ", warnings[0])


@pytest.mark.unjudged_output("its clock is wrong, and so are its times")
@pytest.mark.parametrize("subject", SUBJECTS[:2], ids=lambda subject: subject.source.__name__)
def test_a_clock_that_is_behind_is_reported_and_reads_up_to_its_own_time(subject, server, tmp_path):
    server.answer = answer(EMPTY[subject.source.__name__])
    states, warnings = run(subject, server, tmp_path, hours=-30, start_days_ago=4)
    (reached,) = states[-1].values()
    assert reached[:10] == (datetime.now(timezone.utc) - timedelta(hours=30, seconds=60)).isoformat()[:10]
    assert len(warnings) == 1
    assert warnings[0].startswith("This machine's clock is 30 h 0 min behind the vendor's.")


def test_a_clock_that_is_right_changes_nothing_and_says_nothing(server, tmp_path):
    server.answer = answer(EMPTY["SourceWecantrack"])
    before = datetime.now(timezone.utc)
    states, warnings = run(SUBJECT, server, tmp_path, hours=0, start_days_ago=1)
    reached = datetime.fromisoformat(states[-1]["last_wct_update"]).replace(tzinfo=timezone.utc)
    assert before - timedelta(seconds=62) <= reached <= datetime.now(timezone.utc) - timedelta(seconds=59)
    assert warnings == []


class Fixed:
    """A clock that stands still."""

    def now(self):
        return 1_790_000_000.0


@pytest.fixture
def observed(monkeypatch, caplog):
    monkeypatch.undo()  # the fixture `clock` makes `observe` do nothing
    monkeypatch.setattr(rate_limit, "CLOCK", Fixed())

    def observe(*dates, is_answer=True, **headers):
        clock = vendor_clock.VendorClock()
        for date in dates:
            text = date
            if isinstance(date, (int, float)):
                text = format_datetime(datetime.fromtimestamp(Fixed().now() + date, timezone.utc), usegmt=True)
            clock.observe({"Date": text, **headers}, is_answer=is_answer)
        now = datetime.fromtimestamp(Fixed().now(), timezone.utc)
        bound = clock.bound(now)
        return None if bound is None else round((bound - now).total_seconds())

    return observe


@pytest.mark.parametrize(("dates", "bound"), [((-3600,), -3600), ((-3600, 0), -3600), ((0, -90), -90), ((-5,), None)])
def test_the_farthest_difference_of_a_run_bounds_the_state(dates, bound, observed):
    assert observed(*dates) == bound


@pytest.mark.parametrize("date", ["", "soon", "Wed, 99 Foo 2026 10:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", 3600])
def test_a_date_that_is_unusable_or_later_bounds_nothing(date, observed):
    assert observed(date) is None


def test_an_error_and_a_stored_response_bound_nothing(observed):
    assert observed(-3600, is_answer=False) is None
    assert observed(-3600, Age="3600") is None
    assert observed(-3600, Age="0") == -3600


@pytest.mark.parametrize(("difference", "warns"), [(-119, 0), (-121, 1), (121, 1), (-86_400 * 400, 1)])
def test_a_difference_of_minutes_is_reported_once(difference, warns, observed, caplog):
    observed(difference, difference)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warns


@pytest.mark.unjudged_output("its clock is wrong, and so are its times")
def test_a_retry_after_date_is_read_by_the_vendors_clock(server, tmp_path):
    """The machine is two days behind; the date is 2 s after the response."""
    seen = []

    def respond(handler):
        seen.append(time.monotonic())
        now = datetime.now(timezone.utc)
        if len(seen) == 1:
            later = {"Retry-After": format_datetime(now + timedelta(seconds=2), usegmt=True)}
            return answer({}, date=now, status=503, headers=later)(handler)
        return answer(EMPTY["SourceWecantrack"])(handler)

    server.answer = respond
    run(SUBJECT, server, tmp_path, hours=-48, start_days_ago=2)
    assert 1.0 <= seen[1] - seen[0] < 60


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.source.__name__)
@pytest.mark.parametrize("status", [403, 429, 503])
def test_every_source_waits_as_a_refusal_asks_and_says_how_long(status, subject, server, tmp_path):
    def respond(handler):
        now = datetime.now(timezone.utc)
        if len(server.requests) == 1:
            later = {"Retry-After": format_datetime(now + timedelta(seconds=2), usegmt=True)}
            return answer({"message": "later"}, date=now, status=status, headers=later)(handler)
        return answer(EMPTY[subject.source.__name__])(handler)

    server.answer = respond
    config = {"api_key": "right-key", "secret_key": "right-key", "start_date": "2026-01-01", "end_date": "2026-01-01"}
    config |= {"api_url": server.url, "request_interval_seconds": 0}
    code, out, err = subject.run_process("read", config, tmp_path)
    assert (code, err) == (0, "")
    assert re.search(rf"Waiting [12]\.\d s: HTTP {status}; then attempt 2 of ", out)
