"""`wicked-reports-sync run`: source and destination as one command, its state, its refusals and its exit codes."""

from __future__ import annotations

import pytest

from integration_tests.simulator.server import running_simulator
from integration_tests.support.sync import FIRST, SyncFolder

SECOND = "2026-04-08T12:00:00"


@pytest.fixture
def busy():
    with running_simulator(start=FIRST, frozen=True) as simulator:
        simulator.generate(transactions=600, days=30, later_days=8)
        simulator.throttle(100_000)
        yield simulator


@pytest.fixture
def sync(tmp_path, busy):
    folder = SyncFolder(tmp_path, busy)
    yield folder
    assert folder.leaks() == []


def end(sync: SyncFolder, day: str) -> None:
    """Read up to this day: the simulator's clock is not that of the source."""
    sync.settings["source"]["config"]["end_date"] = day
    sync.write()


def test_two_runs_send_everything_once_and_the_second_starts_from_the_state(sync, busy):
    end(sync, FIRST)
    first = sync.run("run")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("LIVE: rows go to Wicked Reports, account ")
    assert f"Ledger {sync.folder}/ledger.sqlite, 0 rows." in first.stdout
    assert sync.position() == FIRST
    assert sync.state()["ledger"]
    busy.set_clock(SECOND, frozen=True)
    end(sync, SECOND)
    second = sync.run("run")
    assert second.returncode == 0, second.stderr
    assert f"transactions from {SECOND}" in second.stdout
    assert busy.held()["table"] == busy.truth([FIRST, SECOND])
    assert busy.held()["duplicate_orders"] == []
    assert sync.state()["last_run"]["read"] < 600


def test_the_files_are_private_and_nothing_with_a_key_is_left(sync, tmp_path, monkeypatch):
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    end(sync, FIRST)
    assert sync.run("run", XDG_RUNTIME_DIR=str(runtime)).returncode == 0
    assert list(runtime.iterdir()) == []
    assert (sync.folder / "state.json").stat().st_mode & 0o077 == 0
    (log,) = (sync.folder / "logs").iterdir()
    assert "Reading stream transactions" in log.read_text()


def test_reading_again_from_a_day_sends_nothing_twice(sync, busy):
    end(sync, FIRST)
    sync.run("run")
    orders = len(busy.wicked_rows("orders"))
    again = sync.run("run", "--from", "2026-03-10")
    assert again.returncode == 0, again.stderr
    assert len(busy.wicked_rows("orders")) == orders
    assert sync.state()["last_run"]["read"] > 300
    assert sync.position() == FIRST


def test_a_later_day_than_the_state_is_refused_because_the_days_between_would_be_lost(sync):
    end(sync, "2026-03-10")
    sync.run("run")
    refused = sync.run("run", "--from", "2026-03-20")
    assert refused.returncode == 3
    assert "--from 2026-03-20 is later than 2026-03-10" in refused.stdout


@pytest.mark.parametrize("what", ["another ledger", "test mode"])
def test_a_state_of_another_ledger_or_mode_is_refused(sync, busy, what):
    end(sync, FIRST)
    sync.run("run")
    requests = len(busy.requests())
    if what == "test mode":
        sync.settings["destination"]["test_mode"] = True
    else:
        sync.settings["destination"]["ledger"]["path"] = "another.sqlite"
    sync.write()
    refused = sync.run("run")
    assert refused.returncode == 3
    assert ("TEST MODE" in refused.stdout) == (what == "test mode")
    assert "reset --all" in refused.stdout
    assert len(busy.requests()) == requests


def test_a_missing_variable_is_named_with_its_place(sync):
    refused = sync.run("run", WECANTRACK_API_KEY="")
    assert refused.returncode == 3
    assert "line 4: the environment variable WECANTRACK_API_KEY is not set" in refused.stderr


@pytest.mark.parametrize("name", ["WECANTRACK_API_KEY", "WICKED_REPORTS_API_KEY"])
def test_a_wrong_key_is_a_wrong_configuration(sync, name):
    refused = sync.run("run", **{name: "no-such-key"})
    assert refused.returncode == 3
    assert "API key" in refused.stdout


def test_rows_in_doubt_end_with_1_and_the_next_run_goes_on(sync, busy):
    end(sync, FIRST)
    sync.run("run")
    busy.set_clock(SECOND, frozen=True)
    end(sync, SECOND)
    busy.fault("store_then_close", "/orderpayments")
    doubtful = sync.run("run")
    assert doubtful.returncode == 1, doubtful.stdout
    assert "in doubt" in doubtful.stdout
    assert "exit code 1" in doubtful.stdout
    assert sync.position() == SECOND
    busy.clear_faults()
    assert sync.run("run").returncode == 0
    assert busy.held()["table"] == busy.truth([FIRST, SECOND])


def test_an_outage_of_wicked_reports_ends_with_2_and_the_next_run_goes_on(sync, busy):
    end(sync, FIRST)
    busy.fault("status_401", "/orders", times=0)
    assert sync.run("run").returncode == 3
    busy.clear_faults()
    busy.fault("half_body", "/api/v3/transactions", nth=6, times=0)
    stopped = sync.run("run")
    assert stopped.returncode == 2
    assert "exit code 2" in stopped.stdout
    busy.clear_faults()
    assert sync.run("run").returncode == 0
    assert busy.held()["table"] == busy.truth([FIRST])


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_vendor_that_cannot_be_reached_is_no_wrong_configuration(sync, side):
    settings = sync.settings["source"]["config"] if side == "source" else sync.settings["destination"]
    settings["api_url"] = "http://localhost:9"
    sync.write()
    stopped = sync.run("run")
    assert stopped.returncode == 2
    assert "reached" in stopped.stdout
