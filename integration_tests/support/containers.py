"""The connectors as container images, run as users run them: `docker run`, files on volumes, signals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration_tests.support.processes import Result, Workspace

ROOT = Path(__file__).resolve().parents[2]
#: the connectors that `make images` builds; by itself, every one that is here
PACKAGES = os.environ.get("PACKAGES", "").split() or sorted(path.parent.name for path in ROOT.glob("*/metadata.yaml"))
#: what a careful host allows a connector: nothing but its volumes, /tmp and the network
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
COMMAND_SECONDS = 120


def image_of(connector: str) -> str:
    """Return the name that `make images` gives to a connector's image."""
    data = yaml.safe_load((ROOT / connector / "metadata.yaml").read_text())["data"]
    return f"{data['dockerRepository']}:dev"


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one docker command to its end; a failure is raised by the caller who minds it."""
    return subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def require(connector: str) -> str:
    """Return a connector's image; without an engine or image skip the test, or fail it where CI_STRICT is set."""
    missing = ""
    if shutil.which("docker") is None or docker("info").returncode:
        missing = "no container engine answers; run `make image-test`, or start one"
    elif docker("image", "inspect", image_of(connector)).returncode:
        missing = f"the image {image_of(connector)} is not built; run `make images`"
    if missing:
        (pytest.fail if os.environ.get("CI_STRICT") else pytest.skip)(missing)
    return image_of(connector)


class Containers(Workspace):
    """A workspace whose commands run in containers: `secrets` is mounted read-only, `local` holds what outlives a run.

    `network` is that of every container: `host`, where the simulator's loopback address is the same, or `none`.
    """

    def __init__(self, folder: Path, secrets: Sequence[str] = (), *, network: str = "host") -> None:
        super().__init__(folder / "secrets", secrets)
        self.folder.mkdir()
        self.local = folder / "local"
        self.local.mkdir()
        self.local.chmod(0o777)  # the connector's user is not ours
        self.volume = str(self.local)
        self.network = network
        self._names: list[str] = []

    def command(self, script: str, command: str, **files: Any) -> list[str]:
        """Return the `docker run` line of a connector's command; files given as data are written first."""
        own = super().command(script, command, **files)[2:]
        inside = [f"/secrets/{Path(part).name}" if part.startswith(str(self.folder)) else part for part in own]
        return [*self.docker_run(script), image_of(script), command, *inside]

    def docker_run(self, connector: str, *options: str) -> list[str]:
        """Return `docker run` with the volumes, up to the image's name; a container goes when it ends."""
        self._names.append(f"{connector}-{uuid.uuid4().hex[:12]}")
        line = ["docker", "run", "--rm", "-i", "--name", self._names[-1], "--network", self.network, *HARDENED]
        return [*line, "-v", f"{self.folder}:/secrets:ro", "-v", f"{self.volume}:/local", *options]

    def name_of(self, connector: str) -> str:
        """Return the name of a connector's latest container."""
        return next(name for name in reversed(self._names) if name.startswith(connector))

    def kill(self, connector: str) -> None:
        """End a connector's latest container at once, as the kernel does when memory runs out."""
        docker("kill", self.name_of(connector))

    def stop(self, connector: str) -> None:
        """End a connector's latest container as Airbyte and Kubernetes do: SIGTERM, then patience."""
        done = docker("stop", "--time", "60", self.name_of(connector))
        assert done.returncode == 0, done.stderr

    def letters(self) -> list[dict[str, Any]]:
        """Return the dead letters on the volume."""
        path = self.local / "wicked-reports" / "rejected_records.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def clear(self) -> None:
        """Remove containers that a failed test left."""
        for name in self._names:
            docker("rm", "--force", name)


def plain(result: Result) -> Result:
    """Return the result if it ended well; else fail with what was said."""
    assert result.code == 0, result.said
    return result
