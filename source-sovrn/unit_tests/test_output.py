"""The console script as a process: order, promptness, and quiet ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import TRANSACTIONS, catalog_of, days_asked, fill

SCRIPT = [sys.executable, "-c", "from source_sovrn.run import run; run()"]
BROKEN = (
    "import source_sovrn.base.entrypoint as s\n"
    "def broken(data, *_): raise RuntimeError(repr(data))\n"
    "s.orjson = type('O', (), {'dumps': staticmethod(broken)})\n"
)


@pytest.fixture
def config(config, sim):
    sim.sovrn.pace(0)
    return {**config, "request_interval_seconds": 0}


def command_line(command: str, config: dict, folder: Path, *streams: str, break_writer: bool = False) -> list[str]:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "catalog.json").write_text(json.dumps(catalog_of(*(streams or ("transactions",)))))
    script = [*SCRIPT[:2], BROKEN + SCRIPT[2]] if break_writer else SCRIPT
    files = {"spec": [], "read": ["--catalog", str(folder / "catalog.json")]}
    config_file = [] if command == "spec" else ["--config", str(folder / "config.json")]
    return [*script, command, *config_file, *files.get(command, [])]


def run_process(command: str, config: dict, folder: Path, *streams: str, break_writer: bool = False):
    arguments = command_line(command, config, folder, *streams, break_writer=break_writer)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_records_come_before_the_state_that_covers_them_and_keep_their_nulls(sim, config, tmp_path):
    fill(sim)
    code, out, err = run_process("read", config, tmp_path)
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
        *command_line("read", {**config, "lookback_days": 0}, tmp_path),
        "--state",
        str(tmp_path / "state.json"),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.count('"type":"RECORD"') == 10
    assert days_asked(sim) == ["2026-01-02", "2026-01-03"]


def test_a_failure_is_one_error_trace_with_its_type(sim, config, tmp_path):
    code, out, err = run_process("read", {**config, "secret_key": "wrong"}, tmp_path)
    errors = [
        message["trace"]["error"]
        for message in map(json.loads, out.splitlines())
        if message["type"] == "TRACE" and message["trace"]["type"] == "ERROR"
    ]
    assert (code, err) == (1, "")
    assert [error["failure_type"] for error in errors] == ["config_error"]
    assert errors[0]["stream_descriptor"]["name"] == "transactions"


def test_records_and_state_leave_before_the_wait_and_sigterm_ends_it(sim, config, tmp_path):
    fill(sim)
    arguments = command_line("read", {**config, "request_interval_seconds": 600}, tmp_path)
    arguments[2] = (
        "import source_sovrn.source as s\n"
        "class Late(s.ReportPace):\n"
        "    def __init__(self, interval): super().__init__(interval); self._asked = self._replied = -1e9\n"
        "s.ReportPace = Late\n" + SCRIPT[2]
    )
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        seen = []
        for line in process.stdout:
            seen.append(json.loads(line))
            if seen[-1]["type"] == "LOG" and "next request in" in seen[-1]["log"]["message"]:
                break
        kinds = [message["type"] for message in seen]
        assert kinds.count("RECORD") == 5
        assert kinds.count("STATE") == 1
        assert seen[-1]["log"]["message"] == "day 1 of 3, 5 rows, next request in 10 min, about 20 min left"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_reader_that_goes_away_ends_the_run_quietly(sim, config, tmp_path):
    fill(sim, days=2, per_day=2000)
    process = subprocess.Popen(
        command_line("read", config, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 1


@pytest.mark.parametrize("wait", [0.05, 0.4, 0.8])
def test_a_run_that_is_killed_and_run_again_gives_the_same_set(wait, sim, config, tmp_path):
    expected = fill(sim, days=9, per_day=4)
    config = {**config, "end_date": "2026-01-09", "lookback_days": 0, "request_interval_seconds": 0.1}
    process = subprocess.Popen(command_line("read", config, tmp_path), stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline()]
    deadline = time.monotonic() + 20
    while not sim.requests(TRANSACTIONS) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(wait)
    process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    first = [json.loads(line) for line in lines if line.endswith("\n")]
    states = [message["state"] for message in first if message["type"] == "STATE"]
    (tmp_path / "state.json").write_text(json.dumps(states[-1:]))
    arguments = [*command_line("read", config, tmp_path), "--state", str(tmp_path / "state.json")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    second = [json.loads(line) for line in done.stdout.splitlines()]
    keys = {m["record"]["data"]["transaction_key"] for m in first + second if m["type"] == "RECORD"}
    assert keys == expected
    again = len(sim.requests(TRANSACTIONS)) - 9
    assert again <= 2  # the day that was open, and the one that the state names


def test_spec_and_discover_print_one_message_of_their_kind(sim, config, tmp_path):
    for command, kind in (("spec", "SPEC"), ("discover", "CATALOG")):
        code, out, err = run_process(command, config, tmp_path)
        kinds = [json.loads(line)["type"] for line in out.splitlines()]
        assert (code, err, kinds.count(kind)) == (0, "", 1)


def test_no_file_of_the_working_directory_is_taken_for_the_manifest(tmp_path):
    (tmp_path / "manifest.yaml").write_text("streams: []")
    done = subprocess.run([*SCRIPT, "spec"], capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=True)
    assert '"SPEC"' in done.stdout


@pytest.mark.parametrize("end", [5, True, ["2026-01-01"]])
def test_an_end_that_is_no_text_is_refused_plainly(end, sim, config, tmp_path):
    code, out, err = run_process("read", {**config, "end_date": end}, tmp_path)
    assert (code, err) == (1, "")
    assert "The configuration is refused: end_date must be" in out
