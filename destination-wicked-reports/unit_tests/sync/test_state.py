"""The state file: one state per stream, whole or not at all, and one run at a time."""

import json
import os

import pytest
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync import state as module
from destination_wicked_reports.sync.exit_codes import CommandError
from destination_wicked_reports.sync.state import StateFile, position_of, run_lock, stream_of


def state(stream, **values):
    return {"type": "STREAM", "stream": {"stream_descriptor": {"name": stream}, "stream_state": values}}


def test_the_last_state_of_each_stream_and_source_is_kept(tmp_path):
    path = tmp_path / "data" / "state.json"
    file = StateFile(path)
    file.bind("one", "ledger-1", "live")
    for source, each in [("one", state("a", d="2026-01-01")), ("one", state("b", n=1)), ("two", state("a", n=5))]:
        file.keep(source, each)
    file.keep("one", state("a", d="2026-01-02"))
    again = StateFile(path)
    assert again.states("one") == [state("b", n=1), state("a", d="2026-01-02")]
    assert again.states("two") == [state("a", n=5)]
    assert (again.ledger("one"), again.ledger("two")) == (("ledger-1", "live"), ("", ""))


def test_a_failed_write_keeps_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    StateFile(path).keep("one", state("a", n=1))
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        StateFile(path).keep("one", state("a", n=2))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["state.json"]


def test_reset_removes_the_named_streams_or_all(tmp_path):
    file = StateFile(tmp_path / "state.json")
    file.keep("one", state("a", n=1))
    file.keep("one", state("b", n=1))
    assert file.reset("one", ["a"]) == ["a"]
    assert [stream_of(each) for each in file.states("one")] == ["b"]
    assert file.reset("one") == ["b"]
    assert file.states("one") == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sources": {"a": {}}}', '{"sources": {"a": {"states": 1}}}'])
def test_a_broken_file_is_refused(tmp_path, content):
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="restore a backup"):
        StateFile(path)


def test_the_lock_is_held_by_one_run(tmp_path):
    path = tmp_path / "state.json"
    with run_lock(path), pytest.raises(CommandError, match=f"process {os.getpid()}"), run_lock(path):
        pass
    with run_lock(path):
        pass


@pytest.mark.parametrize(
    ("values", "position"),
    [({"last_wct_update": "2026-01-02T03:04:05"}, "2026-01-02T03:04:05"), ({"page": 7}, "7"), ({}, "")],
)
def test_a_position_is_the_date_of_a_state(values, position):
    assert position_of(state("a", **values)) == position


def test_a_global_state_belongs_to_all_streams(tmp_path):
    file = StateFile(tmp_path / "state.json")
    file.keep("one", {"type": "GLOBAL", "global": {"stream_states": []}})
    assert json.loads((tmp_path / "state.json").read_text())["sources"]["one"]["states"]
    assert file.reset("one", ["a"]) == ["all streams"]
