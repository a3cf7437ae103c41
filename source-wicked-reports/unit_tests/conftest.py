"""The source under test, its configuration, and its test data."""

from __future__ import annotations

from typing import Any

import pytest
from source_wicked_reports import SourceWickedReports
from source_wicked_reports.base import rate_limit

from integration_tests.simulator.client import SimulatorClient
from integration_tests.support.source_fixtures import Subject, clock, read, sim, simulated_config, simulator_process

__all__ = ["clock", "read", "sim", "simulator_process"]

SUBJECT = Subject(SourceWickedReports, rate_limit, "orders", now="2026-02-01T12:00:00Z", clock=None)
LISTS = ("contacts", "orders", "clicks")
SELECTED = ("selected_contacts", "selected_contact_clicks", "selected_contact_orders")


@pytest.fixture(scope="session")
def subject() -> Subject:
    return SUBJECT


@pytest.fixture
def config(sim: SimulatorClient) -> dict[str, Any]:
    return simulated_config(sim, end_date="2026-01-20", api_key=sim.wicked_key)


def fill(sim: SimulatorClient, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """Insert rows from January 1 to 20, and return them as the API sends them."""
    sim.outbound.seed(**{"start": "2026-01-01", "days": 20, "contacts": 20, "orders": 60, "clicks": 90, **settings})
    return {kind: sim.outbound.rows(kind) for kind in LISTS}


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {row["id"] for row in rows}


def windows(sim: SimulatorClient, path: str = "/orders") -> list[tuple[str, str]]:
    """Return `from` and `to` of each request for a first page."""
    queries = [dict(request["query"]) for request in sim.requests(path)]
    return [(query["from"], query["to"]) for query in queries if "next" not in query]
