"""Fixtures and helpers that the unit tests of all sources share.

A conftest imports the fixtures `clock`, `read`, `sim` and `simulator_process`, and defines two of its own: `subject`
(session scope) returns a `Subject`, `config` a configuration for the simulator.
"""

from __future__ import annotations

import functools
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import airbyte_cdk.sources.declarative.concurrent_declarative_source as cdk_source
import pytest
from airbyte_cdk.models import AirbyteMessage, AirbyteStateMessageSerializer, ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator

# The CDK parses its schema of 6,000 lines for every source that is built; once is enough for all tests.
cdk_source.get_declarative_component_schema = functools.cache(cdk_source.get_declarative_component_schema)

LOGGER = logging.getLogger("airbyte.test")
_KEY_FIELDS = ("transaction_key", "click_key", "id")

Config = dict[str, Any]
Row = dict[str, Any]
Reader = Callable[..., "Outcome"]


class FakeClock:
    """A clock that only sleeping moves, and the simulator's clock with it."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        self.time = start
        self.slept: list[float] = []
        self.sim: SimulatorClient | None = None

    def now(self) -> float:
        """Return UNIX seconds."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move both clocks."""
        self.slept.append(round(seconds, 3))
        self.time += seconds
        if self.sim is not None:
            self.sim.move_clock(seconds=seconds)


@dataclass(frozen=True)
class Subject:
    """The source under test."""

    source: Any
    #: Module `base.rate_limit` of the source's package, whose clock the tests replace.
    rate_limit: ModuleType
    #: Stream that a test reads if it names none.
    stream: str
    #: Time of the simulator at the start of each test.
    now: str = "2026-02-01T00:00:00Z"
    #: Time of the fake clock at the start of each test, in UNIX seconds; None for `now`.
    clock: float | None = 1_790_000_000.0

    @functools.cached_property
    def manifest(self) -> dict[str, Any]:
        """Return the manifest with its references resolved."""
        return dict(self.source().resolved_manifest)

    @property
    def streams(self) -> list[str]:
        """Return the names of the declared streams."""
        return [stream["name"] for stream in self.manifest["streams"]]

    def default(self, option: str) -> Any:
        """Return the default of an option in the spec."""
        return self.manifest["spec"]["connection_specification"]["properties"][option]["default"]

    def catalog(self, *streams: str) -> dict[str, Any]:
        """Return a configured catalog; streams with a cursor are incremental."""
        incremental = {stream["name"] for stream in self.manifest["streams"] if "incremental_sync" in stream}
        return {
            "streams": [
                {
                    "stream": {
                        "name": name,
                        "json_schema": {},
                        "supported_sync_modes": ["full_refresh", *(["incremental"] if name in incremental else [])],
                    },
                    "sync_mode": "incremental" if name in incremental else "full_refresh",
                    "destination_sync_mode": "append",
                }
                for name in streams or (self.stream,)
            ]
        }

    def check(self, config: Config) -> Any:
        """Return the connection status of a check in this process."""
        return self.source(config=config).check(LOGGER, config)

    def script(self, prelude: str = "") -> list[str]:
        """Return the command of the console script; `prelude` is code to run before it."""
        package = self.source.__module__.split(".")[0]
        return [sys.executable, "-c", f"{prelude}from {package}.run import run; run()"]

    def command_line(self, command: str, config: Config, folder: Path, *streams: str, prelude: str = "") -> list[str]:
        """Write the files of a command and return its command line."""
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "catalog.json").write_text(json.dumps(self.catalog(*streams)))
        options = [] if command == "spec" else ["--config", str(folder / "config.json")]
        options += ["--catalog", str(folder / "catalog.json")] if command == "read" else []
        return [*self.script(prelude), command, *options]

    def run_process(
        self,
        command: str,
        config: Config,
        folder: Path,
        *streams: str,
        prelude: str = "",
        options: tuple[str, ...] = (),
    ) -> tuple[int, str, str]:
        """Run a command as a process; return exit code, standard output and standard error."""
        command_line = [*self.command_line(command, config, folder, *streams, prelude=prelude), *options]
        done = subprocess.run(command_line, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def interrupted_read(self, command_line: list[str], text: str) -> list[dict[str, Any]]:
        """Send SIGTERM after a log message with this text; return the messages so far.

        Asserts that the process ends at once with 143, and prints nothing more.
        """
        with subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                seen = []
                for line in process.stdout:
                    seen.append(json.loads(line))
                    if seen[-1]["type"] == "LOG" and text in seen[-1]["log"]["message"]:
                        break
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=10) == 143
                assert process.stdout.read() == ""
            finally:
                process.kill()
        return seen

    def killed_and_resumed(
        self, sim: SimulatorClient, config: Config, folder: Path, path: str, wait: float
    ) -> list[dict[str, Any]]:
        """Kill a read `wait` seconds after its first request for `path`, resume it; return the messages of both."""
        command_line = self.command_line("read", config, folder)
        with subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            deadline = time.monotonic() + 20
            while not sim.requests(path) and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(wait)
            process.kill()
            lines += process.stdout.readlines()
        first = [json.loads(line) for line in lines if line.endswith("\n")]
        states = [message["state"] for message in first if message["type"] == "STATE"]
        state = folder / "state.json"
        state.write_text(json.dumps(states[-1:]))
        code, out, _ = self.run_process("read", config, folder, options=("--state", str(state)))
        assert code == 0
        return first + [json.loads(line) for line in out.splitlines()]


