"""`make demo`: the main job on made-up data. Commissions from wecantrack arrive in Wicked Reports, then their changes.

Two real connectors, joined by a pipe, against the local simulator of both vendors. Everything it runs is printed so
that it can be run again by hand.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from integration_tests.connectors import BIN, catalog
from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import simulator_process

FOLDER = Path(".demo")
DAYS, LATER_DAYS, TRANSACTIONS = 90, 45, 20_000
#: records between two lines of progress
STEP = 4_000
AMOUNTS = ("gross", "approved", "refunded", "net")
COUNTS = ("orders", "live", "declined")

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main() -> int:
    """Run the demo; the exit code says whether Wicked holds the truth."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    # The simulator's second instant is the real now, so that an ordinary run, which reads up to now, ends there.
    second = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=2)
    first = second - timedelta(days=LATER_DAYS)
    console.print(
        f"[bold]1. The simulator[/bold] plays both vendors: {TRANSACTIONS:,} wecantrack transactions of {DAYS} days."
    )
    arguments = ("--transactions", str(TRANSACTIONS), "--days", str(DAYS), "--later-days", str(LATER_DAYS))
    with simulator_process("--now", stamp(first), "--freeze", *arguments) as simulator:
        simulator.throttle(6000)
        return tell(simulator, first, second)


def tell(simulator: SimulatorClient, first: datetime, second: datetime) -> int:
    """Sync, let time pass, sync again, and compare."""
    start = (first - timedelta(days=DAYS)).date().isoformat()
    source = {"api_key": simulator.wecantrack_key, "start_date": start, "api_url": simulator.url}
    destination = {
        "api_key": simulator.wicked_key,
        "api_url": simulator.url,
        "mapping": {
            "type": "wecantrack",
            "contact_rules": [{"field": "sub_ids.*", "pattern": "(?P<contact_id>U[0-9]+)-"}],
            "without_contact": "synthetic",
        },
        "ledger": {"type": "sqlite", "path": str(FOLDER / "ledger.sqlite")},
    }
    save("source.first.json", {**source, "end_date": stamp(first)})
    save("source.json", source)
    save("destination.json", destination)
    save("catalog.json", catalog("transactions"))

    console.print(f"\n[bold]2. First sync[/bold], {DAYS} days up to {first.date()}:")
    if not sync("source.first.json", state=False):
        return 1
    console.print(f"\n[bold]3. {LATER_DAYS} days pass[/bold]: approved, declined, lowered, raised, and new ones.")
    console.print(f"   The simulator's clock: {simulator.set_clock(stamp(second), frozen=True)}")
    console.print("\n[bold]4. Second sync[/bold], from the saved state:")
    if not sync("source.json", state=True):
        return 1
    console.print("\n[bold]5. What Wicked holds now, beside the truth[/bold] that only the simulator knows:\n")
    held = simulator.held()
    equal = compare(held["table"], simulator.truth([stamp(first), stamp(second)]))
    doubled = len(held["duplicate_orders"]) + held["orphan_payments"]
    console.print(f"\n   Orders sent twice or payments without their order: {doubled}.")
    verdict = "Equal to the cent." if equal and not doubled else "[red]Not equal.[/red]"
    console.print(f"   [bold]{verdict}[/bold]\n")
    console.print("[bold]6. What lies where[/bold]")
    console.print(
        f"   ledger             {FOLDER}/ledger.sqlite   what was sent, and what Wicked was told of each order"
    )
    console.print(f"   rejected records   {FOLDER}/rejected_records.jsonl   ({rejected():,} rows)")
    console.print(f"   state              {FOLDER}/state.json   where the next run starts")
    console.print("\n[bold]7. By hand[/bold]: keep a simulator running in another shell,")
    console.print("   .venv/bin/python -m integration_tests.simulator")
    console.print(
        f"   put the address it prints into {FOLDER}/*.json as api_url, and run what is printed above with a $."
    )
    return 0 if equal and not doubled else 1


