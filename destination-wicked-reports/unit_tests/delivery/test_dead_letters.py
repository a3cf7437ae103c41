"""The dead-letter file has complete lines only, is private, shared between processes, and has each row once."""

import contextlib
import errno
import json
import os
import subprocess
import sys

import pytest
from builders.destination import lines_of, make_row
from destination_wicked_reports.delivery import dead_letters as module
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.errors import DeadLetterFileError
from destination_wicked_reports.mappings.affiliate.returns import NOTHING_TO_FIX
from destination_wicked_reports.model import Reject


def test_a_full_disk_leaves_no_partial_line_and_raises(dead_letters, monkeypatch):
    dead_letters.reject_row(make_row(number=1), "no")
    real, calls = os.write, []

    def full(descriptor, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[:10])

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        dead_letters.reject_row(make_row(number=2), "no")
    monkeypatch.undo()
    dead_letters.reject_row(make_row(number=3), "no")
    assert [line["row"]["SourceID"] for line in lines_of(dead_letters)] == ["1", "3"]
    assert dead_letters.counts["rejected"] == 2


def test_a_short_write_is_continued(dead_letters, monkeypatch):
    real = os.write
    monkeypatch.setattr(module.os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:7]))
    dead_letters.reject_row(make_row(number=1), "no")
    assert [line["row"]["SourceID"] for line in lines_of(dead_letters)] == ["1"]


def test_a_partial_line_of_a_killed_run_does_not_corrupt_the_next_line(dead_letters):
    dead_letters.path.write_bytes(b'{"outcome": "rejec')
    dead_letters.reject_row(make_row(number=1), "no")
    partial, complete = dead_letters.path.read_bytes().splitlines()
    assert partial == b'{"outcome": "rejec'
    assert complete.startswith(b'{"outcome":"rejected"')


def reject(dead_letters, number=1, reason="no", **fields):
    row = {"SourceSystem": "shop", "SourceID": str(number), **fields}
    dead_letters.reject(Reject(reason, "Email", "contacts", "contacts", row))


def run(path, *numbers, **fields):
    """Reject these rows in a run of their own; return how many lines the file has."""
    with contextlib.closing(DeadLetterFile(path)) as dead_letters:
        for number in numbers:
            reject(dead_letters, number, **fields)
        assert dead_letters.counts["rejected"] == len(numbers)
        return len(lines_of(dead_letters))


def test_a_row_that_fails_every_run_is_written_once_and_counted_each_time(tmp_path):
    path = tmp_path / "rejected.jsonl"
    assert [run(path, 1, 2), run(path, 2, 1, 1), run(path, 1, 3, reason="another")] == [2, 2, 3]
    assert run(path, 1, Email="changed") == 4


def test_a_row_that_fails_after_its_line_was_closed_is_written_again(tmp_path):
    path = tmp_path / "rejected.jsonl"
    run(path, 1)
    with contextlib.closing(DeadLetterFile(path)) as dead_letters:
        (line,) = lines_of(dead_letters)
        dead_letters.settle([line["id"]])
    assert run(path, 1) == 2
    assert run(path, 1) == 2
    assert "Open: 1 dead letter is" in DeadLetterFile(path).reminder()


def test_a_row_whose_line_was_edited_in_place_is_not_written_again(tmp_path):
    path = tmp_path / "rejected.jsonl"
    run(path, 1)
    path.write_text(path.read_text().replace('"SourceID":"1"', '"SourceID":"1","Email":"a@b.example"'))
    assert run(path, 1) == 1


def test_nothing_has_to_be_fixed_about_returns(dead_letters):
    for number, reason in enumerate(NOTHING_TO_FIX):
        reject(dead_letters, number, reason=reason)
    reminder = dead_letters.reminder()
    assert reminder.startswith("Open: 2 dead letters are")
    assert "Returns are in the ledger: there is nothing to fix. `replay --dismiss` closes the rest." in reminder
    assert "Fix" not in reminder
    reject(dead_letters, 3)
    assert "Fix the rejected rows" in dead_letters.reminder()


def test_a_row_in_doubt_has_a_line_for_each_time(dead_letters):
    for _ in range(2):
        dead_letters.mark_in_doubt(make_row(), "lost")
    assert len(lines_of(dead_letters)) == 2


def test_a_line_of_a_dead_run_is_synced_before_its_state_leaves(tmp_path, monkeypatch):
    path, synced = tmp_path / "rejected.jsonl", []
    run(path, 1)
    with contextlib.closing(DeadLetterFile(path)) as dead_letters:
        reject(dead_letters)
        monkeypatch.setattr(module.os, "fsync", synced.append)
        dead_letters.sync()
    assert len(synced) == 1


