"""The source under test, its configuration, and its test data."""

from __future__ import annotations

from typing import Any

import pytest
from source_wecantrack import SourceWecantrack
from source_wecantrack.base import rate_limit

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

SUBJECT = Subject(SourceWecantrack, rate_limit, "transactions")
TRANSACTIONS = "/api/v3/transactions"


@pytest.fixture(scope="session")
def subject() -> Subject:
    return SUBJECT


@pytest.fixture
def config(sim: SimulatorClient) -> dict[str, Any]:
    return simulated_config(sim, api_key=sim.wecantrack_key)


def fill(sim: SimulatorClient, days: int = 3, per_day: int = 5, start: str = "2026-01-01") -> set[str]:
    """Insert `per_day` transactions a day and return their keys."""

    def row(day: int, number: int, _date: str) -> dict[str, Any]:
        return {"transaction_id": f"T{day:02d}{number:04d}", "user_network_account_id": 7, "sale_amount": "10.10"}

    return {f"7-{row['transaction_id']}" for row in fill_days(sim.upsert, row, days, per_day, start)}
