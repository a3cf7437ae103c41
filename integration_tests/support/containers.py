"""Runs the connectors' images as users do: `docker run`, files on volumes, signals."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from integration_tests.support.layers import engine_missing, unavailable
from integration_tests.support.processes import Result, Workspace

ROOT = Path(__file__).resolve().parents[2]
#: the connectors that `make images` builds; by default, all of them
PACKAGES = os.environ.get("PACKAGES", "").split() or sorted(path.parent.name for path in ROOT.glob("*/metadata.yaml"))
#: what a hardened runtime allows a connector: its volumes, /tmp and the network
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
COMMAND_SECONDS = 120


def image_of(connector: str) -> str:
    """Return the name that `make images` gives a connector's image."""
    data = yaml.safe_load((ROOT / connector / "metadata.yaml").read_text())["data"]
    return f"{data['dockerRepository']}:dev"


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one docker command; the caller checks its exit code."""
    return subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def require(connector: str) -> str:
    """Return a connector's image; skip the test without an engine or image (with `CI_STRICT=1`, fail it)."""
    return require_image(image_of(connector))


def require_image(image: str) -> str:
    """Return an image; skip the test without an engine or image (with `CI_STRICT=1`, fail it)."""
    missing = engine_missing()
    if not missing and docker("image", "inspect", image).returncode:
        missing = f"the image {image} is not built: run `make images`"
    if missing:
        unavailable(missing)
    return image


class Containers(Workspace):
    """A workspace whose commands run in containers; `secrets` is mounted read-only, `local` persists between runs.

    `network` of every container is `host`, for the simulator's loopback address, or `none`.
    """

    def __init__(self, folder: Path, secrets: Sequence[str] = (), *, network: str = "host") -> None:
        super().__init__(folder / "secrets", secrets)
        self.folder.mkdir()
        self.local = folder / "local"
        self.local.mkdir()
        self.local.chmod(0o777)  # the image's user has another id
        self.volume = str(self.local)
        self.network = network
        self._names: list[str] = []

    def command(self, script: str, command: str, **files: Any) -> list[str]:
        """Return the `docker run` command line of a connector's command; files given as data are written first."""
        own = super().command(script, command, **files)[2:]
        inside = [f"/secrets/{Path(part).name}" if part.startswith(str(self.folder)) else part for part in own]
        return [*self.docker_run(script), image_of(script), command, *inside]

    def docker_run(self, connector: str, *options: str) -> list[str]:
        """Return `docker run` with the volumes, up to the image's name; the container is removed when it ends."""
        self._names.append(f"{connector}-{uuid.uuid4().hex[:12]}")
        line = ["docker", "run", "--rm", "-i", "--name", self._names[-1], "--network", self.network, *HARDENED]
        return [*line, "-v", f"{self.folder}:/secrets:ro", "-v", f"{self.volume}:/local", *options]

    def name_of(self, connector: str) -> str:
        """Return the name of a connector's latest container."""
        return next(name for name in reversed(self._names) if name.startswith(connector))

    def kill(self, connector: str) -> None:
        """Kill a connector's latest container, as the kernel does when memory runs out."""
        docker("kill", self.name_of(connector))

    def stop(self, connector: str) -> None:
        """Stop a connector's latest container as Airbyte and Kubernetes do: SIGTERM and a grace period."""
        done = docker("stop", "--time", "60", self.name_of(connector))
        assert done.returncode == 0, done.stderr

    def letters(self) -> list[dict[str, Any]]:
        """Return the dead letters on the volume."""
        path = self.local / "wicked-reports" / "rejected_records.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def clear(self) -> None:
        """Remove containers left by a failed test."""
        for name in self._names:
            docker("rm", "--force", name)


def plain(result: Result) -> Result:
    """Return the result if the exit code is 0; else fail with what was printed."""
    assert result.code == 0, result.said
    return result
