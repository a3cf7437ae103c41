"""A line of the dead-letter file is whole, or not there."""

import errno
import os

import pytest
from builders.destination import make_row, read_letters
from destination_wicked_reports.delivery import dead_letters


def test_a_disk_that_takes_half_a_line_takes_none_and_the_run_hears_of_it(letters, monkeypatch):
    letters.reject_row(make_row(number=1), "no")
    real, calls = os.write, []

    def full(descriptor, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[:10])

    monkeypatch.setattr(dead_letters.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        letters.reject_row(make_row(number=2), "no")
    monkeypatch.undo()
    letters.reject_row(make_row(number=3), "no")
    assert [letter["row"]["SourceID"] for letter in read_letters(letters)] == ["1", "3"]
    assert letters.counts["rejected"] == 2


def test_a_short_write_is_continued(letters, monkeypatch):
    real = os.write
    monkeypatch.setattr(dead_letters.os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:7]))
    letters.reject_row(make_row(number=1), "no")
    assert [letter["row"]["SourceID"] for letter in read_letters(letters)] == ["1"]


def test_a_line_that_a_dead_run_left_torn_does_not_tear_the_next(letters):
    letters.path.write_bytes(b'{"outcome": "rejec')
    letters.reject_row(make_row(number=1), "no")
    torn, whole = letters.path.read_bytes().splitlines()
    assert torn == b'{"outcome": "rejec'
    assert whole.startswith(b'{"outcome":"rejected"')