def test_a_row_whose_line_could_not_be_written_is_written_the_next_time(dead_letters, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        reject(dead_letters)
    monkeypatch.undo()
    reject(dead_letters)
    assert len(lines_of(dead_letters)) == 1


def test_a_file_that_is_moved_away_during_a_run_is_begun_again(dead_letters, tmp_path):
    reject(dead_letters, 1)
    dead_letters.path.rename(tmp_path / "moved.jsonl")
    reject(dead_letters, 1)
    reject(dead_letters, 2)
    assert [line["row"]["SourceID"] for line in lines_of(dead_letters)] == ["1", "2"]
    assert len((tmp_path / "moved.jsonl").read_text().splitlines()) == 1


def test_a_file_that_is_removed_before_its_state_leaves_is_an_error(dead_letters):
    reject(dead_letters)
    dead_letters.path.unlink()
    with pytest.raises(DeadLetterFileError, match="removed during the run"):
        dead_letters.sync()
    dead_letters._unsynced = False


def test_two_processes_on_a_full_disk_lose_no_line_of_each_other(tmp_path):
    """A process that fails in the middle of a line removes its own part only."""
    path = tmp_path / "rejected.jsonl"
    program = """
import os, sys
from pathlib import Path
from destination_wicked_reports.delivery import dead_letters as module
from destination_wicked_reports.model import Reject

real, calls = os.write, 0
def full(descriptor, data):
    global calls
    calls += 1
    if calls % 3 == 0:
        raise OSError(28, "No space left on device")
    return real(descriptor, bytes(data)[:40] if calls % 3 == 2 else data)
file, written = module.DeadLetterFile(Path(sys.argv[1])), []
for number in range(150):
    module.os.write = full
    try:
        file.reject(Reject("no", "", "contacts", "contacts", {"number": f"{sys.argv[2]}{number}"}))
        written.append(f"{sys.argv[2]}{number}")
    except OSError:
        pass
    module.os.write = real
print(" ".join(written))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", program, path, name], stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    written = [number for process in processes for number in process.communicate(timeout=60)[0].split()]
    assert len(written) > 100
    assert sorted(written) == sorted(json.loads(line)["row"]["number"] for line in path.read_text().splitlines())


# -- the file itself --------------------------------------------------------------------------------------------------


def test_a_file_that_others_may_read_is_made_private(dead_letters):
    dead_letters.path.touch(0o644)
    dead_letters.check_writable()
    assert dead_letters.path.stat().st_mode & 0o777 == 0o600


def test_another_users_file_is_a_warning(dead_letters, monkeypatch, caplog):
    dead_letters.path.touch()
    dead_letters.path.chmod(0o644)
    monkeypatch.setattr("destination_wicked_reports.config.files.os.geteuid", lambda: os.getuid() + 1)
    dead_letters.check_writable()
    assert f"Other users of this machine may read {dead_letters.path}" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b'{"api_key": "k"}', b'{\n  "api_key": "k"\n}\n', b'{"streams": []}', b"id,email\n1,a\n", b"SQLite format 3\0"],
    ids=["config", "config over lines", "catalog", "lookup file", "database"],
)
def test_a_file_that_holds_something_else_is_refused_and_unchanged(dead_letters, content):
    dead_letters.path.write_bytes(content)
    dead_letters.path.chmod(0o644)
    with pytest.raises(DeadLetterFileError, match="holds something else than dead letters"):
        dead_letters.check_writable()
    assert dead_letters.path.read_bytes() == content
    assert dead_letters.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "content", [b"", b"\n", b'{"outcome": "rejec', b'{"ou', b'{"endpoint": "orders", "row": {"A": 1}}\n']
)
def test_a_file_with_dead_letters_torn_or_written_by_hand_is_taken(dead_letters, content):
    dead_letters.path.write_bytes(content)
    dead_letters.check_writable()
    assert dead_letters.path.read_bytes() == content


def test_a_fifo_and_a_device_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/null"):
        with pytest.raises(DeadLetterFileError, match="not a regular file"):
            DeadLetterFile(module.Path(path)).check_writable()


def test_the_standard_output_of_the_run_is_refused_even_if_it_is_a_file(tmp_path):
    program = (
        "from pathlib import Path; from destination_wicked_reports.delivery.dead_letters import DeadLetterFile\n"
        "DeadLetterFile(Path('/dev/stdout')).check_writable()"
    )
    with (tmp_path / "output").open("wb") as output:
        done = subprocess.run([sys.executable, "-c", program], stdout=output, stderr=subprocess.PIPE, text=True)
    assert "it is the standard input or output of this run" in done.stderr


def test_a_file_system_without_locks_is_refused(dead_letters, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", no_locks)
    with pytest.raises(DeadLetterFileError, match="does not support file locks"):
        dead_letters.check_writable()
    dead_letters._descriptor = -1
