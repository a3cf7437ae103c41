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
    ],
)
def test_only_what_a_sync_saw_counts(sim: SimulatorClient, syncs: Any, expected: tuple[str, ...]) -> None:
    live(sim, *STATES)
    assert sums(truth(sim, syncs)) == expected
    assert sim.truth(DAYS[3:]) == []  # declined before it was sent


def test_pending_is_worth_nothing_where_only_approved_is_recognized(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    assert sim.truth(DAYS[:1], recognize="approved") == []
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
    second = {"transaction_id": "T2", "sub_ids": [], "click_metadata": {"user_id": "U7"}}
    sim.upsert([{**ROW, **second, "commission_amount": "1.00"}])
    sim.upsert([{**ROW, "transaction_id": "T3", "sub_ids": None, "commission_amount": "1.00"}])
    assert truth(sim)["orders"] == 3
    assert truth(sim, identity=[r"sub_ids.*:U(?P<contact_id>\d+)-DEAL"])["orders"] == 1
    assert truth(sim, identity=[r"sub_ids.*:U\d+-DEAL", r"click_metadata.user_id:^U\d+"])["orders"] == 2
    with pytest.raises(ValueError, match="400"):
        sim.truth(identity=["sub_ids.*:("])


def test_orders_can_be_had_one_by_one(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    assert sim.truth(DAYS, orders=True)["wct-101-T1"] == {
        "month": "2026-01", "currency": "EUR", "status": "declined",
        "gross": "10.00", "approved": "10.00", "refunded": "10.00",
        "net": "0.00", "net_by_orders": "0.00", "net_by_payments": "0.00",
    }  # fmt: skip


def orders_of(sim: SimulatorClient, at: Any = DAYS, **settings: Any) -> dict[str, tuple[str, str, str]]:
    """Return total, refunds and net of every expected order, by SourceID without its beginning."""
    found = sim.truth(at, orders=True, **settings)
    assert {row["net"] == row["net_by_orders"] == row["net_by_payments"] for row in found.values()} <= {True}
    assert {row["gross"] == row["approved"] for row in found.values()} <= {True}
    return {key.removeprefix("wct-101-"): (row["gross"], row["refunded"], row["net"]) for key, row in found.items()}


def amounts(*texts: str) -> list[dict[str, Any]]:
    return [{"status": "approved", "commission_amount": text, "sale_amount": text} for text in texts]


APPROVED, PENDING, DECLINED = ({"status": status} for status in ("approved", "pending", "declined"))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (amounts("19.99", "24.10"), {"T1": ("19.99", "0.00", "19.99"), "T1~2": ("4.11", "0.00", "4.11")}),
        (amounts("19.99", "24.10", "22.00"), {"T1": ("19.99", "0.00", "19.99"), "T1~2": ("4.11", "2.10", "2.01")}),
        (amounts("19.99", "24.10", "12.05"), {"T1": ("19.99", "7.94", "12.05"), "T1~2": ("4.11", "4.11", "0.00")}),
        (
            [*amounts("19.99"), DECLINED, *amounts("24.10")],
            {"T1": ("19.99", "19.99", "0.00"), "T1~2": ("24.10", "0.00", "24.10")},
        ),
        (
            [*amounts("10.00", "7.00"), {**amounts("8.00")[0], "currency_id": "USD"}],
            {"T1": ("10.00", "10.00", "0.00"), "T1~2": ("8.00", "0.00", "8.00")},
        ),
        (amounts("0.004", "0.005"), {"T1": ("0.01", "0.00", "0.01")}),
        (amounts("10.00", "-3.00"), {"T1": ("10.00", "10.00", "0.00")}),
        ([{**amounts("10.00")[0], "transaction_id": "A~2"}], {"A~2~1": ("10.00", "0.00", "10.00")}),
    ],
    ids=["rise", "fall in the rise", "fall beyond it", "reinstated", "currency", "cent", "below zero", "name"],
)
def test_a_sale_becomes_orders_and_refunds(sim: SimulatorClient, states: Any, expected: Any) -> None:
    live(sim, *states)
    assert orders_of(sim) == expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([{**PENDING, "commission_amount": "10.00"}, APPROVED], {"T1": ("10.00", "0.00", "10.00")}),
        ([{**PENDING, "commission_amount": "10.00"}, DECLINED], {}),
        ([*amounts("10.00"), {**PENDING, "commission_amount": "12.00"}], {"T1": ("10.00", "0.00", "10.00")}),
        ([*amounts("10.00"), {**PENDING, "commission_amount": "7.00"}], {"T1": ("10.00", "3.00", "7.00")}),
        ([*amounts("10.00"), DECLINED, PENDING], {"T1": ("10.00", "10.00", "0.00")}),
    ],
    ids=["approved", "declined", "pending again and more", "pending again and less", "declined, then pending"],
)
def test_with_approved_what_is_pending_waits(sim: SimulatorClient, states: Any, expected: Any) -> None:
    live(sim, *states)
    assert orders_of(sim, recognize="approved") == expected


