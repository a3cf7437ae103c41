"""target-wicked-reports as a process: Singer lines in, states out, the durability and exit codes of the destination."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from integration_tests.simulator.client import SimulatorClient
from integration_tests.support.processes import BIN, EMAIL

NAME = "target-wicked-reports"


class Target:
    """The target with one ledger; the standard error of every run is searched for secrets and personal data."""

    def __init__(self, simulator, folder):
        self.folder = folder
        self.config = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "ledger": {"type": "sqlite", "path": str(folder / "ledger.sqlite")},
            "batch_rows": 5,
        }

    def command(self, *more, **changes):
        path = self.folder / "config.json"
        path.write_text(json.dumps({**self.config, **changes}))
        return [str(BIN / NAME), "--config", str(path), *more]

    def run(self, *messages, more=(), **changes):
        lines = [message if isinstance(message, bytes) else json.dumps(message).encode() for message in messages]
        done = subprocess.run(
            self.command(*more, **changes),
            input=b"".join(line + b"\n" for line in lines),
            capture_output=True,
            timeout=120,
            check=False,
        )
        said = done.stderr.decode()
        assert SimulatorClient.wicked_key not in said
        assert not EMAIL.search(said)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], said


@pytest.fixture
def target(simulator, tmp_path):
    return Target(simulator, tmp_path)


def schema(stream="orders"):
    return {"type": "SCHEMA", "stream": stream, "schema": {}, "key_properties": ["SourceID"]}


def order(number, stream="orders", **extra):
    row = {
        "SourceSystem": "shop",
        "SourceID": str(number),
        "CreateDate": "2026-03-01T10:00:00Z",
        "ContactEmail": f"buyer{number}@example.com",
        "OrderTotal": 19.9,
        "OrderCurrency": "EUR",
        **extra,
    }
    return {"type": "RECORD", "stream": stream, "record": row, "time_extracted": "2026-03-02T00:00:00Z"}


def state(at):
    return {"type": "STATE", "value": {"bookmarks": {"orders": {"at": at}}}}


def at(states):
    return [value["bookmarks"]["orders"]["at"] for value in states]


def sent(simulator):
    return sorted(int(row["SourceID"]) for row in simulator.wicked_rows("orders"))


def test_rows_arrive_once_with_exact_amounts_and_states_are_returned(simulator, target):
    lines = [schema(), *(order(n) for n in range(1, 13)), state(1), *(order(n) for n in range(13, 21)), state(2)]
    code, states, said = target.run(*lines)
    assert (code, at(states)) == (0, [1, 2]), said
    assert sent(simulator) == list(range(1, 21))
    assert {row["OrderTotal"] for row in simulator.wicked_rows("orders")} == {"19.9"}
    code, states, said = target.run(*lines)
    assert (code, at(states)) == (0, [1, 2])
    assert sent(simulator) == list(range(1, 21))
    assert "orders: 0 sent, 20 unchanged" in said


def test_a_state_is_returned_once_its_rows_are_accepted_even_if_the_tap_sends_nothing_more(simulator, target):
    process = subprocess.Popen(
        target.command(max_requests_in_flight=1),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for message in [schema(), *(order(n) for n in range(1, 6)), state(1), order(6), state(2)]:
        process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    assert at([json.loads(process.stdout.readline())]) == [1]
    assert sent(simulator) == list(range(1, 6))
    out, _ = process.communicate(timeout=60)
    assert at([json.loads(line) for line in out.splitlines()]) == [2]
    assert sent(simulator) == list(range(1, 7))


def test_rejected_rows_end_the_run_with_an_error_after_everything_good(simulator, target):
    code, states, said = target.run(schema(), order(1), order(2, CreateDate="soon"), order(3), state(1))
    assert code == 1
    assert at(states) == [1]
    assert sent(simulator) == [1, 3]
    assert "1 row was rejected" in said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([schema("visits")], "Stream visits is not supported by this mapping"),
        ([{"type": "ACTIVATE_VERSION", "stream": "orders", "version": 2}], "cannot delete the older rows"),
        ([{"type": "BATCH", "stream": "orders"}], "remove batch_config from"),
        ([b'{"type":"RECORD","stream":"ord'], "Line 7 of the input is not complete JSON"),
    ],
    ids=["unmapped stream", "truncation", "batch files", "incomplete line"],
)
def test_an_unsupported_line_ends_the_run_and_no_later_state_is_returned(simulator, target, lines, said):
    before = [schema(), *(order(n) for n in range(1, 6))]
    code, states, log = target.run(*before, *lines, order(9), state(1))
    assert code == 1
    assert states == []
    assert said in log
    assert 9 not in sent(simulator)


def test_a_wrong_key_is_reported(simulator, target):
    code, states, said = target.run(schema(), order(1), state(1), api_key="wrong")
    assert (code, states) == (1, [])
    assert "API key" in said


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_after_an_interrupted_one_sends_each_row_once(simulator, target, how):
    simulator.fault("slow", method="POST", seconds=0.2, times=0)
    lines = [schema()]
    for n in range(1, 101):
        lines += [order(n), state(n)]
    process = subprocess.Popen(
        target.command(max_requests_in_flight=1),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while len(sent(simulator)) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == (143 if how == signal.SIGTERM else -9)
    returned = at([json.loads(line) for line in out.splitlines()])
    assert set(range(1, max(returned, default=0) + 1)) <= set(sent(simulator))
    simulator.clear_faults()
    code, states, said = target.run(*lines)
    assert code == 0, said
    assert at(states)[-1] == 100
    assert sent(simulator) == list(range(1, 101))


def test_settings_can_come_from_the_environment_and_null_counts_as_not_set(simulator, target, monkeypatch):
    monkeypatch.setenv("TARGET_WICKED_REPORTS_STREAM_MAPS", '{"public-orders": {"__alias__": "orders"}}')
    changes = {"test_mode": None, "mapping": None}
    lines = [schema("public-orders"), order(1, "public-orders"), state(1)]
    code, states, said = target.run(*lines, more=["--config", "ENV"], **changes)
    assert (code, at(states)) == (0, [1]), said
    assert sent(simulator) == [1]


@pytest.mark.parametrize("wrong", [{"orders": {"total": "record['x']"}}, {"orders": 5}, [1]])
def test_an_unsupported_stream_map_is_refused(target, wrong):
    code, _, said = target.run(schema(), stream_maps=wrong)
    assert code == 1
    assert "stream_maps: the value of a stream must be" in said


def test_about_lists_every_setting_without_a_config():
    done = subprocess.run([str(BIN / NAME), "--about", "--format", "json"], capture_output=True, timeout=60, check=True)
    about = json.loads(done.stdout)
    assert {"api_key", "mapping", "ledger", "stream_maps", "activate_version"} <= about["settings"]["properties"].keys()
    assert about["settings"]["properties"]["api_key"]["airbyte_secret"] is True


def test_version_is_printed_and_a_missing_config_is_a_usage_error():
    said = subprocess.run([str(BIN / NAME), "--version"], capture_output=True, timeout=60, check=True).stdout
    assert said.decode().startswith(f"{NAME} v0.")
    done = subprocess.run([str(BIN / NAME)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"--config FILE" in done.stderr


def test_the_settings_can_be_checked_without_sending(simulator, target):
    assert target.run(more=["--test"])[0] == 0
    code, _, said = target.run(more=["--test"], api_key="wrong")
    assert code == 1
    assert "API key" in said
    code, _, said = target.run(more=["--test"], api_url="http://127.0.0.1:9")
    assert code == 1
    assert "cannot be reached" in said
    assert sent(simulator) == []


def test_values_that_json_does_not_allow_cost_their_records_and_states_keep_every_digit(simulator, target):
    bad = json.dumps(order(2, City="here")).encode()
    values = [b"NaN", b"-Infinity", b"1e999", b'"\\ud83d"', b'"caf\xe9"', b"9" * 5000]
    value = {"bookmarks": {"orders": {"at": 123456789012345678901234567890, "nan": float("nan")}}}
    lines = [schema(), order(1), *(bad.replace(b'"here"', each) for each in values), order(3)]
    code, states, said = target.run(*lines, {"type": "STATE", "value": value}, on_rejected_record="skip")
    assert (code, json.dumps(states)) == (0, json.dumps([value])), said
    assert sent(simulator) == [1, 3]
    assert "6 rejected" in said
