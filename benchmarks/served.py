"""Runs the benchmark's server as a separate process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def served(rows: int, pages: int, days: int, latency: int = 0) -> Iterator[str]:
    """Yield the server's URL; it responds to a POST after `latency` milliseconds."""
    command = [sys.executable, "-m", "benchmarks.server", *map(str, (rows, pages, days, latency))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()
