"""The wecantrack oracle and the stored totals: each alone, and a minimal destination that makes them equal."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
import requests

from integration_tests.simulator import SimulatorClient
from integration_tests.simulator.oracle import cents

ROW = {"user_network_account_id": 101, "transaction_id": "T1", "order_date": "2026-01-31 23:59:59"}
DAYS = ("2026-04-01", "2026-04-02", "2026-04-03", "2026-04-04")


def live(sim: SimulatorClient, *states: dict[str, Any]) -> None:
    """Write one state per day, from the first of `DAYS` on."""
    for day, state in zip(DAYS, states, strict=False):
        sim.upsert([{**ROW, **state}], at=day)
    sim.set_clock(DAYS[-1])


def truth(sim: SimulatorClient, at: Any = DAYS, **settings: Any) -> dict[str, Any]:
    (row,) = sim.truth(at, **settings)
    return dict(row)


def sums(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return row["gross"], row["approved"], row["refunded"], row["net"]


STATES = (
    {"status": "pending", "commission_amount": "10.00", "sale_amount": "100.00"},
    {"status": "approved"},
    {"commission_amount": "6.00", "sale_amount": "60.00"},
    {"status": "declined"},
)


def test_changes_of_a_transaction_become_payments_of_one_order(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    row = truth(sim)
    assert (row["month"], row["currency"], row["orders"]) == ("2026-01", "EUR", 1)
    assert sums(row) == ("10.00", "10.00", "10.00", "0.00")
    assert (row["live"], row["declined"]) == (0, 1)


@pytest.mark.parametrize(
    ("syncs", "expected"),
    [
        (DAYS[:1], ("10.00", "10.00", "0.00", "10.00")),
        (DAYS[:2], ("10.00", "10.00", "0.00", "10.00")),
        (DAYS[:3], ("10.00", "10.00", "4.00", "6.00")),
        (DAYS[2:], ("6.00", "6.00", "6.00", "0.00")),
        (DAYS[3:], ("6.00", "0.00", "0.00", "0.00")),
    ],
)
def test_only_what_a_sync_saw_counts(sim: SimulatorClient, syncs: Any, expected: tuple[str, ...]) -> None:
    live(sim, *STATES)
    assert sums(truth(sim, syncs)) == expected


def test_pending_is_worth_nothing_where_only_approved_is_recognized(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    assert sums(truth(sim, DAYS[:1], recognize="approved")) == ("10.00", "0.00", "0.00", "0.00")
    assert truth(sim, DAYS[:1], recognize="approved")["live"] == 0
    assert sums(truth(sim, DAYS[:3], recognize="approved")) == ("10.00", "10.00", "4.00", "6.00")


def test_the_sale_can_be_the_basis(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    assert sums(truth(sim, DAYS[:3], revenue_basis="sale_amount")) == ("100.00", "100.00", "40.00", "60.00")


def test_amounts_are_rounded_half_up_before_they_are_summed(sim: SimulatorClient) -> None:
    assert [str(cents(text)) for text in ("0.005", "0.015", "-0.005", "1.2349")] == ["0.01", "0.02", "-0.01", "1.23"]
    for number in range(3):
        sim.upsert([{**ROW, "transaction_id": f"R{number}", "commission_amount": "0.125"}])
    assert truth(sim, ["2026-04-01"])["gross"] == "0.39"


def test_a_window_bounds_what_was_seen(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    assert sim.truth(DAYS[:1], lag_seconds=60) == []
    assert sums(truth(sim, ["2026-04-01T00:01:00", "2026-04-02T00:01:00"], lag_seconds=60))[3] == "10.00"
    assert sums(truth(sim, not_before="2026-04-03")) == ("6.00", "6.00", "6.00", "0.00")


def test_rows_without_an_identity_are_left_out(sim: SimulatorClient) -> None:
    sim.upsert([{**ROW, "sub_ids": {"clickRef": "U123-DEAL9-wct1"}, "commission_amount": "1.00"}])
    sim.upsert([{**ROW, "transaction_id": "T2", "sub_ids": [], "click_metadata": {"user_id": "U7"}}])
    sim.upsert([{**ROW, "transaction_id": "T3", "sub_ids": None}])
    assert truth(sim)["orders"] == 3
    assert truth(sim, identity=[r"sub_ids.*:U(?P<contact_id>\d+)-DEAL"])["orders"] == 1
    assert truth(sim, identity=[r"sub_ids.*:U\d+-DEAL", r"click_metadata.user_id:^U\d+"])["orders"] == 2
    with pytest.raises(ValueError, match="400"):
        sim.truth(identity=["sub_ids.*:("])


def test_orders_can_be_had_one_by_one(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    assert sim.truth(DAYS, orders=True)["wct-101-T1"] == {
        "month": "2026-01", "currency": "EUR", "status": "declined",
        "gross": "10.00", "approved": "10.00", "refunded": "10.00", "net": "0.00",
    }  # fmt: skip


def post(sim: SimulatorClient, endpoint: str, rows: list[dict[str, Any]]) -> None:
    for first in range(0, len(rows), 1000):
        reply = requests.post(
            f"{sim.url}/{endpoint}", json=rows[first : first + 1000], headers={"apikey": sim.wicked_key}, timeout=30
        )
        assert reply.json()["errors"] == []


def payment(status: str, amount: str, order: str | None = None) -> dict[str, Any]:
    row = {"PaymentDate": "2026-04-01 00:00:00", "Amount": amount, "Status": status}
    return row if order is None else {"SourceSystem": "wecantrack", "OrderID": order, **row}


def order(number: str, total: str, *payments: dict[str, Any]) -> dict[str, Any]:
    return {
        "SourceSystem": "wecantrack", "SourceID": number, "CreateDate": "2026-01-31 23:59:59", "ContactID": "u",
        "OrderTotal": total, "OrderCurrency": "EUR", "OrderPayments": list(payments),
    }  # fmt: skip


def test_held_sums_nested_and_later_payments_by_status(sim: SimulatorClient) -> None:
    post(sim, "orders", [order("a", "10.00", payment("", "10.00")), order("b", "5.00"), order("c", "3.00")])
    post(sim, "orderpayments", [payment("partially refunded", "4.00", "a"), payment("DECLINED", "5.00", "b")])
    post(sim, "orderpayments", [payment("APPROVED", "9.00", "unknown"), payment("VOIDED", "1.00", "a")])
    held = sim.held()
    assert held["table"] == [
        {"month": "2026-01", "currency": "EUR", "orders": 3, "live": 1, "declined": 1}
        | {"gross": "18.00", "approved": "10.00", "refunded": "4.00", "net": "6.00"}
    ]  # fmt: skip
    assert (held["orphan_payments"], held["other_statuses"]) == (1, {"VOIDED": 1})
    assert sim.held(orders=True)["c"]["status"] == "pending"


def test_held_lists_an_order_sent_twice(sim: SimulatorClient) -> None:
    post(sim, "orders", [order("a", "10.00"), order("a", "10.00")])
    assert (sim.held()["duplicate_orders"], sim.held()["table"][0]["gross"]) == (["wecantrack/a"], "10.00")
    sim.switch("wicked.duplicates", "both_kept")
    post(sim, "orders", [order("a", "10.00")])
    assert sim.held()["table"][0]["gross"] == "20.00"


class MinimalDestination:
    """Applies docs/guides/affiliate-revenue.md What is sent, by event; its rows must make `held` equal `truth`."""

    def __init__(self, sim: SimulatorClient, recognize: str) -> None:
        self.sim, self.recognize = sim, recognize
        self.live: dict[str, Decimal] = {}

    def sync(self) -> None:
        orders, payments = [], []
        for row in self.sim.transactions():
            if not re.search(r"'U\d+-DEAL", str(row["sub_ids"])):
                continue
            number = f"wct-{row['user_network_account_id']}-{row['transaction_id']}"
            amount = cents(row["commission_amount"])
            counts = row["status"] == "approved" or (row["status"] == "pending" and self.recognize == "pending")
            before, now = self.live.get(number, Decimal(0)), amount if counts else Decimal(0)
            moves = []
            if now > before:
                moves.append(payment("APPROVED", str(now - before)))
            elif now < before:
                moves.append(payment("REFUNDED" if not now else "PARTIALLY REFUNDED", str(before - now)))
            elif row["status"] == "declined" and not before:
                moves.append(payment("DECLINED", str(amount)))
            if number not in self.live:
                new = order(number, str(amount), *moves)
                orders.append({**new, "CreateDate": row["order_date"], "OrderCurrency": row["currency_id"]})
            else:
                payments += [{"SourceSystem": "wecantrack", "OrderID": number, **move} for move in moves]
            self.live[number] = now
        post(self.sim, "orders", orders)
        post(self.sim, "orderpayments", payments)


@pytest.mark.parametrize("recognize", ["pending", "approved"])
@pytest.mark.parametrize("declined_amounts", ["kept", "zeroed"])
def test_a_minimal_destination_makes_held_equal_to_truth(
    sim: SimulatorClient, recognize: str, declined_amounts: str
) -> None:
    sim.generate(transactions=1500, start="2026-01-01T00:00:00", declined_amounts=declined_amounts)
    destination = MinimalDestination(sim, recognize)
    instants = []
    for _ in range(4):
        destination.sync()
        instants.append(sim.now())
        sim.move_clock(days=15)
    settings: dict[str, Any] = {"recognize": recognize, "identity": [r"sub_ids.*:^U\d+-DEAL"]}
    assert sim.truth(instants, **settings) == sim.held()["table"]
    assert len(sim.held()["table"]) >= 12
    assert sim.truth(instants, orders=True, **settings) == sim.held(orders=True)
    assert sim.truth(instants[:1], **settings) != sim.held()["table"]


def test_unknown_parameters_are_refused_and_the_former_spelling_is_read(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    with pytest.raises(ValueError, match=r"400.*unknown parameters: recognized"):
        sim.truth(DAYS, recognized="approved")
    assert sim.truth(DAYS[:1], recognise="approved") == sim.truth(DAYS[:1], recognize="approved") != sim.truth(DAYS[:1])
