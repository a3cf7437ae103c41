"""The state file: one state per stream, whole or not at all, and one run at a time."""

import errno
import json
import os

import pytest
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.sync import state as module
from destination_wicked_reports.sync.exit_codes import CommandError
from destination_wicked_reports.sync.state import StateFile, is_running, position_of, run_lock, stream_of


def state(stream, **values):
    return {"type": "STREAM", "stream": {"stream_descriptor": {"name": stream}, "stream_state": values}}


def test_the_last_state_of_each_stream_and_source_is_kept(tmp_path):
    path = tmp_path / "data" / "state.json"
    file = StateFile(path)
    file.begin("one", "ledger-1", "live")
    for source, each in [("one", state("a", d="2026-01-01")), ("one", state("b", n=1)), ("two", state("a", n=5))]:
        file.keep(source, each)
    file.keep("one", state("a", d="2026-01-02"))
    again = StateFile(path)
    assert again.states("one") == [state("b", n=1), state("a", d="2026-01-02")]
    assert again.states("two") == [state("a", n=5)]
    assert (again.ledger("one"), again.ledger("two")) == (("ledger-1", "live"), ("", ""))


def test_a_run_without_an_end_is_known_until_the_next_one_ends(tmp_path):
    path = tmp_path / "state.json"
    StateFile(path).begin("one", "ledger-1", "live")
    file = StateFile(path)
    assert file.unfinished("one").startswith("20")
    assert file.unfinished("two") == ""
    file.finish("one", {"code": 0})
    assert StateFile(path).unfinished("one") == ""
    assert set(StateFile(path).last_run("one")) == {"ended", "code"}


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 2), (errno.EROFS, 3)])
def test_a_failed_write_keeps_the_file_that_was_there(tmp_path, monkeypatch, number, code):
    path = tmp_path / "state.json"
    StateFile(path).keep("one", state("a", n=1))
    before = path.read_bytes()

    def full(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(CommandError, match=rf"{path} cannot be written \({os.strerror(number)}\)") as error:
        StateFile(path).keep("one", state("a", n=2))
    assert error.value.code == code
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
    assert not is_running(path)
    with run_lock(path):
        assert is_running(path)


def test_the_folders_of_a_killed_run_are_known_to_the_next_one(tmp_path):
    path, folder, gone = tmp_path / "state.json", tmp_path / "private", tmp_path / "removed"
    folder.mkdir()
    for left in ([], [folder], [folder]):
        with run_lock(path) as lock:
            assert lock.left == left
            if not left:
                lock.note(folder)
                lock.note(gone)
    folder.rmdir()
    with run_lock(path) as lock:
        assert lock.left == []


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