def test_a_small_change_waits_and_a_reinstatement_may_be_skipped(sim: SimulatorClient) -> None:
    live(sim, *amounts("0.30", "0.70", "0.90", "0.65"))
    assert orders_of(sim, smallest_change="0.50") == {"T1": ("0.30", "0.00", "0.30"), "T1~2": ("0.60", "0.00", "0.60")}
    live(sim, *amounts("0.30"), DECLINED, APPROVED)
    assert orders_of(sim, DAYS[:3], on_reinstatement="skip") == {"T1": ("0.30", "0.30", "0.00")}


def back(amount: str, number: str = "R1", **fields: Any) -> dict[str, Any]:
    return {**ROW, "transaction_id": number, "status": "approved", "commission_amount": amount, **fields}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reference": "c"}, ("10.00", "4.00", "6.00")),
        ({"sub_ids": {"x": "post WCT260101000000abcd"}}, ("10.00", "4.00", "6.00")),
        ({"order_ref": "o"}, ("10.00", "4.00", "6.00")),
        ({"reference": "other", "order_ref": "o"}, ("10.00", "4.00", "6.00")),
        ({"reference": "c", "advertiser_id": "9"}, ("10.00", "0.00", "10.00")),
        ({"reference": "c", "currency_id": "USD"}, ("10.00", "0.00", "10.00")),
        ({"reference": "c", "user_network_account_id": 102}, ("10.00", "0.00", "10.00")),
        ({"reference": "c", "status": "declined"}, ("10.00", "0.00", "10.00")),
        ({"reference": "c", "commission_amount": "-14.00"}, ("10.00", "10.00", "0.00")),
    ],
)
def test_a_negative_row_takes_money_back_from_its_sale(sim: SimulatorClient, fields: Any, expected: Any) -> None:
    sold = {"reference": "c", "order_ref": "o", "sub_ids": {"x": "WCT260101000000abcd"}}
    sim.upsert([{**ROW, **amounts("10.00")[0], **sold}], at=DAYS[0])
    sim.upsert([back("-4.00") | fields], at=DAYS[1])
    assert orders_of(sim) == {"T1": expected}


def test_a_negative_row_goes_to_the_sale_it_cancels_else_to_the_one_with_most_left(sim: SimulatorClient) -> None:
    for number, amount in (("A", "10.00"), ("B", "4.00"), ("C", "7.00")):
        sim.upsert([{**ROW, **amounts(amount)[0], "transaction_id": number, "reference": "c"}], at=DAYS[0])
    sim.upsert([back("-4.00", reference="c"), back("-3.00", "R2", reference="c")], at=DAYS[1])
    assert {key: refunded for key, (_, refunded, _) in orders_of(sim).items()} == {
        "A": "3.00", "B": "4.00", "C": "0.00",
    }  # fmt: skip


def test_a_negative_row_follows_its_own_status_and_waits_for_its_sale(sim: SimulatorClient) -> None:
    sim.upsert([back("-4.00", reference="c", status="pending")], at=DAYS[0])
    sim.upsert([{**ROW, **amounts("10.00")[0], "reference": "c"}], at=DAYS[1])
    sim.upsert([back("-4.00", status="approved")], at=DAYS[2])
    sim.upsert([back("-4.00", status="declined")], at=DAYS[3])
    assert orders_of(sim, DAYS[:2], recognize="approved") == {"T1": ("10.00", "0.00", "10.00")}
    assert (
        orders_of(sim, DAYS[:2]) == orders_of(sim, DAYS[:3], recognize="approved") == {"T1": ("10.00", "4.00", "6.00")}
    )
    assert orders_of(sim) == {"T1": ("10.00", "4.00", "6.00"), "T1~2": ("4.00", "0.00", "4.00")}


def test_amounts_can_be_counted_in_euro(sim: SimulatorClient) -> None:
    live(sim, {**amounts("10.00")[0], "currency_id": "USD", "commission_amount_euro": "9.20"})
    (row,) = sim.truth(DAYS[:1], currency="euro")
    assert (row["currency"], row["net"]) == ("EUR", "9.20")


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
    post(sim, "orders", [order("d", "3.00", payment("VOIDED", "3.00"))])
    post(sim, "orderpayments", [payment("partially refunded", "4.00", "a"), payment("DECLINED", "5.00", "b")])
    post(sim, "orderpayments", [payment("APPROVED", "9.00", "unknown"), payment("PENDING", "1.00", "a")])
    held = sim.held()
    assert held["table"] == [
        {"month": "2026-01", "currency": "EUR", "orders": 4, "live": 2, "declined": 1}
        | {"gross": "21.00", "approved": "10.00", "refunded": "4.00"}
        | {"net": "9.00", "net_by_orders": "9.00", "net_by_payments": "6.00"}
    ]  # fmt: skip
    assert (held["orphan_payments"], held["other_statuses"]) == (1, {"PENDING": 1, "VOIDED": 1})
    assert {key: row["status"] for key, row in sim.held(orders=True).items()} == {
        "a": "live", "b": "declined", "c": "live", "d": "pending",
    }  # fmt: skip
    sim.switch("wicked.net", "payments")
    assert sim.held()["table"][0]["net"] == "6.00"
    assert sim.held(orders=True)["c"]["status"] == "pending"


