"""`wicked-reports-sync run`, killed between source, destination and state file, and started twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from integration_tests.support.processes import RUN_SECONDS
from integration_tests.support.sync import FIRST, PROGRAM, SyncFolder, sync_folder


@pytest.fixture
def slow(tmp_path):
    with sync_folder(tmp_path, transactions=600, slow_seconds=0.6, batch_rows=5) as folder:
        yield folder


def start(folder: SyncFolder) -> subprocess.Popen[bytes]:
    line = [str(PROGRAM), "run", str(folder.folder / "sync.yaml")]
    return subprocess.Popen(line, env=folder.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until(condition) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(runner: int) -> dict[str, int]:
    """Return the runner's source and destination while both read and write."""
    found = {}
    for child in _children(runner):
        line = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        found |= {name: int(child) for name, word in (("source", "read"), ("destination", "write")) if word in line}
    return found


def _children(runner: int) -> list[str]:
    """Return the children of all threads."""
    return [pid for path in Path(f"/proc/{runner}/task").glob("*/children") for pid in path.read_text().split()]


def reading_on(folder: SyncFolder, before: str) -> bool:
    try:
        return folder.position() > before
    except (OSError, KeyError, ValueError):
        return False


def test_killed_five_times_everywhere_it_ends_with_every_order_once(slow):
    position = ""
    for victim in ("runner", "source", "destination", "runner", "destination"):
        runner = start(slow)
        wait_until(lambda: reading_on(slow, position) or runner.poll() is not None)  # noqa: B023
        assert runner.poll() is None
        position = slow.position()
        pids = {"runner": runner.pid, **processes_of(runner.pid)}
        os.kill(pids[victim], signal.SIGKILL)
        code = runner.wait(RUN_SECONDS)
        assert code == (-signal.SIGKILL if victim == "runner" else 2)
        if victim == "runner":  # the destination ends by itself, and holds the lock until then
            wait_until(lambda: not Path(f"/proc/{pids['destination']}").exists())  # noqa: B023
    slow.simulator.clear_faults()
    last = slow.run("run")
    # a click that was being sent at a kill has no id, so nobody knows whether Wicked Reports has it
    assert last.returncode == ("in doubt" in last.stdout), last.stdout + last.stderr
    assert slow.run("run").returncode == 0
    assert slow.simulator.held()["table"] == slow.simulator.truth([FIRST])


def test_a_second_run_at_the_same_time_is_refused_and_status_shows_the_first(slow):
    runner = start(slow)
    wait_until(lambda: reading_on(slow, "") or runner.poll() is not None)
    refused = slow.run("run")
    assert refused.returncode == 2
    assert f"Another run uses {slow.folder}/state.json (process {runner.pid}" in refused.stderr
    shown = slow.run("status")
    assert shown.returncode == 0, shown.stderr
    assert "running     yes" in shown.stdout
    assert "rows, live, account" in shown.stdout
    assert slow.run("reset", "--all").returncode == 2
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(RUN_SECONDS) == 2
