"""The console script as a process: order, promptness, and quiet ends."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import catalog_of, fill

SCRIPT = [sys.executable, "-c", "from source_wecantrack.run import run; run()"]
BROKEN = (
    "import source_wecantrack.base.entrypoint as s\n"
    "def broken(data, *_): raise RuntimeError(repr(data))\n"
    "s.orjson = type('O', (), {'dumps': staticmethod(broken)})\n"
)


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
    assert record["data"]["decline_reason"] is None
    assert abs(record["emitted_at"] / 1000 - time.time()) < 60
    assert record["stream"] == "transactions"


def test_a_saved_state_file_is_resumed_from(sim, config, tmp_path):
    fill(sim)
    state = {"stream_descriptor": {"name": "transactions"}, "stream_state": {"last_wct_update": "2026-01-02T23:59:59"}}
    (tmp_path / "state.json").write_text(json.dumps([{"type": "STREAM", "stream": state}]))
    arguments = [
        *command_line("read", {**config, "lookback_hours": 0}, tmp_path),
        "--state",
        str(tmp_path / "state.json"),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.count('"type":"RECORD"') == 5
    assert dict(sim.requests("/api/v3/transactions")[0]["query"])["start_date"] == "2026-01-02T23:59:59"


def test_a_failure_is_one_error_trace_with_its_type(sim, config, tmp_path):
    code, out, err = run_process("read", {**config, "api_key": "wrong"}, tmp_path)
    errors = [
        message["trace"]["error"]
        for message in map(json.loads, out.splitlines())
        if message["type"] == "TRACE" and message["trace"]["type"] == "ERROR"
    ]
    assert (code, err) == (1, "")
    assert [error["failure_type"] for error in errors] == ["config_error"]
    assert errors[0]["stream_descriptor"]["name"] == "transactions"


@pytest.mark.parametrize("shared", [{}, {"cursor": 1}])
def test_a_state_that_all_streams_share_is_a_config_error(shared, sim, config, tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps([{"type": "GLOBAL", "global": {"shared_state": shared, "stream_states": []}}]))
    arguments = [*command_line("read", config, tmp_path), "--state", str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert '"failure_type":"config_error"' in done.stdout
    assert "or leave --state out to start over" in done.stdout
    assert sim.requests() == []


@pytest.mark.parametrize("content", ["{", "[]"])
def test_an_unreadable_config_file_is_a_config_error(content, sim, config, tmp_path):
    arguments = command_line("read", config, tmp_path)
    (tmp_path / "config.json").write_text(content)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert '"failure_type":"config_error"' in done.stdout
    assert done.stderr == ""


def test_what_was_read_leaves_before_a_wait(sim, config, tmp_path):
    fill(sim)
    sim.fault("throttled", "/api/v3/transactions", nth=2, times=0, seconds=600)
    process = subprocess.Popen(command_line("read", config, tmp_path), stdout=subprocess.PIPE, text=True)
    try:
        seen = []
        for line in process.stdout:
            seen.append(json.loads(line))
            if seen[-1]["type"] == "LOG" and "Waiting" in seen[-1]["log"]["message"]:
                break
        assert [message["type"] for message in seen].count("RECORD") == 5
        assert [message["type"] for message in seen].count("STATE") == 1
        assert "Waiting 600.0 s: the API answered 429" in seen[-1]["log"]["message"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_reader_that_goes_away_ends_the_run_quietly(sim, config, tmp_path):
    fill(sim, days=3, per_day=2000)
    process = subprocess.Popen(
        command_line("read", config, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 1


@pytest.mark.unjudged_output("it has nowhere to go")
@pytest.mark.parametrize(("to", "reason"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")])
@pytest.mark.parametrize("command", ["read", "check", "spec"])
def test_an_output_that_cannot_be_written_ends_the_run_without_a_traceback(command, to, reason, sim, config, tmp_path):
    fill(sim)
    line = f"{shlex.join(command_line(command, config, tmp_path))} {to}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, f"The standard output cannot be written: {reason}.\n")


def test_a_slow_reader_slows_the_run_instead_of_filling_memory(sim, config, tmp_path):
    fill(sim, days=3, per_day=2000)
    process = subprocess.Popen(command_line("read", config, tmp_path), stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while not sim.requests("/api/v3/transactions") and time.monotonic() < deadline:
            time.sleep(0.05)
        before = -1
        while (asked := len(sim.requests("/api/v3/transactions"))) != before:
            before = asked
            time.sleep(0.5)
        assert asked < 6  # 3 days of 2 pages: it stands still with the pipe full
        lines = process.stdout.read().count(b'"type":"RECORD"')
        assert lines == 6000
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_spec_and_discover_print_one_message_of_their_kind(sim, config, tmp_path):
    for command, kind in (("spec", "SPEC"), ("discover", "CATALOG")):
        code, out, err = run_process(command, config, tmp_path)
        kinds = [json.loads(line)["type"] for line in out.splitlines()]
        assert (code, err, kinds.count(kind)) == (0, "", 1)


def test_no_file_of_the_working_directory_is_taken_for_the_manifest(tmp_path):
    (tmp_path / "manifest.yaml").write_text("streams: []")
    done = subprocess.run([*SCRIPT, "spec"], capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=True)
    assert '"SPEC"' in done.stdout
