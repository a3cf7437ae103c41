"""`wicked-reports-sync run` on a real terminal: progress, narrow windows, Ctrl-C."""

from __future__ import annotations

import re
import signal

import pexpect
import pytest

from integration_tests.support.processes import RUN_SECONDS
from integration_tests.support.sync import FIRST, PROGRAM, SyncFolder, sync_folder

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def slow(tmp_path):
    """A folder whose run takes some seconds."""
    with sync_folder(tmp_path, transactions=600, slow_seconds=0.1) as folder:
        yield folder


def start(folder: SyncFolder, columns: int) -> pexpect.spawn:
    return pexpect.spawn(
        str(PROGRAM),
        ["run", str(folder.folder / "sync.yaml")],
        env=folder.environment(TERM="xterm", COLUMNS="", LINES=""),
        dimensions=(24, columns),
        timeout=RUN_SECONDS,
        encoding="utf-8",
        # A shell starts background jobs, as these tests may be, with SIGINT ignored, and the programs leave it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(child: pexpect.spawn) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


@pytest.mark.parametrize("columns", [40, 120])
def test_progress_shows_days_and_rows_and_fits_the_window(slow, columns):
    child = start(slow, columns)
    seen = []
    child.logfile_read = type("Keep", (), {"write": lambda _, text: seen.append(text), "flush": lambda _: None})()
    child.expect(r"day \d+ of 31")
    child.expect("read")
    assert finish(child) == 0
    lines = [ESCAPE.sub("", line) for line in re.split(r"[\r\n]+", "".join(seen))]
    assert max(len(line.rstrip()) for line in lines) <= columns
    assert any("delivered" in line for line in lines)
    assert any(line.startswith("next start") for line in lines)


def test_ctrl_c_keeps_the_state_says_how_to_go_on_and_the_next_run_completes(slow):
    child = start(slow, 100)
    child.expect(r"day [5-9] of 31")
    child.sendintr()
    child.expect("Stopped. What was sent is in the ledger")
    assert finish(child) == 2
    assert "2026-03" in slow.position()
    slow.simulator.clear_faults()
    assert slow.run("run").returncode == 0
    assert slow.simulator.held()["table"] == slow.simulator.truth([FIRST])
    assert slow.simulator.held()["duplicate_orders"] == []


def test_init_asks_on_a_terminal(tmp_path):
    child = pexpect.spawn(str(PROGRAM), ["init", str(tmp_path / "sync.yaml")], timeout=RUN_SECONDS, encoding="utf-8")
    for question, answer in [
        ("Source", "sovrn"),
        ("First day", "2026-03-01"),
        ("Field", ""),
        ("Pattern", ""),
        ("without a buyer", "synthetic"),
    ]:
        child.expect(question)
        child.sendline(answer)
    assert finish(child) == 0
    written = (tmp_path / "sync.yaml").read_text()
    assert "program: source-sovrn" in written
    assert 'start_date: "2026-03-01"' in written
    assert "without_contact: synthetic" in written
