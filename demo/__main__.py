"""`make demo`: the main job on made-up data. Commissions from wecantrack arrive in Wicked Reports, then their changes.

Then everything is read back out of Wicked's other API and compared with what was sent.

Real connectors, joined by a pipe, against the local simulator of the vendors. Everything it runs is printed so that it
can be run again by hand. Sovrn's part follows, shorter: see `sovrn.py`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from demo import sovrn
from demo.steps import FOLDER, compare, console, reconcile, save, shell, stamp, sync
from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import simulator_process
from integration_tests.support.processes import catalog

DAYS, LATER_DAYS, TRANSACTIONS = 90, 45, 20_000
LIMIT = 6000  # requests a minute: at the 30 that wecantrack may allow, the demo would wait for minutes


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
    arguments = ["--freeze", "--transactions", str(TRANSACTIONS), "--days", str(DAYS), "--later-days", str(LATER_DAYS)]
    with simulator_process("--now", stamp(first), *arguments) as simulator:
        simulator.throttle(LIMIT)
        code = tell(simulator, first, second)
    code = code or sovrn.main(second)
    close(stamp(first), stamp(second), arguments)
    return code


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
    if not sync("source-wecantrack", "source.first.json", "destination.json", "state.json", resume=False):
        return 1
    console.print(f"\n[bold]3. {LATER_DAYS} days pass[/bold]: approved, declined, lowered, raised, and new ones.")
    console.print(f"   The simulator's clock: {simulator.set_clock(stamp(second), frozen=True)}")
    console.print("\n[bold]4. Second sync[/bold], from the saved state:")
    if not sync("source-wecantrack", "source.json", "destination.json", "state.json", resume=True):
        return 1
    console.print("\n[bold]5. What Wicked holds now, beside the truth[/bold] that only the simulator knows:\n")
    held = simulator.held()
    equal = compare(held["table"], simulator.truth([stamp(first), stamp(second)]))
    doubled = len(held["duplicate_orders"]) + held["orphan_payments"]
    console.print(f"\n   Orders sent twice or payments without their order: {doubled}.")
    verdict = "Equal to the cent." if equal and not doubled else "[red]Not equal.[/red]"
    console.print(f"   [bold]{verdict}[/bold]\n")
    console.print("[bold]6. Does my revenue match?[/bold] Read back by source-wicked-reports, and compared:")
    simulator.outbound.process()
    matched = reconcile("destination.json", "report.html")
    return 0 if equal and not doubled and matched else 1


def close(first: str, second: str, arguments: list[str]) -> None:
    """Say where everything lies, and how to run it again."""
    console.print("\n[bold]8. What lies where[/bold]")
    console.print(
        f"   ledger             {FOLDER}/ledger.sqlite   what was sent, and what Wicked was told of each order"
    )
    console.print(f"   rejected records   {FOLDER}/rejected_records.jsonl   if there are any")
    console.print(f"   state              {FOLDER}/state.json   where the next run starts")
    console.print(f"   report             {FOLDER}/report.html   the comparison of step 6, day by day, with a chart")
    console.print(
        "\n[bold]9. By hand[/bold]: the same simulator again, an empty ledger, and the commands of steps 2, 4 and 6:"
    )
    for command in by_hand(shell(["--now", first, *arguments]), second):
        console.print(f"   {command}", soft_wrap=True, markup=False, highlight=False)


def by_hand(arguments: str, second: str) -> Iterator[str]:
    """Yield what to type around the commands of steps 2, 4 and 6, to run them again without the demo."""
    yield f"rm -f {FOLDER}/ledger.sqlite* {FOLDER}/port"
    yield (
        f".venv/bin/python -m integration_tests.simulator {arguments} --port-file {FOLDER}/port "
        f"> {FOLDER}/simulator.log & SIM=$!"
    )
    yield f"until test -f {FOLDER}/port; do sleep 1; done; API=http://localhost:$(cat {FOLDER}/port)"
    yield f"curl -s -X POST $API/_sim/throttle -d '{{\"limit\": {LIMIT}}}'"
    yield f'sed -i.old -e "s|http://[^\\"]*|$API|" {FOLDER}/source*.json {FOLDER}/destination.json'
    yield "# step 2"
    yield f'curl -s -X POST $API/_sim/clock -d \'{{"now": "{second}", "frozen": true}}\''
    yield "# step 4"
    yield "curl -s -X POST $API/_sim/outbound/process"
    yield "# step 6"
    yield "kill $SIM"


if __name__ == "__main__":
    sys.exit(main())
