"""The sources that the tests of the shared code use; wecantrack's is the example where one is enough."""

from __future__ import annotations

from typing import Any

import pytest
import source_sovrn.base.rate_limit
import source_wecantrack.base.rate_limit
import source_wicked_reports.base.rate_limit
from source_sovrn import SourceSovrn
from source_wecantrack import SourceWecantrack
from source_wicked_reports import SourceWickedReports

from integration_tests.simulator.client import SimulatorClient
from integration_tests.support.source_fixtures import (
    Subject,
    clock,
    fill_days,
    read,
    sim,
    simulated_config,
    simulator_process,
)

__all__ = ["clock", "read", "sim", "simulator_process"]

SUBJECT = Subject(SourceWecantrack, source_wecantrack.base.rate_limit, "transactions")
SUBJECTS = [
    SUBJECT,
    Subject(SourceSovrn, source_sovrn.base.rate_limit, "transactions"),
    Subject(SourceWickedReports, source_wicked_reports.base.rate_limit, "orders"),
]


@pytest.fixture(scope="session")
def subject() -> Subject:
    return SUBJECT


@pytest.fixture
def config(sim: SimulatorClient) -> dict[str, Any]:
    return simulated_config(sim, api_key=sim.wecantrack_key)


def fill(sim: SimulatorClient, days: int = 3, per_day: int = 5) -> None:
    """Insert `per_day` transactions a day."""
    fill_days(
        sim.upsert,
        lambda day, number, _date: {"transaction_id": f"T{day:02d}{number:04d}", "user_network_account_id": 7},
        days,
        per_day,
        "2026-01-01",
    )
