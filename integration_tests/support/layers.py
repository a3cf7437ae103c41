"""Layers that a machine may lack: a container engine, a database server, installed hosts."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from typing import NoReturn

import pytest


def strict() -> bool:
    """Return whether `CI_STRICT=1` makes a missing layer a failure."""
    return os.environ.get("CI_STRICT") == "1"


def unavailable(reason: str) -> NoReturn:
    """Skip the test with this reason, or fail it with `CI_STRICT=1`."""
    if strict():
        pytest.fail(reason)
    pytest.skip(reason)


@functools.cache
def engine_missing() -> str:
    """Return why there is no container engine, or "" if `docker` reaches one."""
    if shutil.which("docker") is not None:
        done = subprocess.run(["docker", "info"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return ""
    return "no container engine is running: run `make image-test`, or start one"
