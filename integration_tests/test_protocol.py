"""The validator of connectors' output: a valid run passes, and each protocol violation is found."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from integration_tests.protocol import recorder
from integration_tests.protocol.schemas import first_error, validator
from integration_tests.protocol.validator import Run, violations

NOW = 1_790_000_000
STREAM = "campaigns"
ROW = {"campaign_id": "1", "site": "a shop"}


def log(message="x"):
    return {"type": "LOG", "log": {"level": "INFO", "message": message}}


def record(data=None, stream=STREAM, **changes):
    content = {"stream": stream, "data": ROW if data is None else data, "emitted_at": NOW * 1000, **changes}
    return {"type": "RECORD", "record": content}


def state(count=1.0, stream=STREAM, **more):
    content = {"stream_descriptor": {"name": stream}, "stream_state": {"day": "2026-01-01"}}
    return {
        "type": "STATE",
        "state": {"type": "STREAM", "stream": content, **more, "sourceStats": {"recordCount": count}},
    }


def status(name, stream=STREAM, **more):
    content = {"stream_descriptor": {"name": stream}, "status": name, **more}
    return {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": NOW * 1000.0, "stream_status": content}}


def error():
    content = {"message": "The key is wrong.", "failure_type": "config_error"}
    return {"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": NOW * 1000.0, "error": content}}


GOOD = [status("STARTED"), status("RUNNING"), record(), state(), status("COMPLETE")]


def check(messages, command="read", connector="source-sovrn", code=0, whole=True, **more):
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in messages]
    return violations(Run(connector, command, b"".join(lines), code, whole, NOW, NOW + 10, **more))


def test_a_valid_run_passes():
    assert check([log(), *GOOD, log()], streams=frozenset({STREAM})) == []


BAD_LINES = {
    "plain text": b"Reading stream campaigns\n",
    "an empty line": b"\n",
    "a truncated line": b'{"type": "LOG", "log": {"lev\n',
    "two messages on a line": b'{"type":"LOG","log":{"level":"INFO","message":"x"}}{"type":"LOG"}\n',
    "a list": b"[]\n",
    "not a number": b'{"type":"RECORD","record":{"stream":"campaigns","data":{"a":NaN},"emitted_at":1}}\n',
    "an unknown type": {"type": "NEWS", "news": {}},
    "a payload of another type": {"type": "LOG", "record": record()["record"]},
    "two payloads": {**log(), "record": record()["record"]},
    "a field next to the payload": {**log(), "level": "INFO"},
    "a field that no payload has": {"type": "LOG", "log": {"level": "INFO", "message": "x", "logger": "y"}},
    "an unknown level": {"type": "LOG", "log": {"level": "LOUD", "message": "x"}},
    "a payload without its required field": {"type": "LOG", "log": {"level": "INFO"}},
    "a trace with two payloads": {
        "type": "TRACE",
        "trace": {**error()["trace"], "stream_status": None, "analytics": {"type": "x"}},
    },
    "a trace without its payload": {"type": "TRACE", "trace": {"type": "ESTIMATE", "emitted_at": NOW * 1000.0}},
    "a trace in seconds": {
        "type": "TRACE",
        "trace": {"type": "ANALYTICS", "emitted_at": NOW, "analytics": {"type": "x"}},
    },
    "the message of another command": {"type": "CATALOG", "catalog": {"streams": []}},
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_bad_line_is_reported_with_its_number(bad):
    found = check([log(), bad, *GOOD])
    assert [text.startswith("line 2: ") for text in found] == [True]


def test_an_incomplete_last_line_is_reported_unless_the_run_was_killed():
    torn = [*GOOD[:3], b'{"type":"REC']
    assert check(torn, code=-9, whole=False) == []
    assert "the last line is incomplete" in check(torn)[0]


BAD_READS = {
    "a record that breaks its schema": [*GOOD[:2], record({"campaign_id": 5}), *GOOD[3:]],
    "a record of an undeclared stream": [*GOOD[:2], record(), record(stream="clicks"), *GOOD[3:]],
    "emitted_at in seconds": [*GOOD[:2], record(emitted_at=NOW), *GOOD[3:]],
    "emitted_at in microseconds": [*GOOD[:2], record(emitted_at=NOW * 1_000_000), *GOOD[3:]],
    "emitted_at not an integer": [*GOOD[:2], record(emitted_at=NOW * 1000.0), *GOOD[3:]],
    "a record before the stream runs": [status("STARTED"), record(), state(), status("COMPLETE")],
    "a record after the stream's end": [*GOOD, record()],
    "a record after the last state": [*GOOD[:4], record(), status("COMPLETE")],
    "a state before its records": [*GOOD[:2], state(), record(), status("COMPLETE")],
    "a state with a wrong count": [*GOOD[:3], state(2.0), *GOOD[4:]],
    "a state after the stream's end": [*GOOD, state(0.0)],
    "a state with an unknown field": [*GOOD[:3], state(id=3), *GOOD[4:]],
    "a state of the old form": [*GOOD[:3], {"type": "STATE", "state": {"data": {}}}, state(), *GOOD[4:]],
    "STARTED twice": [status("STARTED"), *GOOD],
    "RUNNING twice": [*GOOD[:2], *GOOD[1:]],
    "COMPLETE twice": [*GOOD, status("COMPLETE")],
    "two ends": [*GOOD, status("INCOMPLETE")],
    "no start": GOOD[1:],
    "no end": GOOD[:4],
    "no stream at all": [log()],
    "an error and exit code 0": [*GOOD, error()],
}


@pytest.mark.parametrize("messages", BAD_READS.values(), ids=BAD_READS.keys())
def test_a_read_that_violates_the_protocol_is_reported(messages):
    assert check(messages, streams=frozenset({STREAM})) != []


def test_a_wait_for_a_rate_limit_may_be_reported_each_time():
    waiting = status("RUNNING", reasons=[{"type": "RATE_LIMITED"}])
    assert check([GOOD[0], waiting, GOOD[1], waiting, waiting, *GOOD[2:]]) == []


def test_a_failing_read_ends_its_stream_and_reports_one_error():
    failing = [*GOOD[:4], status("INCOMPLETE")]
    assert check([*failing, error()], code=1) == []
    assert check(failing, code=1) != []
    assert check([*failing, error(), error()], code=1) != []
    assert check([*GOOD[:4], error()], code=1) != []


def test_a_stopped_read_may_leave_its_streams_open():
    assert check(GOOD[:3], code=143) == []
    assert check([*GOOD[:3], b"Traceback\n"], code=143) != []


SPEC = {"type": "SPEC", "spec": {"connectionSpecification": {"type": "object"}}}
STATUS = {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}}


@pytest.mark.parametrize(("command", "answer"), [("spec", SPEC), ("check", STATUS)])
def test_spec_and_check_print_one_result(command, answer):
    assert check([log(), answer], command) == []
    assert check([log()], command) != []
    assert check([answer, answer], command) != []
    assert check([error()], command, code=1) == []


def test_a_catalog_has_existing_keys_and_valid_schemas():
    def discovered(**changes):
        stream = {"name": "a", "json_schema": {"properties": {"id": {}}}, "supported_sync_modes": ["full_refresh"]}
        return check([{"type": "CATALOG", "catalog": {"streams": [{**stream, **changes}]}}], "discover")

    assert discovered(source_defined_primary_key=[["id"]]) == []
    assert discovered(source_defined_primary_key=[["key"]]) != []
    assert discovered(default_cursor_field=["date"]) != []
    assert discovered(json_schema={"type": "texts"}) != []
    assert discovered(json_schema={"properties": {"id": {"type": "string", "format": "datum"}}}) != []


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ({"format": "date"}, "2026-02-28", "2026-02-30"),
        ({"format": "date-time"}, "2026-02-28T10:00:00Z", "2026-02-28T10:00:00"),
        (
            {"format": "date-time", "airbyte_type": "timestamp_with_timezone"},
            "2026-02-28T10:00:00.5+01:00",
            "2026-02-28",
        ),
        (
            {"format": "date-time", "airbyte_type": "timestamp_without_timezone"},
            "2026-02-28T10:00:00",
            "2026-02-28T25:00:00",
        ),
    ],
)
def test_formats_are_checked(kind, good, bad):
    schema = validator({"properties": {"at": {"type": ["null", "string"], **kind}}})
    assert first_error(schema, {"at": good}) is None
    assert first_error(schema, {"at": None}) is None
    assert first_error(schema, {"at": bad}) is not None


class TestEcho:
    """States that a destination returns."""

    FIRST, SECOND = state(id=1), state(id=2)
    INPUT = b"".join(json.dumps(m).encode() + b"\n" for m in (record(), record(), FIRST, record(), SECOND))

    @staticmethod
    def back(message, count, rejected=0.0):
        stats = {"recordCount": count, "rejectedRecordCount": rejected}
        return {"type": "STATE", "state": {**message["state"], "destinationStats": stats}}

    def check(self, *states, **settings):
        return check(states, "write", "destination-wicked-reports", stdin=self.INPUT, **settings)

    def test_unchanged_in_order_and_counted_they_pass(self):
        assert self.check(self.back(self.FIRST, 2.0), self.back(self.SECOND, 1.0)) == []

    def test_delivered_and_rejected_records_add_up(self):
        assert self.check(self.back(self.FIRST, 1.0, 1.0), self.back(self.SECOND, 0.0, 1.0)) == []
        assert self.check(self.back(self.FIRST, 2.0, 1.0), self.back(self.SECOND, 1.0)) != []

    def test_a_failing_run_may_return_fewer(self):
        assert self.check(self.back(self.FIRST, 2.0), error(), code=1) == []

    def test_a_changed_missing_swapped_or_repeated_state_is_reported(self):
        first, second = self.back(self.FIRST, 2.0), self.back(self.SECOND, 1.0)
        without_id = {"type": "STATE", "state": {k: v for k, v in first["state"].items() if k != "id"}}
        for states in ([first], [second, first], [first, first], [first, second, second], [without_id, second]):
            assert self.check(*states) != []
        assert self.check(self.back(self.FIRST, 3.0), second) != []

    def test_a_destination_prints_no_records(self):
        assert self.check(record(), self.back(self.FIRST, 2.0), self.back(self.SECOND, 1.0)) != []


class TestRecorder:
    """Every connector process is recorded, and no other."""

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            (["/x/bin/source-sovrn", "spec"], ("source-sovrn", "spec")),
            (["/x/bin/source-sovrn"], ("source-sovrn", "")),
            (
                ["python", "-c", "from source_wicked_reports.run import run; run()", "read"],
                ("source-wicked-reports", "read"),
            ),
            (
                [
                    "docker",
                    "run",
                    "--name",
                    "source-sovrn-1",
                    "-v",
                    "/source-sovrn:/x",
                    "airbyte/source-sovrn:dev",
                    "check",
                ],
                ("source-sovrn", "check"),
            ),
            (["/x/bin/destination-wicked-reports", "ledger"], None),
            (["/x/bin/target-wicked-reports", "--config", "x"], None),
            (["docker", "image", "inspect", "airbyte/source-sovrn:dev"], None),
        ],
    )
    def test_connectors_are_recognized_by_their_command_lines(self, line, found):
        assert recorder.connector_of(line) == found

    @pytest.mark.parametrize("text", [True, False])
    @pytest.mark.parametrize("way", ["run", "communicate", "lines", "rest"])
    def test_output_is_recorded_however_it_is_read(self, way, text):
        code = "import sys; sys.stdout.write(sys.stdin.read()); 'from source_sovrn.run import run'"
        given = json.dumps(log("ä")) + "\nnot a message\n"
        command, data = [sys.executable, "-c", code, "spec"], given if text else given.encode()
        pipes = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "text": text,
            "encoding": "utf-8" if text else None,
        }
        if way == "run":
            out = subprocess.run(command, input=data, capture_output=True, text=text).stdout
        else:
            with subprocess.Popen(command, **pipes) as process:
                if way == "communicate":
                    out = process.communicate(data)[0]
                else:
                    process.stdin.write(data)
                    process.stdin.close()
                    first = process.stdout.readline()
                    out = first + (process.stdout.read() if way == "rest" else data[:0].join(process.stdout))
        assert out == data
        found = recorder.take()
        assert [text.split(": ")[1:3] for text in found] == [["line 2", "not JSON"], ["spec printed 0 results"]]

    def test_input_is_recorded_too(self):
        code = "import sys; sys.stdin.read(); 'from destination_wicked_reports.run import run'"
        command = [sys.executable, "-c", code, "write"]
        subprocess.run(command, input=TestEcho.INPUT, stdout=subprocess.PIPE)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(TestEcho.INPUT)
            process.stdin.close()
            process.stdout.read()
        assert recorder.take() == ["destination-wicked-reports write: only 0 of 2 states were returned"] * 2

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    @pytest.mark.parametrize("secret", ["ann" + "@b.example", "sim-wicked" + "-key"])
    def test_a_secret_or_an_address_is_reported_in_a_log_and_allowed_in_a_record(self, stream, secret):
        code = f"import sys; sys.{stream}.write(sys.argv[2]); 'from source_sovrn.run import run'"
        for printed, expected in ((log(f"for {secret}"), 1), (record({"who": secret}), 0)):
            command = [sys.executable, "-c", code, "read", json.dumps(printed) + "\n"]
            subprocess.run(command, capture_output=True)
            caught = [found for found in recorder.take() if "printed a secret or an e-mail address" in found]
            assert len(caught) == expected

    def test_of_a_killed_process_only_complete_lines_are_checked(self):
        code = (
            "import os, signal, sys; os.write(1, sys.argv[2].encode()); os.kill(os.getpid(), signal.SIGKILL)\n"
            "'from source_sovrn.run import run'"
        )
        for printed, expected in ((json.dumps(log()) + '\n{"ty', 0), ("a word\n", 1)):
            subprocess.run([sys.executable, "-c", code, "read", printed], stdout=subprocess.PIPE)
            assert len(recorder.take()) == expected


@pytest.mark.unjudged_output("its process prints no message")
def test_a_test_can_be_exempted_from_the_check():
    code = "print('not a message'); 'from source_sovrn.run import run'"
    subprocess.run([sys.executable, "-c", code, "spec"], stdout=subprocess.PIPE)
