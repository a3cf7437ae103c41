"""The demo's second part: Sovrn, whose API serves one day per minute, and whose returns come months later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from demo import contacts
from demo.steps import FOLDER, compare, console, save, stamp, sync
from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import simulator_process

DAYS, LATER_DAYS, SALES_A_DAY = 5, 80, 4
#: seconds between requests; the vendor requires 60, and the connector's default is 61
INTERVAL = 0.2


def main(second: datetime) -> int:
    """Run Sovrn's part; the exit code is 0 if Wicked Reports stores what it must."""
    first = second - timedelta(days=LATER_DAYS)
    console.print(
        f"\n[bold]8. Sovrn[/bold] allows one request a minute, for one day each. The demo uses {INTERVAL} s instead."
    )
    with simulator_process("--now", stamp(first), "--transactions", "0", "--sovrn-transactions", "0") as simulator:
        simulator.sovrn.pace(INTERVAL)
        return run(simulator, first, second)


def run(simulator: SimulatorClient, first: datetime, second: datetime) -> int:
    """Sync a few days, add a correction and a return 80 days later, sync again, and compare."""
    sales = [sale(first - timedelta(days=DAYS - 1 - n // SALES_A_DAY), n) for n in range(DAYS * SALES_A_DAY)]
    for row in sales:
        simulator.sovrn.upsert([row], at=f"{row['commissionDate']}T00:00:01")
    source = {
        "secret_key": simulator.sovrn_key,
        "start_date": sales[0]["commissionDate"],
        "request_interval_seconds": INTERVAL,
        "api_url": simulator.url,
    }
    contacts.add(simulator, [row["cuid"].partition("_")[0] for row in sales if row["cuid"]])
    save("sovrn.first.json", {**source, "end_date": first.date().isoformat()})
    save("sovrn.json", {**source, "end_date": second.date().isoformat()})
    save(
        "destination.sovrn.json",
        {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {
                "type": "sovrn",
                "contact_rules": [{"field": "cuid", "pattern": "^(?P<contact_id>U[0-9]+)_"}],
                "contact_lookup": {"type": "wicked"},
                "contact_source_system": contacts.SYSTEM,
                "without_contact": "synthetic",
            },
            "ledger": {"type": "sqlite", "path": str(FOLDER.absolute() / "ledger.sovrn.sqlite")},
        },
    )
    if not sync("source-sovrn", "sovrn.first.json", "destination.sovrn.json", "states.sovrn.jsonl", resume=False):
        return 1
    first_sync = simulator.now()
    simulator.set_clock(stamp(second))
    lower = {**sales[0], "publisherNetRevenue": "1.0050"}
    returned = {**sales[1], "revenueId": "R900", "commissionId": "C900"}
    returned["publisherNetRevenue"] = f"-{sales[1]['publisherNetRevenue']}"
    simulator.sovrn.upsert([lower, returned])
    console.print(
        f"\n   [bold]{LATER_DAYS} days later[/bold], one commission is lowered, and one purchase is returned, which "
        "Sovrn reports as a separate negative row."
    )
    if not sync("source-sovrn", "sovrn.json", "destination.sovrn.json", "states.sovrn.jsonl", resume=True):
        return 1
    console.print("\n   What Wicked Reports stores, compared with what the simulator expects:\n")
    equal = compare(simulator.held()["table"], simulator.sovrn.truth([first_sync, simulator.now()]))
    for payment in simulator.wicked_rows("orderpayments")[len(sales) :]:
        console.print(
            f"   {payment['PaymentDate']}  {payment['Status']}  {payment['Amount']} USD of {payment['OrderID']}"
        )
    console.print(f"\n   [bold]{'Equal to the cent.' if equal else '[red]Not equal.[/red]'}[/bold]")
    return 0 if equal else 1


def sale(day: datetime, number: int) -> dict[str, Any]:
    """Return one generated commission."""
    return {
        "revenueId": f"R{number}",
        "commissionId": f"C{number}",
        "clickId": f"K{number}",
        "merchantGroupId": 5000 + number % 3,
        "merchantGroupName": f"Shop {number % 3}",
        "commissionDate": day.date().isoformat(),
        "clickDate": day.date().isoformat(),
        "publisherNetRevenue": f"{3 + number * 0.7351:.4f}",
        "cuid": f"U{number}_newsletter" if number % 2 else "",
    }
