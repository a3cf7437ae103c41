"""The demo's story of one commission: every change that makes orders or refunds, and the net under both readings.

It is docs/guides/affiliate-revenue.md A worked example.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from rich.table import Table

from demo import contacts
from demo.steps import FOLDER, console, save, stamp, sync
from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import simulator_process

BUYER = "U77"
SALE = {
    "user_network_account_id": 7,
    "transaction_id": "A27",
    "reference": "WCT260302120000ab",
    "sub_ids": {"clickRef": f"{BUYER}-newsletter"},
    "currency_id": "USD",
}
#: days since the sale, what happens, and the fields that wecantrack then shows
STEPS: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (0, "first seen", {"status": "pending", "commission_amount": "19.99"}),
    (7, "rise", {"commission_amount": "24.10"}),
    (39, "fall within the rise", {"status": "approved", "commission_amount": "22.00"}),
    (46, "fall beyond the rise", {"commission_amount": "12.05"}),
    (63, "decline", {"status": "declined"}),
    (70, "reinstatement", {"status": "approved", "commission_amount": "24.10"}),
    (98, "negative row", {"status": "approved", "transaction_id": "A27-R", "commission_amount": "-5.00"}),
)


def main(second: datetime) -> int:
    """Tell the story; the exit code is 0 if Wicked Reports stores what it must after every step."""
    first = second - timedelta(days=STEPS[-1][0] + 1)
    console.print(
        f"\n[bold]7. The life of one commission[/bold] in {len(STEPS)} syncs, and its net by both readings:\n"
    )
    with simulator_process("--now", stamp(first), "--freeze", "--transactions", "0") as simulator:
        return run(simulator, first)


def run(simulator: SimulatorClient, first: datetime) -> int:
    """Sync after every change, and compare both nets with the expected one."""
    source = {"api_key": simulator.wecantrack_key, "start_date": stamp(first)[:10], "api_url": simulator.url}
    contacts.add(simulator, [BUYER])
    mapping = {
        "type": "wecantrack",
        "contact_rules": [{"field": "sub_ids.*", "pattern": contacts.PATTERN}],
        "contact_lookup": {"type": "wicked"},
        "contact_source_system": contacts.SYSTEM,
    }
    save(
        "destination.story.json",
        {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": mapping,
            "ledger": {"type": "sqlite", "path": str(FOLDER.absolute() / "ledger.story.sqlite")},
        },
    )
    table = Table("   event", "wecantrack shows", "sent", box=None, pad_edge=False)
    for name in ("gross", "net by order", "net by payments", ""):
        table.add_column(name, justify="right")
    for column in table.columns:
        column.no_wrap = True
    syncs: list[str] = []
    known: list[str] = []
    all_equal = True
    for days, event, fields in STEPS:
        now = stamp(first + timedelta(days=days, hours=1))
        simulator.set_clock(now, frozen=True)
        simulator.upsert([{**SALE, **fields}], at=stamp(first + timedelta(days=days)))
        syncs.append(now)
        save("story.json", {**source, "end_date": now})
        if not sync(
            "source-wecantrack",
            "story.json",
            "destination.story.json",
            "states.story.jsonl",
            resume=days > 0,
            quiet=True,
        ):
            return 1
        rows = sent(simulator)
        held = totals(simulator.held(orders=True))
        expected = totals(simulator.truth(syncs, orders=True))
        equal = held == expected and held["net_by_orders"] == held["net_by_payments"]
        all_equal = all_equal and equal
        shown = ", ".join(str(value) for name, value in fields.items() if name != "transaction_id")
        cells = [held["gross"], held["net_by_orders"], held["net_by_payments"]]
        verdict = "[green]equal[/green]" if equal else f"[red]not {expected['net'] / 100:.2f}[/red]"
        new = "\n".join(row for row in rows if row not in known) or "-"
        table.add_row(f"   {event}", shown, new, *(f"{cents / 100:.2f}" for cents in cells), verdict)
        known = rows
    console.print(table)
    right, orders = contacts.with_their_person(simulator)
    console.print(
        f"\n   {right} of {orders} orders have the contact {BUYER}: the lookup asked Wicked Reports once for its email "
        "address, and further orders repeat it."
    )
    all_equal = all_equal and right == orders
    console.print(f"\n   [bold]{'Equal to the cent.' if all_equal else '[red]Not equal.[/red]'}[/bold]")
    return 0 if all_equal else 1


def sent(simulator: SimulatorClient) -> list[str]:
    """Return the orders and refunds that Wicked Reports stores, as text."""
    orders = [
        f"{_short(row['SourceID'])} order {float(row['OrderTotal']):.2f}" for row in simulator.wicked_rows("orders")
    ]
    payments = [row for row in simulator.wicked_rows("orderpayments") if row["Status"] != "APPROVED"]
    return orders + [f"{_short(row['OrderID'])} {row['Status']} {float(row['Amount']):.2f}" for row in payments]


def _short(source_id: str) -> str:
    return source_id.removeprefix("wct-7-")


def totals(orders: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Add up the orders, in cents."""
    names = ("gross", "net", "net_by_orders", "net_by_payments")
    return {name: sum(int(row[name].replace(".", "")) for row in orders.values()) for name in names}
