"""`make hosts`: the programs that run connectors, each in an environment of its own under `.cache/hosts`.

PyAirbyte, Meltano, Meltano's plugins and airbyte-serverless come from the package index, hash-pinned. Only Meltano's
wrapper for Airbyte sources is on no package index: users install it from its repository, and here it comes from
`TAP_AIRBYTE_WRAPPER`, or from `shared/tap-airbyte-wrapper` beside this repository. Nothing of it is copied into this
repository, and where it cannot be had, what needs it is left out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from integration_tests.simulator.client import SimulatorClient
from integration_tests.support.processes import EMAIL

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "hosts"
WHEELS = CACHE / "wheels"
PROJECT = CACHE / "meltano-project"
EXAMPLES = REPOSITORY / "examples"
HOSTS = ("pyairbyte", "meltano", "serverless")
WRAPPER = "tap-airbyte-wrapper"
#: Meltano's plugins that the package index has, with the lock that decides about what they need.
PLUGINS = {
    "tap-jsonl": "hosts-tap-jsonl.txt",
    "target-jsonl": "hosts-target-jsonl.txt",
    "target-wicked-reports": "lock.txt",
}
BIN = Path(sys.executable).parent
VERSION = "0.1.0"
WRAPPER_URL = "git+https://github.com/MeltanoLabs/tap-airbyte-wrapper.git"
RUN_SECONDS = 280
KEYS = (SimulatorClient.wecantrack_key, SimulatorClient.wicked_key, SimulatorClient.sovrn_key)


def connectors(kind: str) -> list[str]:
    """Return the connectors of this repository, `source` or `destination`, whose packages are there."""
    return sorted(path.parent.name for path in REPOSITORY.glob(f"{kind}-*/pyproject.toml"))


# -- what the tests ask for -------------------------------------------------------------------------------------------


def tool(host: str, name: str) -> Path:
    """Return a host's program, or end the test: as a failure where everything must be had, else as a skip."""
    path = CACHE / host / "bin" / name
    if not path.exists():
        unavailable(f"{host} is not installed: run `make hosts`")
    return path


def meltano_plugins() -> Path:
    """Return the folder of Meltano's installed plugins, or end the test."""
    if not (PROJECT / ".ready").exists():
        unavailable("Meltano's plugins are not installed: run `make hosts`")
    return PROJECT / ".meltano"


def need_wrapper() -> None:
    """End the test if Meltano cannot run Airbyte sources here.

    A skip even with `CI_STRICT=1`: a CI that reaches package registries and nothing else cannot have the wrapper, for
    it is in none. Where its source is at hand, that it is not installed is taken like any other missing layer.
    """
    if why := wrapper_missing():
        pytest.skip(why)
    if not (PROJECT / ".wrapper-ready").exists():
        unavailable(f"{WRAPPER} is not installed: run `make hosts`")


def unavailable(reason: str) -> NoReturn:
    """Skip with this reason, or fail where `CI_STRICT=1` says that every layer that a registry has must be had."""
    if os.environ.get("CI_STRICT") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def wrapper() -> Path | None:
    """Return the folder of the wrapper's source, or None."""
    named = os.environ.get("TAP_AIRBYTE_WRAPPER")
    places = [Path(named)] if named else [REPOSITORY.parent / "shared" / "tap-airbyte-wrapper"]
    return next((place.resolve() for place in places if (place / "pyproject.toml").exists()), None)


def wrapper_missing() -> str:
    """Return why the wrapper cannot be had, or "" if it can."""
    if wrapper():
        return ""
    return (
        "tap-airbyte-wrapper is on no package index: clone its repository and name the folder in TAP_AIRBYTE_WRAPPER, "
        "or put it into shared/tap-airbyte-wrapper beside this repository"
    )


def environment(**extra: str) -> dict[str, str]:
    """Return the environment of a host: its packages are ours, and it reports to nobody."""
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
    """How a host ended, and everything it printed: both streams in one text."""

    code: int
    text: str


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> Done:
    """Run a host's program to its end in this folder; no key and no e-mail address may be in what it prints."""
    return finish(start(command, folder, **variables))


def start(command: Sequence[str | Path], folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Start a host's program as the leader of its own group, so that `kill` reaches the connectors it starts."""
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


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a host's end."""
    text, _ = process.communicate(timeout=RUN_SECONDS)
    leaks = [line for line in text.splitlines() if any(key in line for key in KEYS) or EMAIL.search(line)]
    assert not leaks, f"A key or an e-mail address was printed.\n{leaks[0][:400]}"
    return Done(process.returncode, text)


def kill(process: subprocess.Popen[str]) -> None:
    """End a host and everything it started, at once."""
    assert process.poll() is None, f"It ended by itself:\n{process.communicate()[0]}"
    os.killpg(process.pid, signal.SIGKILL)


# -- installing -------------------------------------------------------------------------------------------------------


def install() -> None:
    """Bring everything under `.cache/hosts` up to date, and say how long each part took."""
    WHEELS.mkdir(parents=True, exist_ok=True)  # every installer is told to look there, before anything is in it, too
    for name in HOSTS:
        with _timed(name):
            _install_host(name)
    with _timed("our own wheels"):
        _build_wheels()
    with _timed("Meltano's plugins"):
        _install_plugins()
    if why := wrapper_missing():
        print(f"{WRAPPER}: left out. {why}.")
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
    """Install the example project's plugins as a user would, then our own package anew, whose version stays."""
    PROJECT.mkdir(exist_ok=True)
    (PROJECT / ".ready").unlink(missing_ok=True)
    write_project(PROJECT)
    for name, lock in PLUGINS.items():
        _install_plugin(name, UV_CONSTRAINT=str(REPOSITORY / "requirements" / lock))
    _reinstall(PROJECT / ".meltano" / "loaders" / "target-wicked-reports" / "venv", "destination-wicked-reports")
    (PROJECT / ".ready").touch()


def _install_wrapper() -> None:
    """Install the wrapper as a user would, then our own packages anew, whose version stays.

    The wrapper installs a source on its first run, by pip, which takes a minute each; uv does the same in seconds.
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
    _uv("pip", "install", "--quiet", "--python", str(place), "--reinstall-package", ours, f"{ours}~={VERSION}")


def write_project(folder: Path) -> None:
    """Write the example's meltano.yml, with the wrapper taken from its folder if it is there; all else stays."""
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
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


class _timed:
    def __init__(self, what: str):
        self._what = what

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        print(f"{self._what}: {time.monotonic() - self._begun:.0f} s", flush=True)


if __name__ == "__main__":
    install()
