"""The console script as a process: order of messages, resume, flushing."""

import json
import subprocess
import time

from .conftest import SUBJECT, fill


def test_records_come_before_the_state_that_covers_them_and_keep_their_nulls(sim, config, tmp_path):
    fill(sim)
    code, out, err = SUBJECT.run_process("read", config, tmp_path)
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
        *SUBJECT.command_line("read", {**config, "lookback_hours": 0}, tmp_path),
        "--state",
        str(tmp_path / "state.json"),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.count('"type":"RECORD"') == 5
    assert dict(sim.requests("/api/v3/transactions")[0]["query"])["start_date"] == "2026-01-02T23:59:59"
