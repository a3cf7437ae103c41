"""Fixtures of the whole-connector tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator
from integration_tests.support.postgres import Server, running_postgres
from integration_tests.support.processes import Workspace


@pytest.fixture
def simulator() -> Iterator[SimulatorClient]:
    """Run a simulator for one test, with a stopped clock."""
    with running_simulator(start="2026-04-01T12:00:00", frozen=True) as client:
        yield client


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a PostgreSQL server for the tests of one module, each of which makes its own database."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    """Provide a workspace; at the end its output may contain no key, no e-mail address, and only messages."""
    space = Workspace(tmp_path, [SimulatorClient.wecantrack_key, SimulatorClient.wicked_key, SimulatorClient.sovrn_key])
    yield space
    assert list(space.leaks()) == []
