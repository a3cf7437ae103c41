"""The dead-letter file has complete lines only."""

import errno
import os

import pytest
from builders.destination import lines_of, make_row
from destination_wicked_reports.delivery import dead_letters as module


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
