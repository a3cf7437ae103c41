"""States that are not used or make a refresh incomplete, a start in the future, and progress with the time left."""

import json
import logging
import subprocess

import pytest
from source_wecantrack.base.source import PROGRESS_SECONDS

from .conftest import SUBJECT, SUBJECTS, fill

STATE = {"last_wct_update": "2026-01-02T23:59:59"}
CONFIG = {
    "SourceWecantrack": {"api_key": "right-key"},
    "SourceSovrn": {"secret_key": "right-key", "request_interval_seconds": 0},
    "SourceWickedReports": {"api_key": "right-key"},
}


def saved(name="transactions", state=STATE, **more):
    return {"type": "STREAM", "stream": {"stream_descriptor": {"name": name, **more}, "stream_state": state}}


def warnings(out):
    logs = [m["log"] for m in map(json.loads, out.splitlines()) if m["type"] == "LOG"]
    return [log["message"] for log in logs if log["level"] == "WARN"]


@pytest.fixture
def run(sim, config, tmp_path):
    """Read as a process with a state; return the warnings and the number of records."""
    fill(sim)

    def read(states, mode="incremental"):
        line = SUBJECT.command_line("read", {**config, "lookback_hours": 0}, tmp_path)
        text = (tmp_path / "catalog.json").read_text()
        (tmp_path / "catalog.json").write_text(text.replace('"sync_mode": "incremental"', f'"sync_mode": "{mode}"'))
        (tmp_path / "state.json").write_text(json.dumps(states))
        code, out, err = run_line([*line, "--state", str(tmp_path / "state.json")])
        assert (code, err) == (0, "")
        return warnings(out), out.count('"type":"RECORD"')

    return read


def run_line(line):
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_a_full_refresh_with_a_state_says_that_it_is_incomplete(run):
    (warning,), records = run([saved()], mode="full_refresh")
    assert warning.startswith("Stream transactions is configured as full_refresh, but a state is given: only what is ")
    assert warning.endswith("To read everything from start_date, omit the state.")
    assert records == 5


def test_a_state_that_is_used_needs_no_warning(run):
    assert run([saved()]) == ([], 5)
    assert run([saved(namespace="")]) == ([], 5)


@pytest.mark.parametrize(
    "states",
    [
        [saved(state={"order_date": "2026-01-02T23:59:59"})],
        [saved(state={})],
        [saved(name="networks", state={})],
    ],
)
def test_a_state_without_the_streams_cursor_is_named_with_the_remedy(states, run):
    (warning,), records = run(states)
    assert warning.startswith("The state has no last_wct_update for stream transactions, so the stream is read from ")
    assert "pass the last state of every stream" in warning
    assert records == 15


@pytest.mark.parametrize("state", [saved(name="Transactions"), saved(namespace="other"), saved(name="orders")])
def test_a_state_of_an_unknown_stream_is_named(state, run):
    lines, records = run([state])
    assert records == 15
    unknown = [line for line in lines if "is not used: this source has no stream of this name." in line]
    assert len(unknown) == 1
    assert ("Did you mean transactions?" in unknown[0]) == ("orders" not in unknown[0])


def test_no_state_needs_no_warning(run):
    assert run([]) == ([], 15)


def test_a_catalog_that_selects_nothing_is_reported(sim, config, tmp_path):
    line = SUBJECT.command_line("read", config, tmp_path)
    (tmp_path / "catalog.json").write_text('{"streams": []}')
    code, out, _ = run_line(line)
    assert (code, warnings(out)) == (0, ["The catalog selects no stream, so nothing is read. Select streams in it."])


def test_a_stream_that_is_selected_twice_is_refused(sim, config, tmp_path):
    line = SUBJECT.command_line("read", config, tmp_path, "transactions", "networks", "transactions")
    code, out, _ = run_line(line)
    assert code == 1
    assert "The catalog selects transactions more than once. Select each stream once." in out
    assert sim.requests() == []


@pytest.mark.parametrize(
    ("selected", "hint"), [("Transactions", "Did you mean transactions?"), ("network-accounts", "network_accounts?")]
)
def test_an_unknown_stream_gets_a_suggestion(selected, hint, config, tmp_path):
    line = SUBJECT.command_line("read", config, tmp_path)
    text = (tmp_path / "catalog.json").read_text()
    (tmp_path / "catalog.json").write_text(text.replace("transactions", selected))
    code, out, _ = run_line(line)
    assert code == 1
    assert f"The catalog selects {selected}, which this source does not have. Did you mean " in out
    assert hint in out


@pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)
@pytest.mark.parametrize("command", ["check", "read"])
def test_a_start_in_the_future_is_a_warning(command, subject_, tmp_path):
    config = {**CONFIG[subject_.source.__name__], "start_date": "2999-01-01", "api_url": "http://127.0.0.1:1"}
    _, out, err = subject_.run_process(command, {**config, "max_tries": 1}, tmp_path)
    assert err == ""
    future = [line for line in warnings(out) if "start_date is in the future" in line]
    assert future == ["start_date is in the future: there is nothing to read yet. Correct it if it is wrong."]


def test_progress_has_the_time_left_and_an_estimate(sim, config, read, clock, monkeypatch, caplog):
    fill(sim, days=3, per_day=5)
    caplog.set_level(logging.INFO, logger="airbyte")
    fetch = SUBJECT.source.progress

    def slow(self, *arguments):
        clock.time += PROGRESS_SECONDS
        return fetch(self, *arguments)

    monkeypatch.setattr(SUBJECT.source, "progress", slow)
    outcome = read(config)
    lines = [record.getMessage() for record in caplog.records if "left" in record.getMessage()]
    assert lines == [
        "transactions: day 1 of 3, 5 rows so far, about 20 s left",
        "transactions: day 2 of 3, 10 rows so far, about 10 s left",
    ]
    assert outcome.estimates() == [15, 15]


def test_a_short_read_has_no_progress(sim, config, read, caplog):
    fill(sim)
    caplog.set_level(logging.INFO, logger="airbyte")
    assert read(config).estimates() == []
    assert "left" not in caplog.text
