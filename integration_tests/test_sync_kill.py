"""`wicked-reports-sync run`, killed anywhere between source, destination and state file, and started twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from destination_wicked_reports.sync.state import is_running

from integration_tests.support.processes import RUN_SECONDS
from integration_tests.support.sync import FIRST, PROGRAM, SyncFolder, has_rows_in_doubt, sync_folder


@pytest.fixture
def slow(tmp_path):
    with sync_folder(tmp_path, transactions=600, slow_seconds=0.6, batch_rows=5) as folder:
        yield folder


#: Kills the command at a step of the fifth writing of its state file, and its processes with it if told to.
KILLED_WHILE_WRITING = """
import os, pathlib, signal, sys, tempfile
step, everything = sys.argv.pop(1), sys.argv.pop(1) == "everything"
writings = 0

def die():
    children = [pid for path in pathlib.Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    for pid in children if everything else []:
        os.kill(int(pid), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

def make(*arguments, real=tempfile.mkstemp, **options):
    global writings
    writings += str(options.get("prefix")).startswith(".state.json")
    if writings == 5 and step == "before":
        die()
    return real(*arguments, **options)

def replace(*paths, real=os.replace):
    if writings == 5 and step == "written":
        die()
    real(*paths)
    if writings == 5 and step == "renamed":
        die()

tempfile.mkstemp, os.replace = make, replace
from destination_wicked_reports.sync.cli import cli
cli()
"""


def start(folder: SyncFolder, **environment: str) -> subprocess.Popen[bytes]:
    line = [str(PROGRAM), "run", str(folder.folder / "sync.yaml")]
    return subprocess.Popen(
        line, env=folder.environment(**environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


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


def reading_on(folder: SyncFolder, before: str, source: str = "wecantrack") -> bool:
    try:
        return folder.position(source) > before
    except (OSError, KeyError, ValueError):
        return False


def let_it_wait(folder: SyncFolder) -> None:
    """Let the source read some days, and then wait for an answer."""
    folder.simulator.clear_faults()
    folder.simulator.fault("hang", "/api/v3/transactions", nth=12, seconds=RUN_SECONDS, times=0)


def ends_with_every_order_once(folder: SyncFolder, **environment: str) -> None:
    """Run to the end, and compare what Wicked Reports has with what it must have."""
    folder.simulator.clear_faults()
    last = folder.run("run", **environment)
    assert last.returncode == has_rows_in_doubt(last), last.stdout + last.stderr
    assert folder.run("run").returncode == 0
    held = folder.simulator.held()
    assert held["table"] == folder.simulator.truth([FIRST])
    assert held["orphan_payments"] == 0
    assert folder.position() == FIRST


def test_killed_five_times_everywhere_it_ends_with_every_order_once(slow, tmp_path):
    position, private = "", tmp_path / "private"
    private.mkdir()
    for victim in ("runner", "source", "destination", "runner", "destination"):
        runner = start(slow, XDG_RUNTIME_DIR=str(private))
        wait_until(lambda: reading_on(slow, position) or runner.poll() is not None)  # noqa: B023
        assert runner.poll() is None
        position = slow.position()
        pids = {"runner": runner.pid, **processes_of(runner.pid)}
        os.kill(pids[victim], signal.SIGKILL)
        code = runner.wait(RUN_SECONDS)
        assert code == (-signal.SIGKILL if victim == "runner" else 2)
        if victim == "runner":  # the destination ends by itself, and holds the lock until then
            wait_until(lambda: not Path(f"/proc/{pids['destination']}").exists())  # noqa: B023
            assert "`run` goes on from its last state" in slow.run("status").stdout
            assert len(list(private.iterdir())) == 1
    ends_with_every_order_once(slow, XDG_RUNTIME_DIR=str(private))
    assert list(private.iterdir()) == [], "the files with keys of killed runs are left"
    assert "cut off" not in slow.run("status").stdout


def test_killed_at_every_step_of_writing_the_state_it_ends_with_every_order_once(tmp_path):
    with sync_folder(tmp_path, transactions=300, slow_seconds=0.05, batch_rows=5) as folder:
        for step, victims in (("before", "everything"), ("written", "command"), ("renamed", "everything")):
            line = [sys.executable, "-c", KILLED_WHILE_WRITING, step, victims, "run", str(tmp_path / "sync.yaml")]
            killed = subprocess.run(line, env=folder.environment(), capture_output=True, timeout=RUN_SECONDS)
            assert killed.returncode == -signal.SIGKILL, killed.stderr
            wait_until(lambda: not is_running(tmp_path / "state.json"))
            assert len(list(tmp_path.glob(".state.json.*"))) == (step == "written")
        ends_with_every_order_once(folder)
        assert list(tmp_path.glob(".state.json.*")) == []


def test_a_source_that_is_killed_before_it_reads_is_no_wrong_configuration(tmp_path):
    with sync_folder(tmp_path, transactions=20) as folder:
        program = tmp_path / "source-wecantrack"
        program.write_text(f'#!/bin/sh\n[ "$1" = read ] && kill -9 $$\nexec {PROGRAM.with_name(program.name)} "$@"\n')
        program.chmod(0o700)
        folder.settings["source"]["program"] = str(program)
        folder.write()
        failed = folder.run("run")
        assert failed.returncode == 2
        assert "source: it was killed by SIGKILL" in failed.stdout
        assert "destination:" not in failed.stdout


@pytest.mark.parametrize("cause", ["killed", "refused"])
def test_a_destination_that_ends_while_the_source_waits_ends_the_run_and_is_named(slow, cause):
    let_it_wait(slow)
    if cause == "refused":
        slow.simulator.fault("status_401", "/orders", times=0)
    line = [str(PROGRAM), "run", str(slow.folder / "sync.yaml")]
    runner = subprocess.Popen(line, env=slow.environment(), stdout=subprocess.PIPE, text=True)
    if cause == "killed":
        wait_until(lambda: reading_on(slow, ""))
        os.kill(processes_of(runner.pid)["destination"], signal.SIGKILL)
    shown, _ = runner.communicate(timeout=60)
    assert runner.returncode == (2 if cause == "killed" else 3)
    assert (
        "destination: it was killed" if cause == "killed" else "destination: Wicked Reports refused the API key"
    ) in shown
    assert "source:" not in shown


def test_a_second_run_at_the_same_time_is_refused_and_status_shows_the_first(slow):
    let_it_wait(slow)
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
