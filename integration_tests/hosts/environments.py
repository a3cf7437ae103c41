"""`make hosts`: installs the programs that run connectors, each in an environment of its own under `.cache/hosts`.

PyAirbyte, Meltano, its plugins and airbyte-serverless come from the package index, hash-pinned. Meltano's wrapper for
Airbyte sources is on no package index: users install it from its repository, the tests from the folder that
`TAP_AIRBYTE_WRAPPER` names, or from `shared/tap-airbyte-wrapper` next to this repository. Without it, tests that need
it are skipped.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration_tests.simulator.client import SimulatorClient
from integration_tests.support.layers import unavailable
from integration_tests.support.processes import EMAIL

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "hosts"
WHEELS = CACHE / "wheels"
PROJECT = CACHE / "meltano-project"
EXAMPLES = REPOSITORY / "examples"
HOSTS = ("pyairbyte", "meltano", "serverless")
WRAPPER = "tap-airbyte-wrapper"
#: Meltano's plugins from the package index, with the lock that constrains their dependencies
PLUGINS = {
    "tap-jsonl": "hosts-tap-jsonl.txt",
    "target-jsonl": "hosts-target-jsonl.txt",
    "target-wicked-reports": "lock.txt",
}
BIN = Path(sys.executable).parent

WRAPPER_URL = "git+https://github.com/MeltanoLabs/tap-airbyte-wrapper.git"
RUN_SECONDS = 280
KEYS = (SimulatorClient.wecantrack_key, SimulatorClient.wicked_key, SimulatorClient.sovrn_key)


def connectors(kind: str) -> list[str]:
    """Return the names of this repository's connectors of a kind: `source` or `destination`."""
    return sorted(path.parent.name for path in REPOSITORY.glob(f"{kind}-*/pyproject.toml"))


# -- for the tests ----------------------------------------------------------------------------------------------------


def tool(host: str, name: str) -> Path:
    """Return a host's program; skip the test if it is not installed (with `CI_STRICT=1`, fail it)."""
    path = CACHE / host / "bin" / name
    if not path.exists():
        unavailable(f"{host} is not installed: run `make hosts`")
    return path


def meltano_plugins() -> Path:
    """Return the folder of Meltano's installed plugins; skip or fail the test as `tool` does."""
    if not (PROJECT / ".ready").exists():
        unavailable("Meltano's plugins are not installed: run `make hosts`")
    return PROJECT / ".meltano"


def need_wrapper() -> None:
    """Skip the test if Meltano's wrapper for Airbyte sources is not installed.

    Without the wrapper's source this is a skip even with `CI_STRICT=1`, since the wrapper is in no package registry.
    With its source, a missing installation counts as any other missing layer.
    """
    if why := wrapper_missing():
        pytest.skip(why)
    if not (PROJECT / ".wrapper-ready").exists():
        unavailable(f"{WRAPPER} is not installed: run `make hosts`")


def wrapper() -> Path | None:
    """Return the folder of the wrapper's source, or None."""
    named = os.environ.get("TAP_AIRBYTE_WRAPPER")
    places = [Path(named)] if named else [REPOSITORY.parent / "shared" / "tap-airbyte-wrapper"]
    return next((place.resolve() for place in places if (place / "pyproject.toml").exists()), None)


def wrapper_missing() -> str:
    """Return why the wrapper's source is missing, or ""."""
    if wrapper():
        return ""
    return (
        "tap-airbyte-wrapper is on no package index: clone its repository and set TAP_AIRBYTE_WRAPPER to the folder, "
        "or put it into shared/tap-airbyte-wrapper next to this repository"
    )


def environment(**extra: str) -> dict[str, str]:
    """Return the environment of a host: it finds this repository's wheels, and sends no telemetry."""
    found = " ".join([str(WHEELS), os.environ.get("PIP_FIND_LINKS", "")]).strip()
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")]),
        "UV_FIND_LINKS": str(WHEELS),
        "PIP_FIND_LINKS": found,
        "AIRBYTE_OFFLINE_MODE": "1",
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
        "COLUMNS": "400",
        **extra,
    }


@dataclass(frozen=True)
class Done:
    """A host's exit code and its output, both streams in one text."""

    code: int
    text: str


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> Done:
    """Run a host's program in this folder; its output may contain no key and no e-mail address."""
    return finish(start(command, folder, **variables))


