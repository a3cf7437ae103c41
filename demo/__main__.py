"""`make demo`: sends generated wecantrack commissions, and later their changes, to Wicked Reports, and reconciles them.

It runs the real connectors, joined by a pipe, against the local simulator, and prints every command so that you can run
it again by hand. The life of one commission (`story.py`) and a shorter part for Sovrn (`sovrn.py`) follow.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from demo import contacts, sovrn, story
from demo.steps import FOLDER, compare, console, reconcile, save, shell, stamp, sync
from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import simulator_process
from integration_tests.support.processes import catalog

DAYS, LATER_DAYS, TRANSACTIONS = 90, 45, 20_000
LIMIT = 6000  # requests a minute; with 30, which wecantrack may allow, the demo would wait for minutes


def main() -> int:
    """Run the demo; the exit code is 0 if Wicked Reports stores what it must."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    # The second sync is at the real time, because a run without `end_date` reads up to now.
    second = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=2)
    first = second - timedelta(days=LATER_DAYS)
    console.print(
        f"[bold]1. The simulator[/bold] serves both APIs, with {TRANSACTIONS:,} wecantrack transactions of {DAYS} days."
    )
    arguments = ["--freeze", "--transactions", str(TRANSACTIONS), "--days", str(DAYS), "--later-days", str(LATER_DAYS)]
    with simulator_process("--now", stamp(first), *arguments) as simulator:
        simulator.throttle(LIMIT)
        code = run(simulator, first, second)
    code = code or story.main(second) or sovrn.main(second)
    print_summary(stamp(first), stamp(second), arguments)
    return code


def run(simulator: SimulatorClient, first: datetime, second: datetime) -> int:
    """Sync, move the clock, sync again, and compare."""
    start = (first - timedelta(days=DAYS)).date().isoformat()
    source = {"api_key": simulator.wecantrack_key, "start_date": start, "api_url": simulator.url}
    destination = {
        "api_key": simulator.wicked_key,
        "api_url": simulator.url,
        "mapping": {
            "type": "wecantrack",
            "contact_rules": [{"field": "sub_ids.*", "pattern": contacts.PATTERN}],
            "contact_lookup": {"type": "file", "path": str(contacts.FILE.absolute())},
            "without_contact": "synthetic",
        },
        "ledger": {"type": "sqlite", "path": str(FOLDER.absolute() / "ledger.sqlite")},
    }
    save("source.first.json", {**source, "end_date": stamp(first)})
    save("source.json", source)
    save("destination.json", destination)
    save("catalog.json", catalog("transactions"))

    contacts.write_file(buyers := contacts.in_clicks(simulator))
    contacts.add(simulator, buyers)
    console.print(
        f"   {len(buyers):,} buyers are contacts of a CRM; {contacts.FILE} has their email addresses, by which Wicked "
        "Reports joins clicks, contacts and orders."
    )

    console.print(f"\n[bold]2. First sync[/bold], {DAYS} days up to {first.date()}:")
    if not sync("source-wecantrack", "source.first.json", "destination.json", "states.jsonl", resume=False):
        return 1
    console.print(
        f"\n[bold]3. {LATER_DAYS} days later[/bold], commissions are approved, declined, reinstated, lowered, raised, "
        "taken back by negative rows, and new."
    )
    console.print(f"   The simulator's clock: {simulator.set_clock(stamp(second), frozen=True)}")
    new = sorted({*contacts.in_clicks(simulator)} - {*buyers})
    contacts.write_file([*buyers, *new])
    contacts.add(simulator, new)
    console.print("\n[bold]4. Second sync[/bold], from the saved state:")
    if not sync("source-wecantrack", "source.json", "destination.json", "states.jsonl", resume=True):
        return 1
    console.print("\n[bold]5. What Wicked Reports stores[/bold], compared with what the simulator expects:\n")
    stored = simulator.held()
    equal = compare(stored["table"], simulator.truth([stamp(first), stamp(second)]))
    wrong = len(stored["duplicate_orders"]) + stored["orphan_payments"]
    console.print(f"\n   Orders sent twice and payments without an order: {wrong}.")
    right, known = contacts.with_their_person(simulator)
    console.print(f"   Orders that have the person whose id is on the click: {right:,} of {known:,}.")
    equal = equal and right == known > 0
    verdict = "Equal to the cent." if equal and not wrong else "[red]Not equal.[/red]"
    console.print(f"   [bold]{verdict}[/bold]\n")
    console.print("[bold]6. Does my revenue match?[/bold] Read back with source-wicked-reports, and compared:")
    simulator.outbound.process()
    matched = reconcile("destination.json", "report.html")
    return 0 if equal and not wrong and matched else 1


def print_summary(first: str, second: str, arguments: list[str]) -> None:
    """Print where the files are, and the commands to run everything again."""
    console.print("\n[bold]9. Files[/bold]")
    console.print(f"   ledger             {FOLDER}/ledger.sqlite   what was sent to Wicked Reports")
    console.print(f"   rejected records   {FOLDER}/rejected_records.jsonl   if there are any")
    console.print(f"   states             {FOLDER}/states.jsonl   where the next run starts")
    console.print(f"   report             {FOLDER}/report.html   the comparison of step 6 by day, with a chart")
    console.print(
        "\n[bold]10. Run it by hand[/bold] with a new simulator, an empty ledger and the commands of steps 2, 4 and 6:"
    )
    for command in by_hand(shell(["--now", first, *arguments]), second):
        console.print(f"   {command}", soft_wrap=True, markup=False, highlight=False)


def by_hand(arguments: str, second: str) -> Iterator[str]:
    """Yield the shell commands around those of steps 2, 4 and 6."""
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
