"""Runs `wicked-reports-sync` as users do, in a folder with a `sync.yaml` of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator
from integration_tests.support.processes import EMAIL, RUN_SECONDS

#: The tests' own environment: an installation trimmed as in the images (`CONNECTORS_BIN`) has no extra `[cli]`.
PROGRAMS = Path(sys.executable).parent
PROGRAM = PROGRAMS / "wicked-reports-sync"
ENVIRONMENT = {
    "WECANTRACK_API_KEY": SimulatorClient.wecantrack_key,
    "SOVRN_SECRET_KEY": SimulatorClient.sovrn_key,
    "WICKED_REPORTS_API_KEY": SimulatorClient.wicked_key,
}
CONTACT_RULE = {"field": "sub_ids.*", "pattern": "^(?P<contact_id>U[0-9]+)-"}


#: The simulator's time, up to which the folders of `sync_folder` are read.
FIRST = "2026-04-01T12:00:00"


class SyncFolder:
    """A folder with `sync.yaml` for wecantrack and the simulator."""

    def __init__(self, folder: Path, simulator: SimulatorClient) -> None:
        self.folder = folder
        self.simulator = simulator
        self.outputs: list[str] = []
        self.settings: dict[str, Any] = {
            "source": {
                "program": "source-wecantrack",
                "config": {
                    "api_key": "${WECANTRACK_API_KEY}",
                    "start_date": "2026-03-02",
                    "api_url": simulator.url,
                },
            },
            "destination": {
                "api_key": "${WICKED_REPORTS_API_KEY}",
                "api_url": simulator.url,
                "mapping": {"type": "wecantrack", "contact_rules": [CONTACT_RULE], "without_contact": "synthetic"},
                "ledger": {"type": "sqlite", "path": "ledger.sqlite"},
            },
        }
        self.write()

    def write(self) -> None:
        """Write `sync.yaml`."""
        (self.folder / "sync.yaml").write_text(yaml.safe_dump(self.settings, sort_keys=False))

    def change(self, **settings: Any) -> None:
        """Change settings at the top of `sync.yaml`."""
        self.settings |= settings
        self.write()

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment of a run; an empty value removes a variable."""
        merged = {**os.environ, **ENVIRONMENT, **changes}
        return {name: value for name, value in merged.items() if value}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, from another folder than that of `sync.yaml`."""
        command, *rest = arguments
        file = str(self.folder / "sync.yaml")
        line = [str(PROGRAM), command, *(["--file", file] if command == "reset" else [file]), *rest]
        done = subprocess.run(
            line,
            cwd="/",
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        self.outputs.append(done.stdout + done.stderr)
        return done

    def state(self, source: str = "wecantrack") -> dict[str, Any]:
        """Return what the state file has of a source."""
        sources: dict[str, Any] = json.loads((self.folder / "state.json").read_text())["sources"]
        return dict(sources[source])

    def position(self, source: str = "wecantrack") -> str:
        """Return how far the first stream of a source was read."""
        (state, *_) = self.state(source)["states"]
        (position,) = state["stream"]["stream_state"].values()
        return str(position)

    def leaks(self) -> list[str]:
        """Return secrets and addresses of people in the output and in the logs."""
        logs = [path.read_text() for path in (self.folder / "logs").glob("*")]
        texts = [*self.outputs, *logs]
        secrets = [secret for secret in ENVIRONMENT.values() if any(secret in text for text in texts)]
        return [*secrets, *(address for text in texts for address in EMAIL.findall(text))]


def has_rows_in_doubt(done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether a run left rows in doubt, as one after a kill may.

    Clicks have no id, so the outcome of a click that was in flight at the kill is unknown.
    """
    return re.search(r"^in doubt +[1-9]", done.stdout, re.MULTILINE) is not None


@contextlib.contextmanager
def sync_folder(
    path: Path, *, transactions: int, days: int = 30, slow_seconds: float = 0.0, **destination: Any
) -> Iterator[SyncFolder]:
    """Yield a folder with a simulator of its own; at the end its output and logs may have no secret and no address.

    `slow_seconds` is how long each page of transactions takes; `destination` are settings of the destination.
    """
    with running_simulator(start=FIRST, frozen=True) as simulator:
        simulator.generate(transactions=transactions, days=days, later_days=8)
        simulator.throttle(100_000)
        if slow_seconds:
            simulator.fault("slow", "/api/v3/transactions", seconds=slow_seconds, times=0)
        folder = SyncFolder(path, simulator)
        folder.settings["source"]["config"]["end_date"] = FIRST
        folder.settings["destination"] |= destination
        folder.write()
        yield folder
        assert folder.leaks() == []
