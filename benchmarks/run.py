"""`make bench`: CPU per record compared with bare loops, start-up compared with the stock CDK, and memory.

CPU seconds are user and system time of the whole process, start-up included, as the kernel counts them (`wait4`). Each
figure is the minimum of the rounds; rounds are interleaved, so that other load on the machine affects all cases alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import latency, orders
from benchmarks.cost import Cost, measure
from benchmarks.served import served
from benchmarks.server import FIRST_DAY
from integration_tests.support.processes import BIN, catalog

ROWS, PAGES, DAYS = 1000, 200, 8
FEW_PAGES = 8
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PYTHON = sys.executable


class Bench:
    """The files and commands of one benchmark."""

    def __init__(self, folder: Path, url: str, pages: int) -> None:
        self.folder, self.url, self.pages = folder, url, pages
        days = min(DAYS, pages)
        last = FIRST_DAY.replace(day=days)
        config = {"api_key": "k", "api_url": url, "start_date": str(FIRST_DAY), "end_date": str(last)}
        target: dict[str, Any] = {"api_key": "k", "api_url": url}
        target["ledger"] = {"type": "sqlite", "path": str(folder / "ledger.sqlite")}
        self.source = [str(BIN / "source-wecantrack"), "read", *self._files("source", config, "transactions")]
        self.destination = [str(BIN / "destination-wicked-reports"), "write", *self._files("native", target, "orders")]
        target = {**target, "mapping": {"type": "wecantrack", "without_contact": "synthetic"}}
        self.affiliate = [
            str(BIN / "destination-wicked-reports"),
            "write",
            *self._files("wecantrack", target, "transactions"),
        ]
        self.bare_source = [PYTHON, "-m", "benchmarks.bare", "read", url, str(pages), str(days)]
        self.bare_destination = [PYTHON, "-m", "benchmarks.bare", "write", url]

    def _files(self, name: str, config: dict[str, Any], stream: str) -> list[str]:
        paths = {"config": self.folder / f"{name}.json", "catalog": self.folder / f"{name}.catalog.json"}
        paths["config"].write_text(json.dumps(config))
        paths["catalog"].write_text(json.dumps(catalog(stream)))
        return [part for flag, path in paths.items() for part in (f"--{flag}", str(path))]

    def fresh_ledger(self) -> None:
        """Delete the ledger."""
        for path in self.folder.glob("ledger.sqlite*"):
            path.unlink()

    def orders(self) -> Path:
        """Write orders as RECORD lines, with a STATE every 1,000."""
        path = self.folder / "orders.jsonl"
        with path.open("w") as file:
            file.writelines(f"{line}\n" for line in orders.lines(self.pages * ROWS))
        return path

    def transactions(self) -> Path:
        """Write the output of the source."""
        path = self.folder / "transactions.jsonl"
        with path.open("wb") as lines:
            subprocess.run(self.source, stdout=lines, check=True)
        return path


def run_all(bench: Bench, rounds: int) -> dict[str, Cost]:
    """Run every case in every round; return the minimum CPU and the maximum memory of each."""
    order_lines, transactions = bench.orders(), bench.transactions()
    cases: dict[str, Callable[[], Cost]] = {
        "bare source": lambda: measure(bench.bare_source),
        "source-wecantrack": lambda: measure(bench.source),
        "bare destination": lambda: measure(bench.bare_destination, order_lines),
        "destination, native, ledger": lambda: measure(bench.destination, order_lines),
        "destination, native, all known": lambda: measure(bench.destination, order_lines),
        "destination, wecantrack, ledger": lambda: measure(bench.affiliate, transactions),
    }
    found: dict[str, list[Cost]] = defaultdict(list)
    for name, case in track(list(cases.items()) * rounds, description=f"{bench.pages * ROWS:,} records"):
        if name.endswith("ledger"):
            bench.fresh_ledger()
        found[name].append(case())
    return {name: Cost(min(r.cpu for r in runs), max(r.memory for r in runs)) for name, runs in found.items()}


def start_up(rounds: int) -> dict[str, Cost]:
    """Measure `spec` of our connectors and of the stock CDK."""
    cases = {
        "stock CDK, spec": [PYTHON, "-m", "benchmarks.stock", "spec"],
        "source-wecantrack spec": [str(BIN / "source-wecantrack"), "spec"],
        "destination-wicked-reports spec": [str(BIN / "destination-wicked-reports"), "spec"],
    }
    found: dict[str, list[Cost]] = defaultdict(list)
    for _ in range(rounds):
        for name, command in cases.items():
            found[name].append(measure(command))
    return {name: Cost(min(r.cpu for r in runs), max(r.memory for r in runs)) for name, runs in found.items()}


def main() -> None:
    """Print the tables."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    results = {}
    for pages in (FEW_PAGES, PAGES):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, served(ROWS, pages, min(DAYS, pages)) as url:
            results[pages] = run_all(Bench(Path(folder), url, pages), ROUNDS if pages == PAGES else 1)
    many, few = results[PAGES], results[FEW_PAGES]
    table = Table(title=f"{PAGES * ROWS:,} records of about 1 kB, minimum of {ROUNDS} rounds", box=None)
    for column in ("", "CPU s", "µs / record", "times bare loop", "peak MB", f"MB above {FEW_PAGES * ROWS:,} records"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, run in many.items():
        base = many["bare source" if "source" in name else "bare destination"]
        table.add_row(
            name,
            f"{run.cpu:.2f}",
            f"{run.cpu / PAGES / ROWS * 1e6:.1f}",
            f"{run.cpu / base.cpu:.1f}",
            f"{run.memory:.0f}",
            f"{run.memory - few[name].memory:.0f}",
        )
    console.print(table)
    starts = Table(title="start-up", box=None)
    for column in ("", "CPU s", "peak MB"):
        starts.add_column(column, justify="left" if not column else "right")
    for name, run in start_up(ROUNDS).items():
        starts.add_row(name, f"{run.cpu:.2f}", f"{run.memory:.0f}")
    console.print(starts)
    console.print(latency.table())


if __name__ == "__main__":
    main()
