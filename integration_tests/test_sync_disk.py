"""`wicked-reports-sync run` with state, log or private files on a small disk that is full or read-only."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path

import pytest

from integration_tests.support.sync import FIRST, sync_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
PAGE = 4096


@pytest.fixture
def sync(tmp_path):
    with sync_folder(tmp_path, transactions=120, batch_rows=5) as folder:
        yield folder


@pytest.fixture
def disk(tmp_path):
    """Mount a disk of 64 kB in the folder of `sync.yaml`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, *, pages_left: int = 0) -> None:
    """Fill the disk but for some pages."""
    file = disk / "filling"
    with file.open("wb", buffering=0) as filling, contextlib.suppress(OSError):
        while True:
            filling.write(bytes(PAGE))
    os.truncate(file, file.stat().st_size - pages_left * PAGE)


def make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def test_a_disk_that_is_full_for_the_state_stops_before_anything_is_read(sync, disk):
    sync.change(state="disk/state.json")
    fill(disk)
    refused = sync.run("run")
    assert refused.returncode == 2
    assert f"The state file {disk}/state.json cannot be written ({os.strerror(errno.ENOSPC)}). Make room" in (
        refused.stdout
    )
    assert sync.simulator.wicked_rows("orders") == []


def test_a_state_that_cannot_be_kept_stops_the_run_and_what_was_read_is_sent_once(sync, disk):
    sync.change(state="disk/state.json")
    fill(disk, pages_left=2)  # enough for the lock and the first state file, not for the next one beside it
    stopped = sync.run("run")
    assert stopped.returncode == 2
    assert f"{disk}/state.json cannot be written ({os.strerror(errno.ENOSPC)}). Make room" in stopped.stdout
    assert "Nothing is lost: run it again" in stopped.stdout
    assert len(sync.simulator.wicked_rows("orders")) > 0
    assert "in doubt" not in stopped.stdout
    (disk / "filling").unlink()
    assert sync.run("run").returncode == 0
    assert sync.simulator.held()["table"] == sync.simulator.truth([FIRST])
    assert sync.simulator.held()["duplicate_orders"] == []


def test_a_read_only_state_is_a_wrong_configuration_and_status_still_works(sync, disk):
    sync.change(state="disk/state.json")
    make_read_only(disk)
    refused = sync.run("run")
    assert refused.returncode == 3
    assert f"{disk}/state.json cannot be written ({os.strerror(errno.EROFS)}). Correct the path" in refused.stderr
    assert "running     no" in sync.run("status").stdout


def test_a_log_that_cannot_be_written_is_a_warning(sync, disk):
    sync.change(logs="disk")
    fill(disk)
    done = sync.run("run")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("is not complete (No space left on device). The run goes on.") == 1
    assert sync.simulator.held()["table"] == sync.simulator.truth([FIRST])


def test_a_read_only_folder_for_logs_is_a_wrong_configuration_and_a_missing_one_is_made(sync, disk):
    sync.change(logs="disk/logs")
    make_read_only(disk)
    refused = sync.run("run")
    assert refused.returncode == 3
    assert f"{disk}/logs, cannot be written ({os.strerror(errno.EROFS)}). Correct the path" in refused.stdout
    sync.change(logs="a/b")
    assert sync.run("run").returncode == 0
    assert len(list((sync.folder / "a" / "b").iterdir())) == 1


def test_a_disk_that_is_full_for_the_private_files_is_no_wrong_configuration(sync, disk):
    fill(disk)
    refused = sync.run("run", XDG_RUNTIME_DIR=str(disk))
    assert refused.returncode == 2
    assert "cannot be written (No space left on device). Make room" in refused.stdout
