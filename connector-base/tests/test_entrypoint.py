"""The console script as a process: output, exit codes, unusable files. wecantrack's source is the example."""

import json
import os
import shlex
import signal
import socket
import subprocess
import time

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_wecantrack import SourceWecantrack
from source_wecantrack.base.entrypoint import _Entrypoint

from integration_tests.support.source_fixtures import LOGGER

from .conftest import SUBJECT, SUBJECTS, fill

PERSON = "jane.doe@example.com"
#: Makes the writer of records fail with the record as its message.
BROKEN_WRITER = (
    "import source_wecantrack.base.entrypoint as s\n"
    "def broken(data, *_): raise RuntimeError(repr(data))\n"
    "s.orjson = type('O', (), {'dumps': staticmethod(broken)})\n"
)


def spec():
    return SourceWecantrack().spec(LOGGER)


def test_a_failure_is_one_error_trace_with_its_type(sim, config, tmp_path):
    code, out, err = SUBJECT.run_process("read", {**config, "api_key": "wrong"}, tmp_path)
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
    arguments = [*SUBJECT.command_line("read", config, tmp_path), "--state", str(path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert '"failure_type":"config_error"' in done.stdout
    assert "or omit --state to start over" in done.stdout
    assert sim.requests() == []


@pytest.mark.parametrize("content", ["{", "[]"])
def test_an_unreadable_config_file_is_a_config_error(content, sim, config, tmp_path):
    arguments = SUBJECT.command_line("read", config, tmp_path)
    (tmp_path / "config.json").write_text(content)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert '"failure_type":"config_error"' in done.stdout
    assert done.stderr == ""


def test_what_was_read_is_flushed_before_a_wait(sim, config, tmp_path):
    fill(sim)
    sim.fault("throttled", "/api/v3/transactions", nth=2, times=0, seconds=600)
    seen = SUBJECT.interrupted_read(SUBJECT.command_line("read", config, tmp_path), "Waiting")
    assert [message["type"] for message in seen].count("RECORD") == 5
    assert [message["type"] for message in seen].count("STATE") == 1
    assert "Waiting 600.0 s: HTTP 429" in seen[-1]["log"]["message"]


def test_a_reader_that_closes_the_pipe_ends_the_run_quietly(sim, config, tmp_path):
    fill(sim, days=3, per_day=2000)
    process = subprocess.Popen(
        SUBJECT.command_line("read", config, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 1


@pytest.mark.unjudged_output("its output cannot be written")
@pytest.mark.parametrize(("to", "reason"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")])
@pytest.mark.parametrize("command", ["read", "check", "spec"])
def test_an_output_that_cannot_be_written_ends_the_run_without_a_traceback(command, to, reason, sim, config, tmp_path):
    fill(sim)
    line = f"{shlex.join(SUBJECT.command_line(command, config, tmp_path))} {to}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, f"Cannot write to standard output: {reason}.\n")


def test_a_slow_reader_slows_the_run_instead_of_filling_memory(sim, config, tmp_path):
    fill(sim, days=3, per_day=2000)
    process = subprocess.Popen(SUBJECT.command_line("read", config, tmp_path), stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while not sim.requests("/api/v3/transactions") and time.monotonic() < deadline:
            time.sleep(0.05)
        before = -1
        while (asked := len(sim.requests("/api/v3/transactions"))) != before:
            before = asked
            time.sleep(0.5)
        assert asked < 6  # of 6: three days with two pages each; the full pipe blocks the run
        lines = process.stdout.read().count(b'"type":"RECORD"')
        assert lines == 6000
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)
def test_spec_and_discover_print_one_message_of_their_kind(subject_, tmp_path):
    config = {"api_key": "key", "secret_key": "key", "start_date": "2026-01-01"}
    for command, kind in (("spec", "SPEC"), ("discover", "CATALOG")):
        code, out, err = subject_.run_process(command, config, tmp_path)
        kinds = [json.loads(line)["type"] for line in out.splitlines()]
        assert (code, err, kinds.count(kind)) == (0, "", 1)


@pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)
def test_the_manifest_is_not_read_from_the_working_directory(subject_, tmp_path):
    (tmp_path / "manifest.yaml").write_text("streams: []")
    command = [*subject_.script(), "spec"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=True)
    assert '"SPEC"' in done.stdout


@pytest.mark.unjudged_output("its writer is broken, so it emits no status")
def test_no_persons_data_in_logs_when_the_connector_itself_fails(sim, config, tmp_path):
    fill(sim, days=1)
    sim.upsert(
        [{"transaction_id": "X", "user_network_account_id": 7, "sub_ids": {"email": PERSON}}], at="2026-01-01T12:00:00Z"
    )
    # the exception's message quotes the row
    code, out, err = SUBJECT.run_process("read", config, tmp_path, prelude=BROKEN_WRITER)
    assert code == 1
    assert PERSON not in out + err
    assert "unexpected RuntimeError" in out


def test_a_missing_key_is_named(sim, config):
    with pytest.raises(AirbyteTracedException, match="api_key"):
        _Entrypoint.validate_connection(spec(), {"start_date": "2026-01-01"})


@pytest.mark.parametrize(("wrong", "right"), [("enddate", "end_date"), ("Lookback_Hours", "lookback_hours")])
def test_a_misspelled_option_is_rejected(wrong, right, sim, config):
    with pytest.raises(AirbyteTracedException, match=f"Unknown setting {wrong}. Did you mean {right}"):
        _Entrypoint.validate_connection(spec(), {**config, wrong: 5})
    _Entrypoint.validate_connection(spec(), {**config, "__injected": 1, "stream_maps": {}})


def test_an_optional_key_that_is_null_counts_as_left_out_and_a_required_one_as_missing(sim, config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, "end_date": None, "statuses": None, "network_id": None}))
    read = SourceWecantrack.read_config(str(path))
    assert read == {key: value for key, value in config.items() if key != "end_date"}
    _Entrypoint.validate_connection(spec(), read)
    path.write_text(json.dumps({**config, "start_date": None}))
    with pytest.raises(AirbyteTracedException, match="'start_date' is a required property"):
        _Entrypoint.validate_connection(spec(), SourceWecantrack.read_config(str(path)))


def messages(out, kind):
    return [message for message in map(json.loads, out.splitlines()) if message["type"] == kind]


@pytest.mark.parametrize("subject_", SUBJECTS, ids=lambda subject: subject.source.__name__)
@pytest.mark.parametrize("command", ["check", "discover", "read"])
def test_a_ca_file_that_is_gone_is_named(command, subject_, tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    config = {"api_key": "key", "secret_key": "key", "start_date": "2026-01-01", "end_date": "2026-01-01"}
    config |= {"api_url": "https://localhost:1", "request_interval_seconds": 0}
    code, out, err = subject_.run_process(command, config, tmp_path)
    sentence = (
        "REQUESTS_CA_BUNDLE names, /nonexistent/ca.pem, cannot be read. Mount it, correct the variable, or unset it."
    )
    assert err == ""
    if command == "check":
        (status,) = messages(out, "CONNECTION_STATUS")
        assert (code, status["connectionStatus"]["status"]) == (0, "FAILED")
        assert sentence in status["connectionStatus"]["message"]
    elif command == "discover":  # sends no request
        assert (code, len(messages(out, "CATALOG"))) == (0, 1)
    else:
        errors = [trace["trace"]["error"] for trace in messages(out, "TRACE") if trace["trace"]["type"] == "ERROR"]
        assert (code, [error["failure_type"] for error in errors]) == (1, ["config_error"])
        assert sentence in errors[0]["message"]


NO_TEMPORARY_FOLDER = (
    "import tempfile\n"
    "def refuse(): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
    "tempfile.gettempdir = tempfile._get_default_tempdir = refuse\n"
)


@pytest.mark.parametrize("command", ["spec", "check", "discover", "read"])
def test_no_command_needs_a_temporary_folder(command, sim, config, tmp_path):
    fill(sim)
    code, out, err = SUBJECT.run_process(command, config, tmp_path, prelude=NO_TEMPORARY_FOLDER)
    assert (code, err) == (0, "")
    kind = {"spec": "SPEC", "check": "CONNECTION_STATUS", "discover": "CATALOG", "read": "STATE"}[command]
    assert messages(out, kind)


def test_a_stream_that_is_refused_does_not_stop_the_others_and_the_run_fails(sim, config, tmp_path):
    fill(sim)
    sim.fault("status_403", "/api/v1/websites", times=0)
    code, out, err = SUBJECT.run_process("read", config, tmp_path, "websites", "transactions", "networks")
    errors = [trace["trace"]["error"] for trace in messages(out, "TRACE") if trace["trace"]["type"] == "ERROR"]
    assert (code, err) == (1, "")
    assert errors[0]["stream_descriptor"]["name"] == "websites"
    assert errors[1]["message"].startswith("1 of 3 streams failed: websites. The others were read completely.")
    assert len(messages(out, "RECORD")) >= 15


@pytest.mark.parametrize("command", ["check", "read"])
def test_one_sigterm_ends_the_wait_for_a_response_that_trickles(command, config, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = {**config, "api_url": f"http://127.0.0.1:{listener.getsockname()[1]}", "read_timeout_seconds": 60}
        process = subprocess.Popen(SUBJECT.command_line(command, config, tmp_path), stdout=subprocess.PIPE)
        try:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1 << 16)
                peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: x")
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=10) == 143
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
