"""The console script as a process: order of messages, resume, flushing."""

import json
import subprocess
import time

import pytest

from .conftest import SUBJECT, TRANSACTIONS, fill, requested_days


@pytest.fixture
def config(config, sim):
    sim.sovrn.pace(0)
    return {**config, "request_interval_seconds": 0}


def test_records_come_before_the_state_that_covers_them_and_keep_their_nulls(sim, config, tmp_path):
    fill(sim)
    code, out, err = SUBJECT.run_process("read", config, tmp_path)
    messages = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    kinds = [message["type"] for message in messages if message["type"] in ("RECORD", "STATE")]
    assert kinds == [*["RECORD"] * 5, "STATE"] * 3
    record = next(message["record"] for message in messages if message["type"] == "RECORD")
    assert record["data"]["sovrn_product_code"] is None
    assert abs(record["emitted_at"] / 1000 - time.time()) < 60
    assert record["stream"] == "transactions"


def test_a_saved_state_file_is_resumed_from(sim, config, tmp_path):
    fill(sim)
    state = {"stream_descriptor": {"name": "transactions"}, "stream_state": {"update_date": "2026-01-02"}}
    (tmp_path / "state.json").write_text(json.dumps([{"type": "STREAM", "stream": state}]))
    arguments = [
        *SUBJECT.command_line("read", {**config, "lookback_days": 0}, tmp_path),
        "--state",
        str(tmp_path / "state.json"),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.count('"type":"RECORD"') == 10
    assert requested_days(sim) == ["2026-01-02", "2026-01-03"]


def test_records_and_state_are_flushed_before_the_wait_and_sigterm_ends_it(sim, config, tmp_path):
    fill(sim)
    late = (
        "import source_sovrn.source as s\n"
        "class Late(s.MinIntervalLimiter):\n"
        "    def __init__(self, interval):\n"
        "        super().__init__(interval); self._last_request = self._last_response = -1e9\n"
        "s.MinIntervalLimiter = Late\n"
    )
    slow = {**config, "request_interval_seconds": 600}
    seen = SUBJECT.interrupted_read(SUBJECT.command_line("read", slow, tmp_path, prelude=late), "next request in")
    kinds = [message["type"] for message in seen]
    assert kinds.count("RECORD") == 5
    assert kinds.count("STATE") == 1
    assert seen[-1]["log"]["message"] == "day 1 of 3, 5 rows, next request in 10 min, about 20 min left"


@pytest.mark.parametrize("wait", [0.05, 0.4, 0.8])
def test_a_run_that_is_killed_and_run_again_gives_the_same_set(wait, sim, config, tmp_path):
    expected = fill(sim, days=9, per_day=4)
    config = {**config, "end_date": "2026-01-09", "lookback_days": 0, "request_interval_seconds": 0.1}
    messages = SUBJECT.killed_and_resumed(sim, config, tmp_path, TRANSACTIONS, wait)
    keys = {m["record"]["data"]["transaction_key"] for m in messages if m["type"] == "RECORD"}
    assert keys == expected
    again = len(sim.requests(TRANSACTIONS)) - 9
    assert again <= 2  # the day that was being read, and the day of the state


@pytest.mark.parametrize("end", [5, True, ["2026-01-01"]])
def test_an_end_that_is_not_text_is_refused_plainly(end, sim, config, tmp_path):
    code, out, err = SUBJECT.run_process("read", {**config, "end_date": end}, tmp_path)
    assert (code, err) == (1, "")
    assert "Invalid configuration: end_date must be" in out
