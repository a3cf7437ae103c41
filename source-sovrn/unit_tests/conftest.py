"""The source under test, its configuration, and its test data."""

from __future__ import annotations

from typing import Any

import pytest
from source_sovrn import SourceSovrn
from source_sovrn.base import rate_limit

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

SUBJECT = Subject(SourceSovrn, rate_limit, "transactions")
TRANSACTIONS = "/v1/reports/transactions"
TOTALS = "/v1/reports/merchantsbydate"
CAMPAIGNS = "/api/account/campaigns/PRIMARY"
NOON = "T12:00:00Z"
#: Default interval between two report requests, in seconds.
INTERVAL = float(SUBJECT.default("request_interval_seconds"))


@pytest.fixture(scope="session")
def subject() -> Subject:
    return SUBJECT


@pytest.fixture
def config(sim: SimulatorClient) -> dict[str, Any]:
    return simulated_config(sim, secret_key=sim.sovrn_key)


def fill(sim: SimulatorClient, days: int = 3, per_day: int = 5, start: str = "2026-01-01") -> set[str]:
    """Insert `per_day` transactions a day and return their keys."""

    def row(day: int, number: int, date: str) -> dict[str, Any]:
        return {
            "revenueId": f"{day:02d}{number:04d}",
            "commissionId": f"c{number}",
            "clickDate": date,
            "publisherNetRevenue": "0.0075",
        }

    rows = fill_days(sim.sovrn.upsert, row, days, per_day, start)
    return {f"{row['revenueId']}:{row['commissionId']}" for row in rows}


def requested_days(sim: SimulatorClient, parameter: str = "updateDate") -> list[str]:
    """Return the day of each transactions request."""
    return [dict(request["query"])[parameter] for request in sim.requests(TRANSACTIONS)]


def serve(sim: SimulatorClient, body: str, path: str = TRANSACTIONS, **settings: Any) -> None:
    """Respond once with this body."""
    sim.fault("status", path, **{"status": 200, "times": 1, "body": body, **settings})
