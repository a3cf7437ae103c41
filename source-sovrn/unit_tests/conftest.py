"""One simulator for all tests, a clock that never sleeps, and a reader that runs the source in this process."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import airbyte_cdk.sources.declarative.concurrent_declarative_source as cdk_source
import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteStateMessageSerializer, ConfiguredAirbyteCatalogSerializer, Type
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from source_sovrn import SourceSovrn
from source_sovrn.base import rate_limit

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator

# the CDK parses its own schema of 6,000 lines for every source that is made; once is enough for all tests
cdk_source.get_declarative_component_schema = functools.cache(cdk_source.get_declarative_component_schema)

LOGGER = logging.getLogger("airbyte.test")
TRANSACTIONS = "/v1/reports/transactions"
TOTALS = "/v1/reports/merchantsbydate"
CAMPAIGNS = "/api/account/campaigns/PRIMARY"
NOON = "T12:00:00Z"


class FakeClock:
    """Sleeping moves this clock, and the simulator's with it."""

    def __init__(self) -> None:
        self.time = 1_790_000_000.0
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
    with running_simulator(start="2026-02-01T00:00:00Z", frozen=True) as client:
        yield client


@pytest.fixture
def sim(_simulator: SimulatorClient, clock: FakeClock) -> Iterator[SimulatorClient]:
    _simulator.reset()
    _simulator.set_clock("2026-02-01T00:00:00Z", frozen=True)
    clock.sim = _simulator
    yield _simulator
    _simulator.reset()


@dataclass
class Outcome:
    """What a read gave, up to its end or its failure."""

    messages: list[AirbyteMessage] = field(default_factory=list)
    error: AirbyteTracedException | None = None

    def rows(self, stream: str = "transactions") -> list[dict[str, Any]]:
        return [m.record.data for m in self.messages if m.type == Type.RECORD and m.record.stream == stream]

    def keys(self) -> list[str]:
        return [row["transaction_key"] for row in self.rows()]

    def states(self, stream: str = "transactions") -> list[dict[str, Any]]:
        states = [m.state.stream for m in self.messages if m.type == Type.STATE]
        return [vars(state.stream_state) for state in states if state.stream_descriptor.name == stream]

    def statuses(self) -> list[tuple[str, str]]:
        traces = [m.trace.stream_status for m in self.messages if m.type == Type.TRACE and m.trace.stream_status]
        return [(status.stream_descriptor.name, status.status.value) for status in traces]

    def estimates(self, stream: str = "transactions") -> list[int]:
        traces = [m.trace.estimate for m in self.messages if m.type == Type.TRACE and m.trace.estimate]
        return [estimate.row_estimate for estimate in traces if estimate.name == stream]


@pytest.fixture
def config(sim: SimulatorClient) -> dict[str, Any]:
    return {
        "secret_key": sim.sovrn_key,
        "start_date": "2026-01-01",
        "end_date": "2026-01-03",
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
                    "supported_sync_modes": ["full_refresh", *(["incremental"] if name != "campaigns" else [])],
                },
                "sync_mode": "incremental" if name != "campaigns" else "full_refresh",
                "destination_sync_mode": "append",
            }
            for name in streams
        ]
    }


Reader = Callable[..., Outcome]


@pytest.fixture
def read() -> Reader:
    """Read in this process: `read(config, "transactions", state={...})`."""

    def run(config: dict[str, Any], *streams: str, state: dict[str, Any] | None = None) -> Outcome:
        streams = streams or ("transactions",)
        catalog = ConfiguredAirbyteCatalogSerializer.load(catalog_of(*streams))
        saved = [
            AirbyteStateMessageSerializer.load(
                {
                    "type": "STREAM",
                    "stream": {"stream_descriptor": {"name": streams[0]}, "stream_state": state},
                }
            )
        ]
        source = SourceSovrn(catalog=catalog, config=config, state=saved if state is not None else [])
        outcome = Outcome()
        try:
            for message in source.read(LOGGER, config, catalog):
                outcome.messages.append(message)
        except AirbyteTracedException as error:
            outcome.error = error
        return outcome

    return run


def fill(sim: SimulatorClient, days: int = 3, per_day: int = 5, start: str = "2026-01-01") -> set[str]:
    """Write `per_day` transactions a day and return their keys."""
    keys = set()
    first = int(start[-2:])
    for day in range(first, first + days):
        date = f"{start[:-2]}{day:02d}"
        rows = [
            {
                "revenueId": f"{day:02d}{n:04d}",
                "commissionId": f"c{n}",
                "clickDate": date,
                "publisherNetRevenue": "0.0075",
            }
            for n in range(per_day)
        ]
        sim.sovrn.upsert(rows, at=date + NOON)
        keys |= {f"{row['revenueId']}:{row['commissionId']}" for row in rows}
    return keys


def days_asked(sim: SimulatorClient, parameter: str = "updateDate") -> list[str]:
    """Return the day of each transactions request."""
    return [dict(request["query"])[parameter] for request in sim.requests(TRANSACTIONS)]


def serve(sim: SimulatorClient, body: str, path: str = TRANSACTIONS, **settings: Any) -> None:
    """Answer with a body of one's own."""
    sim.fault("status", path, **{"status": 200, "times": 1, "body": body, **settings})
