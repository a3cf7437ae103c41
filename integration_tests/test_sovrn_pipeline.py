"""Sovrn's commissions into Wicked Reports: both record shapes, late returns, the rate limit, kills."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from integration_tests.simulator.server import running_simulator
from integration_tests.support.processes import catalog, finish_pipe, start_pipe

FIRST, SECOND = "2026-04-01T12:00:00", "2026-04-08T12:00:00"
START = "2026-03-24"


class Sync:
    """Both connectors with one simulator, one ledger and one state."""

    def __init__(self, simulator, workspace, tmp_path):
        self.workspace = workspace
        self.source = {
            "secret_key": simulator.sovrn_key,
            "api_url": simulator.url,
            "start_date": START,
            "request_interval_seconds": 0,
        }
        self.destination = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {
                "type": "sovrn",
                "contact_rules": [{"field": "cuid", "pattern": "^(?P<contact_id>U[0-9]+)_"}],
                "without_contact": "synthetic",
            },
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
            "on_rejected_record": "skip",
            "batch_rows": 50,
        }
        self.state: list = []

    def start(self, end: str):
        asked = catalog("transactions")
        state = self.workspace.file("state.json", self.state)
        config = {**self.source, "end_date": end[:10]}
        return start_pipe(
            self.workspace.command("source-sovrn", "read", config=config, catalog=asked, state=state),
            self.workspace.command("destination-wicked-reports", "write", config=self.destination, catalog=asked),
        )

    def finish(self, reader, writer):
        result = finish_pipe(self.workspace, reader, writer)
        self.state = result.state or self.state
        return result

    def run(self, end: str):
        result = self.finish(*self.start(end))
        assert result.source_code == 0, result.destination.said
        assert result.destination.code == 0, result.destination.said
        return result.destination


@pytest.fixture
def busy():
    """A simulator with two weeks of Sovrn transactions and their changes, without a rate limit."""
    with running_simulator(start=FIRST, frozen=True) as simulator:
        simulator.sovrn.generate(transactions=600, days=8, later_days=8, changing=0.7, late=0.0)
        simulator.sovrn.pace(0)
        yield simulator


@pytest.mark.parametrize("shape", ["nested", "flat", "mixed"])
def test_after_two_syncs_wicked_stores_what_it_must_whatever_the_shape(busy, workspace, tmp_path, shape):
    busy.switch("sovrn.shape", shape)
    sync = Sync(busy, workspace, tmp_path)
    for end in (FIRST, SECOND):
        busy.set_clock(end, frozen=True)
        sync.run(end)
    assert busy.held(orders=True) == busy.sovrn.truth([FIRST, SECOND], orders=True)
    assert len(busy.held(orders=True)) > 100


def test_a_return_80_days_later_becomes_a_refund(simulator, workspace, tmp_path):
    sale = {
        "revenueId": "R1",
        "commissionId": "C1",
        "clickId": "K1",
        "merchantGroupId": 5,
        "commissionDate": "2026-03-30",
        "publisherNetRevenue": "9.1234",
        "cuid": "U7_top",
    }
    simulator.sovrn.pace(0)
    simulator.sovrn.upsert([sale], at="2026-03-30T12:00:00")
    sync = Sync(simulator, workspace, tmp_path)
    sync.run(FIRST)
    simulator.set_clock("2026-06-20T12:00:00", frozen=True)
    back = {**sale, "revenueId": "R2", "commissionId": "C2", "publisherNetRevenue": "-9.1234"}
    simulator.sovrn.upsert([back], at="2026-06-18T12:00:00")
    sync.run("2026-06-20T12:00:00")
    (order,) = simulator.wicked_rows("orders")
    assert order["SourceSystem"] == "sovrn"
    assert order["CreateDate"] == "2026-03-30 12:00:00"
    payments = [(row["Status"], float(row["Amount"])) for row in simulator.wicked_rows("orderpayments")]
    assert payments == [("APPROVED", 9.12), ("REFUNDED", 9.12)]


def test_the_server_sees_the_interval_kept_over_check_retries_streams_and_resume(simulator, workspace):
    interval = 0.4
    simulator.set_clock(FIRST, frozen=False)
    simulator.sovrn.pace(0)
    config = {
        "secret_key": simulator.sovrn_key,
        "api_url": simulator.url,
        "start_date": "2026-03-30",
        "end_date": "2026-03-31",
        "request_interval_seconds": interval,
    }
    simulator.fault("status_503", "/v1/reports/transactions", nth=2)
    assert workspace.run("source-sovrn", "check", config=config).of("CONNECTION_STATUS")[0]["status"] == "SUCCEEDED"
    asked = catalog("transactions", "merchants_by_date")
    first = workspace.run("source-sovrn", "read", config=config, catalog=asked)
    second = workspace.run("source-sovrn", "read", config=config, catalog=asked, state=first.states)
    assert (first.code, second.code) == (0, 0), first.said
    starts = [r["monotonic"] for r in simulator.requests() if r["path"].startswith("/v1/reports/")]
    assert len(starts) >= 7
    assert min(later - earlier for earlier, later in pairwise(starts)) >= interval - 0.02


def test_after_kills_at_random_points_wicked_stores_what_it_must(busy, workspace, tmp_path):
    rng = random.Random(5)
    sync = Sync(busy, workspace, tmp_path)
    busy.fault("slow", method="POST", seconds=0.02, times=0)
    for _ in range(4):
        reader, writer = sync.start(FIRST)
        begun = time.monotonic()
        posts = rng.randint(1, 4)
        while writer.poll() is None and time.monotonic() - begun < 60:
            by_path = busy.stats()["requests"]["by_path"]
            if sum(count for path, count in by_path.items() if path.startswith("POST")) >= posts:
                break
            time.sleep(0.005)
        rng.choice([reader, writer]).kill()
        sync.finish(reader, writer)
    sync.run(FIRST)
    assert busy.held(orders=True) == busy.sovrn.truth([FIRST], orders=True)