def sync(config: str, *, state: bool) -> bool:
    """Run `source read | destination write`, show what they log, and save the state that the destination gives back."""
    read = [BIN / "source-wecantrack", "read", "--config", FOLDER / config, "--catalog", FOLDER / "catalog.json"]
    if state:
        read += ["--state", FOLDER / "state.json"]
    write = [BIN / "destination-wicked-reports", "write", "--config", FOLDER / "destination.json"]
    write += ["--catalog", FOLDER / "catalog.json"]
    messages = FOLDER / "messages.jsonl"
    console.print(f"   $ {shell(read)} \\\n     | {shell(write)} > {messages}", soft_wrap=True)
    # The last STATE that came back, as the list of states that a source takes: plain text tools are enough.
    keep = (
        f'grep \'^{{"type":"STATE"\' {messages} | tail -n 1 '
        f'| sed -e \'s/^{{"type":"STATE","state":/[/\' -e \'s/}}$/]/\' > {FOLDER}/state.json'
    )
    console.print(f"   $ {keep}", soft_wrap=True, markup=False)
    begun = time.monotonic()
    reader = subprocess.Popen([str(part) for part in read], stdout=subprocess.PIPE)
    with messages.open("wb") as kept:
        writer = subprocess.Popen([str(part) for part in write], stdin=reader.stdout, stdout=subprocess.PIPE)
        assert reader.stdout is not None
        assert writer.stdout is not None
        reader.stdout.close()
        delivered = Progress()
        for line in writer.stdout:
            kept.write(line)
            delivered.show(json.loads(line))
    if writer.wait() or reader.wait():
        console.print(f"   [red]The sync failed[/red]: {messages} says why.")
        return False
    subprocess.run(keep, shell=True, check=True)
    console.print(f"   {time.monotonic() - begun:.1f} s")
    return True


class Progress:
    """Shows what is logged, and now and then how far the delivery has come: STATEs tell what is safe in Wicked."""

    def __init__(self) -> None:
        self._records = 0
        self._told = 0

    def show(self, message: dict[str, Any]) -> None:
        """Show one message, if a person would want to see it."""
        if message["type"] == "LOG":
            console.print(f"     {message['log']['message']}", markup=False, soft_wrap=True)
        elif message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
            console.print(f"     {message['trace']['error']['message']}", style="red", markup=False, soft_wrap=True)
        elif message["type"] == "STATE":
            self._records += int(message["state"]["destinationStats"]["recordCount"])
            if self._records - self._told >= STEP:
                self._told = self._records
                reached = ", ".join(message["state"]["stream"]["stream_state"].values())
                console.print(f"     {self._records:,} records delivered, up to {reached}")


def compare(held: list[dict[str, Any]], truth: list[dict[str, Any]]) -> bool:
    """Print both tables as one; return whether they are the same."""
    by_key = {(row["month"], row["currency"]): row for row in held}
    table = Table("   month", "", *COUNTS, *AMOUNTS, "", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[2:-1]:
        column.justify = "right"
    equal = len(by_key) == len(truth)
    for row in truth:
        mine = by_key.get((row["month"], row["currency"]), {})
        same = all(mine.get(name) == row[name] for name in (*COUNTS, *AMOUNTS))
        equal = equal and same
        for who, shown in (("Wicked", mine), ("truth", row)):
            cells = [str(shown.get(name, "-")) for name in (*COUNTS, *AMOUNTS)]
            mark = "" if who == "Wicked" else "[green]equal[/green]" if same else "[red]differs[/red]"
            table.add_row(f"   {row['month']} {row['currency']}" if who == "Wicked" else "", who, *cells, mark)
    console.print(table)
    return equal


def rejected() -> int:
    """Count the dead letters."""
    path = FOLDER / "rejected_records.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def save(name: str, content: Any) -> None:
    """Write one of the demo's files."""
    (FOLDER / name).write_text(json.dumps(content, indent=2) + "\n")


def stamp(instant: datetime) -> str:
    """Return an instant as both vendors write it."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S")


def shell(command: list[Any]) -> str:
    """Return a command as a shell takes it."""
    here = Path.cwd()
    return shlex.join(
        str(part.relative_to(here)) if isinstance(part, Path) and part.is_relative_to(here) else str(part)
        for part in command
    )


if __name__ == "__main__":
    sys.exit(main())
