"""The main pipeline: wecantrack's commissions into Wicked Reports, then their changes."""

from __future__ import annotations

import pytest

from integration_tests.simulator.server import running_simulator
from integration_tests.support.processes import catalog, finish_pipe, start_pipe

FIRST, MIDDLE, SECOND = "2026-04-01T12:00:00", "2026-04-23T12:00:00", "2026-05-16T12:00:00"
RULE = r"(?P<contact_id>U[0-9]+)-"


class Sync:
    """Both connectors with one simulator, one ledger and one state."""

    def __init__(self, simulator, workspace, tmp_path, **mapping):
        self.simulator, self.workspace = simulator, workspace
        self.source = {"api_key": simulator.wecantrack_key, "api_url": simulator.url, "start_date": "2026-03-02"}
        rule = {"field": "sub_ids.*", "pattern": RULE}
        self.destination = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {"type": "wecantrack", "contact_rules": [rule], "without_contact": "synthetic", **mapping},
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
        }
        self.state: list = []

    def run(self, end: str):
        asked = catalog("transactions")
        source = self.workspace.command(
            "source-wecantrack",
            "read",
            config={**self.source, "end_date": end},
            catalog=asked,
            state=self.workspace.file("state.json", self.state),
        )
        destination = self.workspace.command(
            "destination-wicked-reports", "write", config=self.destination, catalog=asked
        )
        result = finish_pipe(self.workspace, *start_pipe(source, destination))
        self.state = result.state or self.state
        assert result.source_code == 0, result.destination.said
        return result.destination


@pytest.fixture
def busy():
    """A simulator with two months of transactions and their changes."""
    with running_simulator(start=FIRST, frozen=True) as simulator:
        simulator.generate(transactions=1500, days=30, later_days=45)
        simulator.throttle(100_000)
        yield simulator


@pytest.mark.parametrize(
    ("mapping", "truth"),
    [
        ({}, {}),
        ({"recognize": "approved"}, {"recognize": "approved"}),
        ({"revenue_basis": "sale_amount"}, {"revenue_basis": "sale_amount"}),
        ({"without_contact": "skip"}, {"identity": ["sub_ids.*:U[0-9]+-"]}),
    ],
    ids=["default", "on approval", "sale amounts", "identified only"],
)
def test_after_three_syncs_both_nets_are_right_to_the_cent(busy, workspace, tmp_path, mapping, truth):
    sync = Sync(busy, workspace, tmp_path, **mapping)
    for end in (FIRST, MIDDLE, SECOND):
        busy.set_clock(end, frozen=True)
        assert sync.run(end).code == 0
    held, expected = busy.held(), busy.truth([FIRST, MIDDLE, SECOND], **truth)
    assert held["table"] == expected
    assert {row["net"] == row["net_by_orders"] == row["net_by_payments"] for row in held["table"]} == {True}
    busy.switch("wicked.net", "payments")
    assert busy.held()["table"] == expected
    assert held["duplicate_orders"] == []
    assert held["orphan_payments"] == 0
    assert len(held["table"]) >= 6


def test_the_generated_data_have_every_kind_of_change(busy):
    busy.set_clock(SECOND, frozen=True)
    orders = busy.truth([FIRST, MIDDLE, SECOND], orders=True)
    further = [(orders[name.partition("~")[0]], row) for name, row in orders.items() if "~" in name]
    assert any(first["net"] != "0.00" for first, _ in further), "a rise"
    assert any("0.00" < row["refunded"] < row["gross"] for _, row in further), "a fall within a rise"
    assert any(row["net"] == "0.00" for _, row in further), "a fall beyond a rise"
    assert any(first["net"] == "0.00" != row["net"] for first, row in further), "a reinstatement"
    assert any(first["currency"] != row["currency"] for first, row in further), "a currency change"
    assert any(row["commission_amount"].startswith("-") for row in busy.transactions()), "a negative row"


def test_a_third_sync_without_changes_sends_nothing(busy, workspace, tmp_path):
    sync = Sync(busy, workspace, tmp_path)
    assert sync.run(FIRST).code == 0
    posts = busy.stats()["requests"]["by_path"]
    sync.state = []
    assert sync.run(FIRST).code == 0
    again = {p: n for p, n in busy.stats()["requests"]["by_path"].items() if p.startswith("POST")}
    assert again == {p: n for p, n in posts.items() if p.startswith("POST")}


