"""Measures rows per second of the destination at several server latencies, and its memory at a million rows.

Requests in flight allow `in_flight * batch * 1000 / latency` rows per second; the CPU allows what the same run reaches
without latency. The destination should reach the smaller of the two. Seconds are wall-clock time minus the start-up,
which is measured with `spec`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

from benchmarks.cost import measure
from benchmarks.served import served
from integration_tests.support.processes import BIN, catalog

ROWS, MANY_ROWS = 100_000, 1_000_000
LATENCIES = (0, 100, 300)  # milliseconds
IN_FLIGHT = 4
BATCH = 1000
DESTINATION = str(BIN / "destination-wicked-reports")


def _write(folder: Path, url: str, rows: int) -> tuple[float, float]:
    """Write this many orders from a file to a new ledger; return seconds and peak MB."""
    config = {"api_key": "k", "api_url": url, "max_requests_in_flight": IN_FLIGHT}
    config["ledger"] = {"type": "sqlite", "path": str(folder / f"ledger-{time.monotonic_ns()}.sqlite")}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "catalog.json").write_text(json.dumps(catalog("orders")))
    files = ["--config", str(folder / "config.json"), "--catalog", str(folder / "catalog.json")]
    lines = folder / f"{rows}.jsonl"
    if not lines.exists():
        with lines.open("wb") as file:
            subprocess.run([sys.executable, "-m", "benchmarks.orders", str(rows)], stdout=file, check=True)
    began = time.monotonic()
    cost = measure([DESTINATION, "write", *files], lines)
    return time.monotonic() - began, cost.memory


def _start_up() -> float:
    began = time.monotonic()
    measure([DESTINATION, "spec"])
    return time.monotonic() - began


def table() -> Table:
    """Run all cases and return the table."""
    found = Table(title=f"latency: {ROWS:,} orders, {IN_FLIGHT} requests of {BATCH:,} rows in flight", box=None)
    for column in ("", "rows / s", "allowed", "reached", "peak MB"):
        found.add_column(column, justify="left" if not column else "right")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder, cpu_limit, start_up = Path(name), 0.0, min(_start_up() for _ in range(3))
        for latency in LATENCIES:
            with served(1, 1, 1, latency) as url:
                seconds, memory = _write(folder, url, ROWS)
            rate = ROWS / (seconds - start_up)
            cpu_limit = cpu_limit or rate
            allowed = min(IN_FLIGHT * BATCH * 1000 / latency, cpu_limit) if latency else cpu_limit
            found.add_row(f"{latency} ms", f"{rate:,.0f}", f"{allowed:,.0f}", f"{rate / allowed:.0%}", f"{memory:.0f}")
        with served(1, 1, 1) as url:
            _, memory = _write(folder, url, MANY_ROWS)
        found.add_row(f"{MANY_ROWS:,} rows", "", "", "", f"{memory:.0f}")
    return found


if __name__ == "__main__":
    from rich.console import Console

    Console(highlight=False).print(table())
