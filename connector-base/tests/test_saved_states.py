"""The file of --state: what counts as a state, and which one of a stream."""

import json
from pathlib import Path

import pytest
from source_wecantrack.base.json_files import UnusableFileError
from source_wecantrack.base.saved_states import read_states


def stream(name: str, day: str | None, **more) -> dict:
    state = None if day is None else {"date": day}
    return {"type": "STREAM", "stream": {"stream_descriptor": {"name": name, **more}, "stream_state": state}}


def message(name: str, day: str) -> dict:
    return {"type": "STATE", "state": {**stream(name, day), "sourceStats": {"recordCount": 3.0}}}


RECORD = {"type": "RECORD", "record": {"stream": "orders", "data": {"type": "STATE", "id": 1}, "emitted_at": 1}}
LOG = {"type": "LOG", "log": {"level": "INFO", "message": "type STATE"}}
RUN = [LOG, message("orders", "01"), RECORD, message("orders", "02"), RECORD, message("clicks", "05"), LOG]
LAST = {"orders": {"date": "02"}, "clicks": {"date": "05"}}


def lines(*messages, end: str = "\n") -> bytes:
    return "".join(json.dumps(each, separators=(",", ":")) + end for each in messages).encode()


@pytest.fixture
def states(tmp_path: Path):
    def read(content: bytes) -> dict:
        path = tmp_path / "state.json"
        path.write_bytes(content)
        found = {}
        for state in read_states(str(path)):
            assert state.stream is not None
            name, namespace = state.stream.stream_descriptor.name, state.stream.stream_descriptor.namespace
            blob = state.stream.stream_state
            found[name if namespace is None else f"{namespace}.{name}"] = None if blob is None else vars(blob)
        return found

    return read


FILES = {
    "all messages of a run": lines(*RUN),
    "with CRLF": lines(*RUN, end="\r\n"),
    "without the last line break": lines(*RUN)[:-1],
    "with blank lines": lines(*RUN, end="\n\n"),
    "only the states": lines(message("orders", "02"), message("clicks", "05")),
    "half a line at the end": lines(*RUN) + b'{"type":"STATE","state":{"type":"STR',
    "half a line at the beginning": b'"STREAM","stream":{}}}\n' + lines(*RUN),
    "lines of text between": b"12:00:00 INFO a STATE\n" + lines(*RUN) + b"\x1b[31mSTATE \xff\n",
    "bare states, one a line": lines(stream("orders", "02"), stream("clicks", "05")),
    "a list of states": json.dumps([stream("orders", "02"), stream("clicks", "05")]).encode(),
    "a list with a byte order mark": b"\xef\xbb\xbf"
    + json.dumps([stream("orders", "02"), stream("clicks", "05")]).encode(),
    "an indented list in UTF-16": json.dumps([stream("orders", "02"), stream("clicks", "05")], indent=1).encode(
        "utf-16"
    ),
    "a list of messages": json.dumps(RUN).encode(),
    "a list in which the last state counts": json.dumps(
        [stream("clicks", "05"), stream("orders", "01"), stream("orders", "02")]
    ).encode(),
    "a global state": json.dumps(
        [
            {
                "type": "GLOBAL",
                "global": {"stream_states": [stream("orders", "02")["stream"], stream("clicks", "05")["stream"]]},
            }
        ]
    ).encode(),
    "a legacy state": json.dumps([{"type": "LEGACY", "data": LAST}]).encode(),
    "a legacy state alone": json.dumps(LAST).encode(),
    "an empty namespace": json.dumps(
        [stream("orders", "02", namespace=""), stream("clicks", "05", namespace=None)]
    ).encode(),
    "as the CDK nests it": json.dumps(
        [
            {
                "type": "STREAM",
                "stream": {
                    "stream_descriptor": {"name": name},
                    "stream_state": {"use_global_cursor": False, "state": state},
                },
            }
            for name, state in LAST.items()
        ]
    ).encode(),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_the_last_state_of_each_stream_counts(content, states):
    assert states(content) == LAST


@pytest.mark.parametrize("content", [message("orders", "02"), stream("orders", "02"), stream("orders", "02")["stream"]])
def test_one_state_alone_is_taken(content, states):
    if "stream_descriptor" in content:
        content = {"stream": content}
    assert states(json.dumps(content).encode()) == {"orders": {"date": "02"}}


@pytest.mark.parametrize("content", [b"[]", b"{}", b"null", b" [ ]\n"])
def test_no_state_yet_is_no_fault(content, states):
    assert states(content) == {}


def test_a_file_larger_than_a_document_is_read_in_lines(states, monkeypatch):
    monkeypatch.setattr("source_wecantrack.base.saved_states._MAX_DOCUMENT_BYTES", 500)
    assert states(lines(*RUN * 10)) == LAST


def test_a_stream_in_another_namespace_is_another_one(states):
    found = states(json.dumps([stream("orders", "02", namespace="other"), stream("orders", "01")]).encode())
    assert found == {"other.orders": {"date": "02"}, "orders": {"date": "01"}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"nothing", "is not valid JSON: Expecting value (line 1, column 1)"),
        (b'"nothing"', "has a state of an unknown form"),
        (b"[1]", "has a state of an unknown form"),
        (b'{"orders": "2026-01-01"}', "has a state of an unknown form"),
        (b'[{"type": "STREAM"}]', "has a state of an unknown form"),
        (b'{"type": "STATE"}', "has a state of an unknown form"),
        (b'{"type": "STATE", "state": 5}', "has a state of an unknown form"),
        (lines(LOG, RECORD), "has no state"),
        (lines(LOG), "has no state"),
        (json.dumps([stream("orders", "01"), stream("clicks", "02")], indent=0).encode()[:-3], "is not valid JSON"),
        (b"[\n" + lines(stream("orders", "01"))[:-1] + b",\n" + lines(stream("clicks", "02")), "is not valid JSON"),
        (
            b'[{"type": "GLOBAL", "global": {"shared_state": {}, "stream_states": []}}]',
            "a GLOBAL state with a shared_state",
        ),
        (b"[" * 100_000, "is nested too deeply"),
    ],
)
def test_anything_else_is_refused_with_the_remedy(content, problem, states):
    with pytest.raises(UnusableFileError) as refused:
        states(content)
    assert problem in str(refused.value)
    assert "omit --state to start over" in str(refused.value)


def test_a_state_file_that_is_missing_is_named():
    with pytest.raises(UnusableFileError, match=r"The state file /nonexistent cannot be read \(No such file"):
        read_states("/nonexistent")
