"""The benchmark's server as a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def served(rows: int, pages: int, days: int, latency: int = 0) -> Iterator[str]:
    """Serve and yield the address; a post is answered after `latency` milliseconds."""
    command = [sys.executable, "-m", "benchmarks.server", *map(str, (rows, pages, days, latency))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()