def start(command: Sequence[str | Path], folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Start a host's program in a process group of its own, so that `kill` reaches the connectors it starts."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until the condition is true, the host has ended, or `RUN_SECONDS` have passed."""
    deadline = time.monotonic() + RUN_SECONDS
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a host to end, and check its output for leaks."""
    text, _ = process.communicate(timeout=RUN_SECONDS)
    leaks = [line for line in text.splitlines() if any(key in line for key in KEYS) or EMAIL.search(line)]
    assert not leaks, f"A key or an e-mail address was printed.\n{leaks[0][:400]}"
    return Done(process.returncode, text)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a host and everything it started."""
    assert process.poll() is None, f"It ended on its own:\n{process.communicate()[0]}"
    os.killpg(process.pid, signal.SIGKILL)


# -- installing -------------------------------------------------------------------------------------------------------


def install() -> None:
    """Bring everything under `.cache/hosts` up to date, and print the time of each part."""
    WHEELS.mkdir(parents=True, exist_ok=True)  # must exist: it is a --find-links folder of every installer
    for name in HOSTS:
        with _timed(name):
            _install_host(name)
    with _timed("our own wheels"):
        _build_wheels()
    with _timed("Meltano's plugins"):
        _install_plugins()
    if why := wrapper_missing():
        print(f"{WRAPPER}: skipped. {why}.")
        return
    with _timed(WRAPPER):
        _install_wrapper()


def _install_host(name: str) -> None:
    lock = REPOSITORY / "requirements" / f"hosts-{name}.txt"
    folder = CACHE / name
    installed = folder / ".installed.txt"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return
    _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--quiet", "--python", str(folder), "--require-hashes", "-r", str(lock))
    shutil.copyfile(lock, installed)


def _build_wheels() -> None:
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir()
    for name in [*connectors("source"), *connectors("destination")]:
        _uv("build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", str(WHEELS), name)


def _install_plugins() -> None:
    """Install the example project's plugins as a user does, then reinstall our package: its version did not change."""
    PROJECT.mkdir(exist_ok=True)
    (PROJECT / ".ready").unlink(missing_ok=True)
    write_project(PROJECT)
    for name, lock in PLUGINS.items():
        _install_plugin(name, UV_CONSTRAINT=str(REPOSITORY / "requirements" / lock))
    _reinstall(PROJECT / ".meltano" / "loaders" / "target-wicked-reports" / "venv", "destination-wicked-reports")
    (PROJECT / ".ready").touch()


def _install_wrapper() -> None:
    """Install the wrapper as a user does, then reinstall our packages: their version did not change.

    The wrapper installs a source on its first run with pip, which takes a minute each; uv takes seconds.
    """
    (PROJECT / ".wrapper-ready").unlink(missing_ok=True)
    _install_plugin(WRAPPER)
    (package,) = PROJECT.glob(f".meltano/extractors/{WRAPPER}/venv/lib/python*/site-packages/tap_airbyte")
    for name in connectors("source"):
        place = package / f".venv-airbyte-{name}"
        if not place.exists():
            _uv("venv", "--quiet", "--seed", "--python", sys.executable, str(place))
        _reinstall(place, name)
    (PROJECT / ".wrapper-ready").touch()


def _install_plugin(name: str, **variables: str) -> None:
    _run([str(CACHE / "meltano" / "bin" / "meltano"), "install", name], cwd=PROJECT, env=environment(**variables))


def _reinstall(place: Path, name: str) -> None:
    ours = f"airbyte-{name}"
    requirement = f"{ours}=={importlib.metadata.version(ours)}"
    _uv("pip", "install", "--quiet", "--python", str(place), "--reinstall-package", ours, requirement)


def write_project(folder: Path) -> None:
    """Write the example's meltano.yml, with the wrapper from its folder if there is one."""
    example = (EXAMPLES / "meltano" / "meltano.yml").read_text(encoding="utf-8")
    assert WRAPPER_URL in example
    (folder / "meltano.yml").write_text(example.replace(WRAPPER_URL, str(wrapper() or WRAPPER_URL)), encoding="utf-8")


def _uv(*arguments: str) -> None:
    _run([str(BIN / "uv"), *arguments], cwd=REPOSITORY)


def _run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> None:
    env = env or environment()
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}")


class _timed:
    def __init__(self, what: str):
        self._what = what

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        print(f"{self._what}: {time.monotonic() - self._begun:.0f} s", flush=True)


if __name__ == "__main__":
    install()
