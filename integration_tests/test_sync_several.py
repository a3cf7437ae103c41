"""Several sources in one `sync.yaml` that run at the same time, with one PostgreSQL ledger."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from integration_tests.simulator.server import running_simulator
from integration_tests.support.processes import RUN_SECONDS
from integration_tests.support.sync import FIRST, PROGRAM, SyncFolder, has_rows_in_doubt
from integration_tests.test_sync_kill import _children, reading_on, wait_until

START = "2026-03-20"


@pytest.fixture
def sync(tmp_path, server):
    """Two vendors' sources side by side."""
    with running_simulator(start=FIRST, frozen=True) as simulator:
        simulator.generate(transactions=200, days=12, later_days=0)
        simulator.sovrn.generate(transactions=200, days=12, later_days=0, late=0.0)
        simulator.throttle(100_000)
        simulator.sovrn.pace(0)
        folder = SyncFolder(tmp_path, simulator)
        wecantrack = folder.settings.pop("source")
        wecantrack["config"] |= {"start_date": START, "end_date": FIRST}
        mapping = folder.settings["destination"]["mapping"]
        sovrn = {
            "program": "source-sovrn",
            "config": {
                "secret_key": "${SOVRN_SECRET_KEY}",
                "start_date": START,
                "end_date": FIRST[:10],
                "api_url": simulator.url,
                "request_interval_seconds": 0,
            },
            "streams": ["transactions"],
            "mapping": {**mapping, "type": "sovrn", "contact_rules": [{"field": "cuid", "pattern": USER}]},
        }
        folder.settings |= {
            "sources": [{"name": "blog", **wecantrack}, {"name": "sovrn", **sovrn}],
            "side_by_side": True,
        }
        folder.settings["destination"] |= {"ledger": {"type": "postgres", "url": server.database()}, "batch_rows": 5}
        folder.write()
        yield folder
        assert folder.leaks() == []


USER = "^(?P<contact_id>U[0-9]+)_"


def held_once(sync: SyncFolder) -> None:
    """Compare what Wicked Reports has with what it must have of each source."""
    held = sync.simulator.held(orders=True)
    assert held == {**sync.simulator.truth([FIRST], orders=True), **sync.simulator.sovrn.truth([FIRST], orders=True)}
    assert (sync.position("blog"), sync.position("sovrn")) == (FIRST, FIRST[:10])


def test_all_send_everything_once_and_each_keeps_its_own_state(sync):
    first = sync.run("run")
    assert first.returncode == 0, first.stdout + first.stderr
    named = [line.split()[1] for line in first.stdout.splitlines() if line.startswith("source ")]
    assert sorted(named) == ["blog", "sovrn"]
    held_once(sync)
    assert sync.simulator.held()["duplicate_orders"] == []


def test_a_kill_of_one_leaves_the_other_alone_and_the_next_run_goes_on(sync):
    sync.simulator.fault("slow", "/v1/reports/transactions", seconds=0.5, times=0)
    runner = subprocess.Popen(
        [str(PROGRAM), "run", str(sync.folder / "sync.yaml")],
        env=sync.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: reading_on(sync, "", "sovrn"))
    os.kill(process_of(runner.pid, "sovrn", "write"), signal.SIGKILL)
    shown, _ = runner.communicate(timeout=RUN_SECONDS)
    assert runner.returncode == 2
    assert "sovrn: destination: it was killed by SIGKILL" in shown
    assert (sync.state("blog")["last_run"]["code"], sync.state("sovrn")["last_run"]["code"]) == (0, 2)
    sync.simulator.clear_faults()
    last = sync.run("run")
    assert last.returncode == has_rows_in_doubt(last), last.stdout + last.stderr
    held_once(sync)


def process_of(runner: int, name: str, side: str) -> int:
    """Return the process that reads or writes for one source: both have files in one folder."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in _children(runner)}
    (folder,) = {Path(part).parent for line in lines.values() for part in line if part.endswith(f"/{name}.config.json")}
    (found,) = [pid for pid, line in lines.items() if side in line and any(str(folder) in part for part in line)]
    return int(found)