@dataclass
class Outcome:
    """Messages of a read up to its end or its failure."""

    stream: str
    messages: list[AirbyteMessage] = field(default_factory=list)
    error: AirbyteTracedException | None = None

    def rows(self, stream: str = "") -> list[Row]:
        """Return the records of a stream."""
        name = stream or self.stream
        return [m.record.data for m in self.messages if m.record is not None and m.record.stream == name]

    def keys(self, stream: str = "") -> list[str]:
        """Return the primary keys of these records."""
        return [next(row[name] for name in _KEY_FIELDS if name in row) for row in self.rows(stream)]

    def states(self, stream: str = "") -> list[dict[str, Any]]:
        """Return the states of a stream."""
        states = [m.state.stream for m in self.messages if m.state is not None and m.state.stream is not None]
        return [vars(each.stream_state) for each in states if each.stream_descriptor.name == (stream or self.stream)]

    def statuses(self) -> list[tuple[str, str]]:
        """Return stream and status of every stream status."""
        traces = [m.trace.stream_status for m in self.messages if m.trace is not None and m.trace.stream_status]
        return [(status.stream_descriptor.name, status.status.value) for status in traces]

    def estimates(self, stream: str = "") -> list[int]:
        """Return the estimated numbers of rows."""
        traces = [m.trace.estimate for m in self.messages if m.trace is not None and m.trace.estimate]
        return [estimate.row_estimate for estimate in traces if estimate.name == (stream or self.stream)]


@pytest.fixture(autouse=True)
def clock(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Replace the source's clock."""
    start = datetime.fromisoformat(subject.now.replace("Z", "+00:00")).timestamp()
    fake = FakeClock(start if subject.clock is None else subject.clock)
    monkeypatch.setattr(subject.rate_limit, "CLOCK", fake)
    # the simulator's `Date` headers are of the real time
    vendor_clock = sys.modules[subject.rate_limit.__name__.replace("rate_limit", "vendor_clock")]
    monkeypatch.setattr(vendor_clock.VendorClock, "observe", lambda *_, **__: None)
    return fake


@pytest.fixture(scope="session")
def simulator_process(subject: Subject) -> Iterator[SimulatorClient]:
    """Run one simulator for all tests of a session."""
    with running_simulator(start=subject.now, frozen=True) as client:
        yield client


@pytest.fixture
def sim(simulator_process: SimulatorClient, subject: Subject, clock: FakeClock) -> Iterator[SimulatorClient]:
    """Yield an empty simulator."""
    simulator_process.reset()
    simulator_process.set_clock(subject.now, frozen=True)
    clock.sim = simulator_process
    yield simulator_process
    simulator_process.reset()


@pytest.fixture
def read(subject: Subject) -> Reader:
    """Return a function that reads in this process: `read(config, "transactions", state={...})`."""

    def run(config: Config, *streams: str, state: dict[str, Any] | None = None) -> Outcome:
        catalog = ConfiguredAirbyteCatalogSerializer.load(subject.catalog(*streams))
        descriptor = {"name": catalog.streams[0].stream.name}
        saved = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": state}}
        states = [AirbyteStateMessageSerializer.load(saved)] if state is not None else []
        outcome = Outcome(subject.stream)
        source = subject.source(catalog=catalog, config=config, state=states)
        try:
            for message in source.read(LOGGER, config, catalog):
                outcome.messages.append(message)
        except AirbyteTracedException as error:
            outcome.error = error
        return outcome

    return run


def fill_days(
    upsert: Callable[..., Any], row: Callable[[int, int, str], Row], days: int, per_day: int, start: str
) -> list[Row]:
    """Insert `row(day of the month, number, date)` `per_day` times a day, at noon; return the rows."""
    rows = []
    first = int(start[-2:])
    for day in range(first, first + days):
        date = f"{start[:-2]}{day:02d}"
        rows_of_day = [row(day, number, date) for number in range(per_day)]
        upsert(rows_of_day, at=f"{date}T12:00:00Z")
        rows += rows_of_day
    return rows


def simulated_config(sim: SimulatorClient, end_date: str = "2026-01-03", **key: str) -> Config:
    """Return a configuration for the simulator; `key` is the option of the API key."""
    dates = {"start_date": "2026-01-01", "end_date": end_date}
    return {**key, **dates, "api_url": sim.url, "read_timeout_seconds": 2}
