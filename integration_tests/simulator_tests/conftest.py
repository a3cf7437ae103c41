"""One running simulator per module, reset before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration_tests.simulator import SimulatorClient, running_simulator


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[SimulatorClient]:
    """Run a simulator with a stopped clock, at the module's `CLOCK` or at midnight."""
    with running_simulator(start=getattr(request.module, "CLOCK", "2026-04-01T00:00:00"), frozen=True) as client:
        yield client


@pytest.fixture
def sim(running: SimulatorClient) -> SimulatorClient:
    running.reset()
    return running