def test_held_has_the_nets_of_the_four_test_orders_under_every_reading(sim: SimulatorClient) -> None:
    """The orders of docs/guides/affiliate-revenue.md Four test orders."""
    post(sim, "orders", [order("nettest-1", "100.00", payment("APPROVED", "60.00"))])
    post(sim, "orders", [order(f"nettest-{n}", "100.00", payment("APPROVED", "100.00")) for n in (2, 3, 4)])
    later = {"PaymentDate": "2026-04-02 00:00:00"}
    post(sim, "orderpayments", [payment("APPROVED", "20.00", "nettest-2")])
    post(sim, "orderpayments", [payment("PARTIALLY REFUNDED", "20.00", "nettest-3") | later])
    post(sim, "orderpayments", [payment("PARTIALLY REFUNDED", "30.00", f"nettest-{n}") for n in (3, 4)])
    post(sim, "orderpayments", [payment("REFUNDED", "70.00", "nettest-4")])

    def nets(name: str) -> list[str]:
        return [row[name] for row in sim.held(orders=True).values()]

    assert nets("net") == nets("net_by_orders") == ["100.00", "100.00", "50.00", "0.00"]
    assert nets("net_by_payments") == ["60.00", "120.00", "50.00", "0.00"]
    sim.switch("wicked.partial_refunds", "last")
    assert nets("net") == nets("net_by_orders") == ["100.00", "100.00", "80.00", "0.00"]
    sim.switch("wicked.net", "payments")
    assert nets("net") == nets("net_by_payments") == ["60.00", "120.00", "80.00", "0.00"]


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
        self.own: dict[str, Decimal] = {}
        self.taken: dict[str, Decimal] = {}
        #: what is left of each order of a sale, and their currency
        self.left: dict[str, list[Decimal]] = {}
        self.currency: dict[str, str] = {}
        self.orders: list[dict[str, Any]] = []
        self.payments: list[dict[str, Any]] = []

    def sync(self) -> None:
        self.orders, self.payments = [], []
        rows = [row for row in self.sim.transactions() if re.search(r"'U\d+-DEAL", str(row["sub_ids"]))]
        for row in sorted(rows, key=lambda row: row["commission_amount"].startswith("-")):
            account, number = row["user_network_account_id"], row["transaction_id"]
            amount = cents(row["commission_amount"])
            if amount < 0:  # the generated ids of negative rows are `R` and the sale's id
                name = f"wct-{account}-{number[1:]}"
                self.taken[name] = amount
            else:
                name = f"wct-{account}-{number}"
                before = self.own.get(name)
                if row["status"] == "declined":
                    amount = Decimal(0)
                elif row["status"] == "pending" and self.recognize == "approved":
                    amount = min(amount, before or Decimal(0))
                if before is None and not amount:
                    continue
                self.own[name] = amount
                if self.currency.setdefault(name, row["currency_id"]) != row["currency_id"]:
                    self.settle(row, name, Decimal(0))
                    self.currency[name] = row["currency_id"]
            self.settle(row, name, self.own[name] + self.taken.get(name, 0))
        post(self.sim, "orders", self.orders)
        post(self.sim, "orderpayments", self.payments)

    def settle(self, row: dict[str, Any], name: str, worth: Decimal) -> None:
        left = self.left.setdefault(name, [])
        change = worth - sum(left, Decimal(0))
        if change > 0:
            left.append(change)
            number = name if len(left) == 1 else f"{name}~{len(left)}"
            new = order(number, str(change), payment("APPROVED", str(change)))
            self.orders.append({**new, "CreateDate": row["order_date"], "OrderCurrency": row["currency_id"]})
        for place in reversed(range(len(left))):
            part = min(-change, left[place])
            if part > 0:
                left[place] -= part
                change += part
                number = f"{name}~{place + 1}" if place else name
                status = "PARTIALLY REFUNDED" if left[place] else "REFUNDED"
                self.payments.append(payment(status, str(part), number))


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
    sim.switch("wicked.net", "payments")
    assert sim.truth(instants, **settings) == sim.held()["table"]


def test_unknown_parameters_are_refused_and_the_former_spelling_is_read(sim: SimulatorClient) -> None:
    live(sim, *STATES)
    with pytest.raises(ValueError, match=r"400.*unknown parameters: recognized"):
        sim.truth(DAYS, recognized="approved")
    assert sim.truth(DAYS[:1], recognise="approved") == sim.truth(DAYS[:1], recognize="approved") != sim.truth(DAYS[:1])
