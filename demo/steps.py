"""Steps of the demo: a sync as two processes joined by a pipe, its progress, and the final table."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from integration_tests.support.processes import BIN

FOLDER = Path(".demo")
#: records between two lines of progress
STEP = 4_000
#: of the days that Sovrn's source logs, only the first ones and every n-th are printed
FIRST_DAYS, EVERY_DAYS = 3, 20
DAY = re.compile(r"day (\d+) of (\d+)")
#: beginnings of log messages that are not printed
HIDDEN = (f"The ledger {FOLDER.absolute()}",)
AMOUNTS = ("gross", "refunded", "net_by_orders", "net_by_payments")
COUNTS = ("orders", "live", "declined")

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def sync(source: str, config: str, destination: str, state: str, *, resume: bool, quiet: bool = False) -> bool:
    """Run `source read | destination write` and save the last state; return whether it succeeded.

    Unless `quiet`, print the commands and the log.
    """
    read = [BIN / source, "read", "--config", FOLDER / config, "--catalog", FOLDER / "catalog.json"]
    if resume:
        read += ["--state", FOLDER / state]
    write = [BIN / "destination-wicked-reports", "write", "--config", FOLDER / destination]
    write += ["--catalog", FOLDER / "catalog.json"]
    messages = FOLDER / "messages.jsonl"
    if not quiet:
        console.print(f"   $ {shell(read)} \\\n     | {shell(write)} > {messages}", soft_wrap=True)
    # the states that the destination returned; a source reads the last one of each stream
    keep = f'grep \'^{{"type":"STATE"\' {messages} > {FOLDER}/{state}'
    if not quiet:
        console.print(f"   $ {keep}", soft_wrap=True, markup=False)
    begun = time.monotonic()
    errors = FOLDER / "errors.txt"  # not the terminal, where the connectors would write lines for people
    with messages.open("wb") as kept, errors.open("wb") as log:
        reader = subprocess.Popen([str(part) for part in read], stdout=subprocess.PIPE, stderr=log)
        writer = subprocess.Popen(
            [str(part) for part in write], stdin=reader.stdout, stdout=subprocess.PIPE, stderr=log
        )
        assert reader.stdout is not None
        assert writer.stdout is not None
        reader.stdout.close()
        delivered = Progress()
        for line in writer.stdout:
            kept.write(line)
            if not quiet:
                delivered.show(json.loads(line))
    if writer.wait() or reader.wait():
        console.print(f"   [red]The sync failed[/red]: see {messages} and {errors}.")
        return False
    subprocess.run(keep, shell=True, check=True)
    if not quiet:
        console.print(f"   {time.monotonic() - begun:.1f} s")
    return True


class Progress:
    """Prints the log, errors and, by the STATEs, how many records are delivered."""

    def __init__(self) -> None:
        self._records = 0
        self._printed = 0

    def show(self, message: dict[str, Any]) -> None:
        """Print one message, if it is for people."""
        if message["type"] == "LOG" and not message["log"]["message"].startswith(HIDDEN):
            day = DAY.match(message["log"]["message"])
            if day and int(day[1]) > FIRST_DAYS and int(day[1]) % EVERY_DAYS and day[1] != day[2]:
                return
            console.print(f"     {message['log']['message']}", markup=False, soft_wrap=True)
        elif message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
            console.print(f"     {message['trace']['error']['message']}", style="red", markup=False, soft_wrap=True)
        elif message["type"] == "STATE":
            stats = message["state"]["destinationStats"]
            self._records += int(stats["recordCount"] + stats["rejectedRecordCount"])
            if self._records - self._printed >= STEP:
                self._printed = self._records
                reached = ", ".join(message["state"]["stream"]["stream_state"].values())
                console.print(f"     {self._records:,} records delivered, up to {reached}")


def compare(stored: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Print both tables as one; return whether they are equal."""
    by_key = {(row["month"], row["currency"]): row for row in stored}
    headings = [name.replace("_", " ").replace("orders", "order") for name in AMOUNTS]
    table = Table("   month", "", *COUNTS, *headings, "", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[2:-1]:
        column.justify = "right"
    equal = len(by_key) == len(expected)
    for row in expected:
        found = by_key.get((row["month"], row["currency"]), {})
        same = all(found.get(name) == row[name] for name in (*COUNTS, *AMOUNTS))
        equal = equal and same
        cells, wanted = ([str(one.get(name, "-")) for name in (*COUNTS, *AMOUNTS)] for one in (found, row))
        table.add_row(f"   {row['month']} {row['currency']}", "stored", *cells, "")
        table.add_row("", "expected", *wanted, "[green]equal[/green]" if same else "[red]differs[/red]")
    console.print(table)
    return equal


def reconcile(destination: str, report: str) -> bool:
    """Run `wicked-reports-reconcile`, print its output without the single days, and return whether both sides match."""
    command = [
        BIN / "wicked-reports-reconcile",
        "--destination-config",
        FOLDER / destination,
        "--html",
        FOLDER / report,
    ]
    console.print(f"   $ {shell(command)}", soft_wrap=True)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    days = 0
    for line in [*done.stdout.splitlines(), *done.stderr.splitlines() * (done.returncode > 1)]:
        if line[:2].isdigit():
            days += 1
            continue
        if line.startswith("total") and days:
            console.print(f"     ... {days} lines by day and currency")
            days = 0
        console.print(f"     {line}", markup=False, soft_wrap=True)
    return done.returncode == 0


def save(name: str, content: Any) -> None:
    """Write one of the demo's files."""
    (FOLDER / name).write_text(json.dumps(content, indent=2) + "\n")


def stamp(instant: datetime) -> str:
    """Format an instant as both vendors do."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S")


def shell(command: list[Any]) -> str:
    """Return a command as a line for a shell."""
    here = Path.cwd()
    return shlex.join(
        str(part.relative_to(here)) if isinstance(part, Path) and part.is_relative_to(here) else str(part)
        for part in command
    )
