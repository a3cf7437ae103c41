"""One simulator for all tests, a clock that never sleeps, and a reader that runs the source in this process."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import airbyte_cdk.sources.declarative.concurrent_declarative_source as cdk_source
import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteStateMessageSerializer, ConfiguredAirbyteCatalogSerializer, Type
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_wicked_reports import SourceWickedReports
from source_wicked_reports.base import rate_limit

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator

# the CDK parses its own schema of 6,000 lines for every source that is made; once is enough for all tests
cdk_source.get_declarative_component_schema = functools.cache(cdk_source.get_declarative_component_schema)

LOGGER = logging.getLogger("airbyte.test")
NOW = "2026-02-01T12:00:00Z"
LISTS = ("contacts", "orders", "clicks")
CHOSEN = ("selected_contacts", "selected_contact_clicks", "selected_contact_orders")


class FakeClock:
    """Sleeping moves this clock, and the simulator's with it."""

    def __init__(self) -> None:
        self.time = datetime.fromisoformat(NOW.replace("Z", "+00:00")).astimezone(timezone.utc).timestamp()
        self.slept: list[float] = []
        self.sim: SimulatorClient | None = None

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.time += seconds
        if self.sim is not None:
            self.sim.move_clock(seconds=seconds)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(rate_limit, "CLOCK", fake)
    return fake


@pytest.fixture(scope="session")
def _simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start=NOW, frozen=True) as client:
        yield client


@pytest.fixture
def sim(_simulator: SimulatorClient, clock: FakeClock) -> Iterator[SimulatorClient]:
    _simulator.reset()
    _simulator.set_clock(NOW, frozen=True)
    clock.sim = _simulator
    yield _simulator
    _simulator.reset()


@dataclass
class Outcome:
    """What a read gave, up to its end or its failure."""

    messages: list[AirbyteMessage] = field(default_factory=list)
    error: AirbyteTracedException | None = None

    def rows(self, stream: str = "orders") -> list[dict[str, Any]]:
        return [m.record.data for m in self.messages if m.type == Type.RECORD and m.record.stream == stream]

    def keys(self, stream: str = "orders") -> list[str]:
        return [row["click_key"] if "click_key" in row else row["id"] for row in self.rows(stream)]

    def states(self, stream: str = "orders") -> list[dict[str, Any]]:
        states = [m.state.stream for m in self.messages if m.type == Type.STATE]
        return [vars(state.stream_state) for state in states if state.stream_descriptor.name == stream]

    def statuses(self) -> list[tuple[str, str]]:
        traces = [m.trace.stream_status for m in self.messages if m.type == Type.TRACE and m.trace.stream_status]
        return [(status.stream_descriptor.name, status.status.value) for status in traces]


@pytest.fixture
def config(sim: SimulatorClient) -> dict[str, Any]:
    return {
        "api_key": sim.wicked_key,
        "start_date": "2026-01-01",
        "end_date": "2026-01-20",
        "api_url": sim.url,
        "read_timeout_seconds": 2,
    }


def catalog_of(*streams: str) -> dict[str, Any]:
    """Return a configured catalog, as a platform makes it of what `discover` told."""
    return {
        "streams": [
            {
                "stream": {
                    "name": name,
                    "json_schema": {},
                    "supported_sync_modes": ["full_refresh", *(["incremental"] if name in LISTS else [])],
                },
                "sync_mode": "incremental" if name in LISTS else "full_refresh",
                "destination_sync_mode": "append",
            }
            for name in streams
        ]
    }


Reader = Callable[..., Outcome]


@pytest.fixture
def read() -> Reader:
    """Read in this process: `read(config, "orders", state={...})`."""

    def run(config: dict[str, Any], *streams: str, state: dict[str, Any] | None = None) -> Outcome:
        streams = streams or ("orders",)
        catalog = ConfiguredAirbyteCatalogSerializer.load(catalog_of(*streams))
        saved = [
            AirbyteStateMessageSerializer.load(
                {
                    "type": "STREAM",
                    "stream": {"stream_descriptor": {"name": streams[0]}, "stream_state": state},
                }
            )
        ]
        source = SourceWickedReports(catalog=catalog, config=config, state=saved if state is not None else [])
        outcome = Outcome()
        try:
            for message in source.read(LOGGER, config, catalog):
                outcome.messages.append(message)
        except AirbyteTracedException as error:
            outcome.error = error
        return outcome

    return run


def fill(sim: SimulatorClient, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """Let rows appear from 1 to 20 January, and return them as the wire carries them."""
    sim.outbound.seed(**{"start": "2026-01-01", "days": 20, "contacts": 20, "orders": 60, "clicks": 90, **settings})
    return {kind: sim.outbound.rows(kind) for kind in LISTS}


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {row["id"] for row in rows}


def windows(sim: SimulatorClient, path: str = "/orders") -> list[tuple[str, str]]:
    """Return `from` and `to` of each first page that was asked for."""
    queries = [dict(request["query"]) for request in sim.requests(path)]
    return [(query["from"], query["to"]) for query in queries if "next" not in query]