def test_a_late_decline_becomes_a_refund_of_what_was_approved(simulator, workspace, tmp_path):
    row = {
        "transaction_id": "T1",
        "user_network_account_id": 101,
        "commission_amount": "12.40",
        "sale_amount": "124.00",
        "currency_id": "EUR",
        "status": "approved",
        "order_date": "2026-03-10 10:00:00",
        "validation_date": "2026-03-20 10:00:00",
        "sub_ids": {"clickRef": "U77-x"},
    }
    sync = Sync(simulator, workspace, tmp_path)
    simulator.upsert([row], at="2026-03-20T10:00:00")
    sync.run(FIRST)
    simulator.set_clock("2026-07-01T00:00:00", frozen=True)
    simulator.upsert([{**row, "status": "declined"}], at="2026-06-29T08:00:00")
    sync.run("2026-07-01T00:00:00")
    (order,) = simulator.wicked_rows("orders")
    assert (order["SourceSystem"], order["SourceID"]) == ("wecantrack", "wct-101-T1")
    assert (order["OrderTotal"], order["OrderCurrency"], order["ContactID"]) == ("12.4", "EUR", "U77")
    payments = [(p["Status"], p["Amount"], p["PaymentDate"]) for p in simulator.wicked_rows("orderpayments")]
    assert payments == [("APPROVED", "12.4", "2026-03-20 10:00:00"), ("REFUNDED", "12.4", "2026-06-29 08:00:00")]


@pytest.mark.parametrize("place", ["served", "window"])
def test_rows_that_change_while_pages_are_read_are_not_lost(busy, workspace, tmp_path, place):
    sync = Sync(busy, workspace, tmp_path)
    sync.source["page_size"] = 10
    busy.mutate(after_request=2, touch=2, place=place, repeat=True)
    sync.run(FIRST)
    assert len(busy.mutations()) > 10
    busy.clear_mutations()
    sync.run(SECOND)
    sent = {order["SourceID"].partition("~")[0] for order in busy.wicked_rows("orders")}
    sales = [row for row in busy.transactions() if not row["commission_amount"].startswith("-")]
    visible = {f"wct-{row['user_network_account_id']}-{row['transaction_id']}": row["status"] for row in sales}
    assert sent <= visible.keys()
    assert {name for name in visible.keys() - sent if visible[name] != "declined"} == set()


FAULTS = [
    "html_200",
    "empty_200",
    "null_200",
    "list_200",
    "object_200",
    "error_200",
    "half_body",
    "half_body_no_length",
    "half_body_longer_length",
    "broken_chunked",
    "reset_mid_body",
    "close_before_answer",
    "nan_in_json",
    "status_503",
    "status_500",
    "throttled",
]


def test_one_run_recovers_from_every_fault_on_either_side(busy, workspace, tmp_path):
    """Every fault on the source's requests, and on the destination's those after which a POST may be repeated."""
    sync = Sync(busy, workspace, tmp_path)
    for place, kind in enumerate(FAULTS):
        busy.fault(kind, "/api/v3/transactions", nth=2 + 2 * place, seconds=1)
    for place, kind in enumerate(["status_503", "html_200", "close_before_answer", "store_then_close"]):
        busy.fault(kind, "/orders", nth=1 + 2 * place)
    sync.destination["batch_rows"] = 200
    assert sync.run(FIRST).code == 0
    assert all(fault["struck"] == 1 for fault in busy.faults())
    assert busy.held()["table"] == busy.truth([FIRST])


def test_a_revoked_key_stops_the_source_at_once_and_the_rest_arrives_next_time(busy, workspace, tmp_path):
    sync = Sync(busy, workspace, tmp_path)
    busy.fault("status_401", "/api/v3/transactions", nth=10, times=0)
    asked = catalog("transactions")
    source = workspace.command("source-wecantrack", "read", config={**sync.source, "end_date": FIRST}, catalog=asked)
    destination = workspace.command("destination-wicked-reports", "write", config=sync.destination, catalog=asked)
    result = finish_pipe(workspace, *start_pipe(source, destination))
    assert result.source_code != 0
    assert result.destination.code == 0
    assert len(busy.requests("/api/v3/transactions")) == 10
    sync.state = result.state
    busy.clear_faults()
    sync.run(FIRST)
    assert busy.held()["table"] == busy.truth([FIRST])
