"""The demo's second part: Sovrn, whose API gives one day a minute, and whose returns come months later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from demo.steps import FOLDER, compare, console, save, stamp, sync
from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import simulator_process

DAYS, LATER_DAYS, SALES_A_DAY = 5, 80, 4
#: seconds; the vendor asks for 60, and the connector's own default is 61
INTERVAL = 0.2


def main(second: datetime) -> int:
    """Run Sovrn's part; the exit code says whether Wicked holds the truth."""
    first = second - timedelta(days=LATER_DAYS)
    console.print(
        f"\n[bold]7. Sovrn[/bold] allows one request a minute, and one day a request. Here it is one in {INTERVAL} s, "
        "so that you need not wait."
    )
    with simulator_process("--now", stamp(first), "--transactions", "0", "--sovrn-transactions", "0") as simulator:
        simulator.sovrn.pace(INTERVAL)
        return tell(simulator, first, second)


def tell(simulator: SimulatorClient, first: datetime, second: datetime) -> int:
    """Sync a few days, let a return and a correction come 80 days later, sync again, and compare."""
    sales = [sale(first - timedelta(days=DAYS - 1 - n // SALES_A_DAY), n) for n in range(DAYS * SALES_A_DAY)]
    for row in sales:
        simulator.sovrn.upsert([row], at=f"{row['commissionDate']}T00:00:01")
    source = {
        "secret_key": simulator.sovrn_key,
        "start_date": sales[0]["commissionDate"],
        "request_interval_seconds": INTERVAL,
        "api_url": simulator.url,
    }
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
                "without_contact": "synthetic",
            },
            "ledger": {"type": "sqlite", "path": str(FOLDER / "ledger.sovrn.sqlite")},
        },
    )
    if not sync("source-sovrn", "sovrn.first.json", "destination.sovrn.json", "state.sovrn.json", resume=False):
        return 1
    seen = simulator.now()
    simulator.set_clock(stamp(second))
    lower = {**sales[0], "publisherNetRevenue": "1.0050"}
    returned = {**sales[1], "revenueId": "R900", "commissionId": "C900"}
    returned["publisherNetRevenue"] = f"-{sales[1]['publisherNetRevenue']}"
    simulator.sovrn.upsert([lower, returned])
    console.print(
        f"\n   [bold]{LATER_DAYS} days later[/bold] one commission is lowered, and one purchase is returned, which "
        "Sovrn tells as a row of its own, below zero."
    )
    if not sync("source-sovrn", "sovrn.json", "destination.sovrn.json", "state.sovrn.json", resume=True):
        return 1
    console.print("\n   What Wicked holds now, beside the truth:\n")
    equal = compare(simulator.held()["table"], simulator.sovrn.truth([seen, simulator.now()]))
    for paid in simulator.wicked_rows("orderpayments")[len(sales) :]:
        console.print(f"   {paid['PaymentDate']}  {paid['Status']}  {paid['Amount']} USD of {paid['OrderID']}")
    console.print(f"\n   [bold]{'Equal to the cent.' if equal else '[red]Not equal.[/red]'}[/bold]")
    return 0 if equal else 1


def sale(day: datetime, number: int) -> dict[str, Any]:
    """Return one made-up commission."""
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
