"""The example Meltano project in a folder of its own, with a test's settings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from integration_tests.hosts.cases import FIRST, Case, destination
from integration_tests.hosts.environments import Done, meltano_plugins, need_wrapper, run, start, tool, write_project
from integration_tests.simulator.client import SimulatorClient


class Project:
    """The example project in a folder of its own, with the plugins that `make hosts` installed."""

    def __init__(self, folder: Path, simulator: SimulatorClient) -> None:
        self.folder = folder
        self.simulator = simulator
        plugins = meltano_plugins()
        self.meltano = tool("meltano", "meltano")
        self.variables: dict[str, str] = {}
        write_project(folder)
        (folder / ".meltano").mkdir()
        for kind in ("extractors", "loaders"):
            (folder / ".meltano" / kind).symlink_to(plugins / kind)

    def source(self, case: Case, end: str = FIRST, **changes: Any) -> str:
        """Set an Airbyte source's tap up by environment variables, as users may; return the tap's name."""
        need_wrapper()
        tap = case.source.replace("source-", "tap-")
        for name, value in case.config(self.simulator, end, **changes).items():
            self.variables[f"{variable(tap)}_AIRBYTE_CONFIG_{name.upper()}"] = str(value)
        return tap

    def wicked(self, case: Case | None = None, **changes: Any) -> str:
        """Set up the target for this source's records; return the target's name.

        Without a source it is the target for rows in Wicked's own fields, with the example's mapping. The ledger is
        always the example's.
        """
        target = f"target-wicked-reports--{case.source.removeprefix('source-') if case else 'native'}"
        settings = destination(self.simulator, case, self.folder, test_mode="false", **changes)
        mapping = settings.pop("mapping")
        if mapping:
            settings["mapping"] = json.dumps(mapping)
        del settings["ledger"]
        for name, value in settings.items():
            self.variables[f"{variable(target)}_{name.upper()}"] = str(value)
        return target

    def run(self, *blocks: str) -> Done:
        """Run these blocks."""
        return run([self.meltano, "run", *blocks], self.folder, **self.variables)

    def start(self, *blocks: str) -> subprocess.Popen[str]:
        """Start a run of these blocks."""
        return start([self.meltano, "run", *blocks], self.folder, **self.variables)

    def state(self, tap: str, target: str) -> Any:
        """Return the state that Meltano has stored for this pair, or None."""
        done = run([self.meltano, "state", "get", f"dev:{tap}-to-{target}"], self.folder)
        found = [json.loads(line) for line in done.text.splitlines() if line.startswith("{")]
        return found[0].get("singer_state") if found else None

    def lines(self, stream: str) -> list[dict[str, Any]]:
        """Return what target-jsonl has written so far."""
        return [json.loads(line) for line in (self.folder / "output" / f"{stream}.jsonl").open()]


def variable(plugin: str) -> str:
    """Return the prefix of a plugin's environment variables."""
    return plugin.upper().replace("-", "_")
