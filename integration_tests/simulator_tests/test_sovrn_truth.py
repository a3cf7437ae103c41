"""The Sovrn oracle and scenario: generated rows, and a minimal destination whose rows match the oracle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from integration_tests.simulator import SimulatorClient
from integration_tests.simulator.oracle import cents
from integration_tests.simulator.sovrn.samples import Samples
from integration_tests.simulator.sovrn.scenario import (
    DAY,
    LATE_DAYS,
    OUTCOMES,
    SovrnScenario,
    SovrnSettings,
    build_scenario,
)
from integration_tests.simulator.sovrn.transactions import SovrnRow, SovrnState

DAYS = ("2026-04-01", "2026-04-02", "2026-04-03", "2026-04-04")
KEY = "sovrn-1234-1-c1"


@pytest.fixture
def sim(sim: SimulatorClient) -> SimulatorClient:
    sim.sovrn.pace(0)
    return sim


# --- truth ------------------------------------------------------------------------------------------------------


def happen(sim: SimulatorClient, *days: Any) -> None:
    """Write the rows of each day; an amount alone is that of the sale."""
    for day, words in zip(DAYS, days, strict=False):
        for word in words if isinstance(words, list) else [words]:
            row = {"revenueId": "1", "publisherNetRevenue": word} if isinstance(word, str) else word
            sim.sovrn.upsert([{"commissionDate": "2026-01-31", "clickId": "k", **row}], at=day)
    sim.set_clock(DAYS[-1])


def back(amount: str, number: str = "2", **fields: Any) -> dict[str, Any]:
    return {"revenueId": number, "publisherNetRevenue": amount, "commissionDate": "2026-03-31", **fields}


def orders_of(sim: SimulatorClient, at: Any = DAYS, **settings: Any) -> dict[str, tuple[str, str, str]]:
    """Return total, refunds and net of every expected order, by SourceID without its beginning."""
    found = sim.sovrn.truth(at, orders=True, **settings)
    assert {(row["month"], row["currency"]) for row in found.values()} <= {("2026-01", "USD")}
    assert {row["net"] == row["net_by_orders"] == row["net_by_payments"] for row in found.values()} <= {True}
    assert {(row["status"] == "live") == (row["net"] != "0.00") for row in found.values()} <= {True}
    return {key.removeprefix("sovrn-1234-"): (row["gross"], row["refunded"], row["net"]) for key, row in found.items()}


FIRST, FURTHER = "1-c1", "1-c1~2"


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (["10.1250"], {FIRST: ("10.13", "0.00", "10.13")}),
        (["10", "6.5", "0"], {FIRST: ("10.00", "10.00", "0.00")}),
        (["10", "12.3456"], {FIRST: ("10.00", "0.00", "10.00"), FURTHER: ("2.35", "0.00", "2.35")}),
        (["10", "12", "11"], {FIRST: ("10.00", "0.00", "10.00"), FURTHER: ("2.00", "1.00", "1.00")}),
        (["10", "12", "9"], {FIRST: ("10.00", "1.00", "9.00"), FURTHER: ("2.00", "2.00", "0.00")}),
        (["10.001", "10.004"], {FIRST: ("10.00", "0.00", "10.00")}),
        (["0", "0.004", "3"], {FIRST: ("3.00", "0.00", "3.00")}),
        (["10", "0", "4"], {FIRST: ("10.00", "10.00", "0.00"), FURTHER: ("4.00", "0.00", "4.00")}),
        (["10", "-3"], {FIRST: ("10.00", "10.00", "0.00")}),
        (["10", "-3", "4"], {FIRST: ("10.00", "10.00", "0.00"), FURTHER: ("4.00", "0.00", "4.00")}),
        (["10", back("-10")], {FIRST: ("10.00", "10.00", "0.00")}),
        (["10", back("-4"), back("-2", "3")], {FIRST: ("10.00", "6.00", "4.00")}),
        (["10", back("-4", commissionId="c1")], {FIRST: ("10.00", "4.00", "6.00")}),
        (["10", back("-4", commissionId="c1", clickId="")], {FIRST: ("10.00", "4.00", "6.00")}),
        (["10", back("-99")], {FIRST: ("10.00", "10.00", "0.00")}),
        (["10", back("-99"), "100"], {FIRST: ("10.00", "10.00", "0.00"), FURTHER: ("1.00", "0.00", "1.00")}),
        (["10", back("-4"), "3"], {FIRST: ("10.00", "10.00", "0.00")}),
        (["10", back("-4"), back("-1")], {FIRST: ("10.00", "4.00", "6.00"), FURTHER: ("3.00", "0.00", "3.00")}),
        (["10", back("-4"), back("-5")], {FIRST: ("10.00", "5.00", "5.00")}),
        ([back("-4"), "10"], {FIRST: ("10.00", "4.00", "6.00")}),
        (["10", {**back("8"), "programType": "cpc"}], {FIRST: ("10.00", "0.00", "10.00")}),
    ],
)
def test_a_sale_becomes_orders_and_refunds(sim: SimulatorClient, days: Any, expected: Any) -> None:
    happen(sim, *days)
    assert orders_of(sim) == expected
    assert sim.sovrn.unmatched(DAYS) == []


@pytest.mark.parametrize(
    ("syncs", "expected"),
    [
        (DAYS[:1], {FIRST: ("10.00", "0.00", "10.00")}),
        (DAYS, {FIRST: ("10.00", "5.00", "5.00"), FURTHER: ("4.00", "4.00", "0.00")}),
        (DAYS[::2], {FIRST: ("10.00", "5.00", "5.00")}),
        (DAYS[2:], {FIRST: ("6.00", "1.00", "5.00")}),
        (DAYS[3:], {FIRST: ("6.00", "1.00", "5.00")}),
    ],
)
def test_only_what_a_sync_saw_counts(sim: SimulatorClient, syncs: Any, expected: Any) -> None:
    happen(sim, "10", "14", ["6", back("-1")])
    assert orders_of(sim, syncs) == expected


def test_settings_hold_back_small_changes_and_reinstatements(sim: SimulatorClient) -> None:
    happen(sim, "10", "10.40", "0", "5")
    assert list(orders_of(sim, DAYS[:2])) == [FIRST, FURTHER]
    assert list(orders_of(sim, DAYS[:2], smallest_change="0.50")) == [FIRST]
    assert orders_of(sim, on_reinstatement="skip", smallest_change="0.50") == {FIRST: ("10.00", "10.00", "0.00")}


def test_cpc_rows_of_a_day_are_one_order_that_grows_by_a_dollar_or_after_30_days(sim: SimulatorClient) -> None:
    """The example of docs/guides/affiliate-revenue.md CPC rollups."""
    row = {"revenueId": "1", "programType": "cpc", "commissionDate": "2026-01-01", "clickId": "k"}
    for day, amount in (("02", "4.3649"), ("08", "4.8949"), ("09", "5.4049"), ("10", "5.6049")):
        sim.sovrn.upsert([{**row, "publisherNetRevenue": amount}], at=f"2026-01-{day}")
    sim.sovrn.upsert([{**row, "revenueId": "2", "publisherNetRevenue": "0.0051"}], at="2026-01-02")
    sim.set_clock("2026-04-01")
    syncs = ["2026-01-06", "2026-01-07", "2026-01-08", "2026-01-09", "2026-01-10", "2026-02-08", "2026-02-10"]
    totals = [[one[0] for one in orders_of(sim, syncs[:number], cpc=True).values()] for number in range(1, 8)]
    first, second, third = ["4.37"], ["4.37", "1.04"], ["4.37", "1.04", "0.20"]
    assert totals == [[], first, first, second, second, third, third]
    assert len(orders_of(sim, syncs[:3], cpc=True, cpc_smallest_change="0.01")) == 2


def test_a_negative_row_of_another_merchant_or_click_belongs_to_no_order(sim: SimulatorClient) -> None:
    happen(sim, "10", [back("-4", merchantGroupId=7), back("-5", "3", clickId="other")])
    assert orders_of(sim) == {FIRST: ("10.00", "0.00", "10.00")}
    assert sim.sovrn.unmatched(DAYS) == [
        {"source_id": "sovrn-1234-2-c2", "amount": "-4.00"},
        {"source_id": "sovrn-1234-3-c3", "amount": "-5.00"},
    ]
    assert sim.sovrn.unmatched(DAYS[:1]) == []


def test_a_return_goes_to_the_sale_it_cancels_else_to_the_one_with_most_left(sim: SimulatorClient) -> None:
    second = {"revenueId": "5", "publisherNetRevenue": "7"}
    happen(sim, ["10", second], [back("-7"), back("-4", "3")])
    assert {key: refunded for key, (_, refunded, _) in orders_of(sim).items()} == {FIRST: "4.00", "5-c5": "7.00"}


def test_a_start_hides_what_was_updated_before_it(sim: SimulatorClient) -> None:
    happen(sim, "10", back("-4"), "12")
    assert orders_of(sim, not_before=DAYS[1]) == {FIRST: ("12.00", "4.00", "8.00")}
    assert sim.sovrn.truth(DAYS[:2], not_before=DAYS[1]) == []
    assert len(sim.sovrn.unmatched(DAYS[:2], not_before=DAYS[1])) == 1


def test_settings_select_the_rows_that_count(sim: SimulatorClient) -> None:
    happen(sim, {"revenueId": "1", "publisherNetRevenue": "10", "orderValue": "99.5", "cuid": "U7_a", "network": "CJ"})
    utm = {"utmSource": "bing"}
    sim.sovrn.upsert([back("0.0075", programType="cpc", commissionDate="2026-01-02", pageUtmInfo=utm)])
    assert orders_of(sim, revenue_basis="sale_amount") == {FIRST: ("99.50", "0.00", "99.50")}
    assert sim.sovrn.truth(DAYS, without_networks=["CJ"]) == []
    assert sum(row["orders"] for row in sim.sovrn.truth(DAYS, cpc=True)) == 2
    assert list(sim.sovrn.truth(DAYS, orders=True, cpc=True, identity=[r"cuid:^U\d+_"])) == [KEY]
    assert KEY not in sim.sovrn.truth(DAYS, orders=True, cpc=True, identity=["pageUtmInfo.utmSource:bing"])
    assert sim.sovrn.truth(DAYS, currency="")[0]["currency"] == ""
    with pytest.raises(ValueError, match="400"):
        sim.sovrn.truth(DAYS, revenue_basis="clicks")


def test_the_month_is_that_of_the_commission_in_the_vendors_zone(sim: SimulatorClient) -> None:
    happen(sim, {"revenueId": "1", "publisherNetRevenue": "1", "commissionDate": "2026-02-01T03:00:00"})
    assert sim.sovrn.truth(DAYS)[0]["month"] == "2026-02"
    sim.switch("sovrn.day_zone", "us_pacific")
    assert sim.sovrn.truth(DAYS)[0]["month"] == "2026-01"


# --- scenario ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenario() -> SovrnScenario:
    return build_scenario(SovrnSettings(transactions=3000, start=0), 0)


def first_amount(row: SovrnRow) -> Decimal:
    return Decimal(row.states[0].revenue)


def test_the_same_seed_makes_the_same_rows(sim: SimulatorClient) -> None:
    made = []
    for seed in (1, 1, 2):
        assert sim.sovrn.generate(seed=seed, transactions=50)["now_visible"] > 0
        made.append(sim.sovrn.transactions())
    assert made[0] == made[1] != made[2]


def test_every_outcome_occurs_and_every_key_once(scenario: SovrnScenario) -> None:
    assert {name for _share, name in OUTCOMES} | {"stays", "cpc", "late"} == set(scenario.outcomes)
    assert min(scenario.outcomes.values()) >= 20
    assert len({(row.revenue_id, row.commission_id) for row in scenario.rows}) == len(scenario.rows)
    assert len({row.revenue_id for row in scenario.rows}) == len(scenario.rows)
    assert len({row.commission_id for row in scenario.rows}) < len(scenario.rows)


def test_changes_are_late_after_76_to_100_days_or_within_weeks(scenario: SovrnScenario) -> None:
    sales = {row.click_id: row for row in scenario.rows if first_amount(row) > 0}
    ages = [(row.states[1].visible_at - row.committed_at) / DAY for row in scenario.rows if len(row.states) > 1]
    ages += [
        (row.states[0].visible_at - sales[row.click_id].committed_at) / DAY
        for row in scenario.rows
        if first_amount(row) < 0 and row.click_id in sales
    ]
    late = [age for age in ages if age > 65]
    assert len(late) > 100
    assert len(ages) > 3 * len(late)
    assert LATE_DAYS[0] <= min(late) <= 77
    assert 98 <= max(late) < LATE_DAYS[1]


def test_returns_have_a_sale_of_the_same_click_and_merchant_except_orphans(scenario: SovrnScenario) -> None:
    returns = [row for row in scenario.rows if first_amount(row) < 0]
    sales = {(row.click_id, row.common["merchantGroupId"]): row for row in scenario.rows if first_amount(row) > 0}
    found = [(row, sales.get((row.click_id, row.common["merchantGroupId"]))) for row in returns]
    assert sum(sale is None for _row, sale in found) == scenario.outcomes["negative_orphan"]
    pairs = [(row, sale) for row, sale in found if sale]
    assert all(-first_amount(row) <= first_amount(sale) and len(sale.states) == 1 for row, sale in pairs)
    same = sum(row.commission_id == sale.commission_id for row, sale in pairs)
    assert same == scenario.outcomes["negative_same_commission"]


def test_every_change_is_one_after_rounding(scenario: SovrnScenario) -> None:
    for row in scenario.rows:
        amounts = [cents(state.revenue) for state in row.states]
        assert len(set(amounts)) == len(amounts)
        assert row.program_type == "cpc" or amounts[0] != 0
    least = SovrnState(0, 0, "8.00", "0.1600")
    assert [Samples.scaled(least, percent)[1] for percent in (95, 100, 105)] == ["0.1400", "0.1600", "0.1800"]


def test_clicks_are_paid_in_fractions_of_a_cent_and_sales_to_the_fourth_decimal(scenario: SovrnScenario) -> None:
    clicks = [row for row in scenario.rows if row.program_type == "cpc"]
    assert 0.25 < len(clicks) / len(scenario.rows) < 0.35
    assert {row.states[0].order_value for row in clicks} == {"0"}
    assert any(0 < first_amount(row) < Decimal("0.01") for row in clicks)
    assert all(len(row.states[0].revenue.partition(".")[2]) >= 4 for row in scenario.rows if first_amount(row) > 0)


def test_fields_are_missing_as_documented(scenario: SovrnScenario) -> None:
    commons = [row.common for row in scenario.rows]
    assert {"Sovrn", "Awin", "CJ"} == {common["network"] for common in commons}
    for name in ("device", "pageUrl", "linkUrl"):
        assert {name in common for common in commons} == {True, False}
    assert "" in {common.get("pageUrl") for common in commons}
    for name in ("linkUtmInfo", "pageUtmInfo"):
        assert {bool(common[name]["utmSource"]) for common in commons} == {True, False}
    bought = [row for row in scenario.rows if row.common["product"]]
    assert 0.1 < len(bought) / len(commons) < 0.5
    for row in bought:
        total = sum(Decimal(str(item["price"])) * item["quantity"] for item in row.common["product"])
        assert total == Decimal(row.states[0].order_value)


def test_cuids_are_safe_and_some_carry_a_user_id(scenario: SovrnScenario) -> None:
    cuids = [row.cuid for row in scenario.rows]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{0,32}", cuid) for cuid in cuids)
    assert 0.5 < sum(cuid.startswith("U") for cuid in cuids) / len(cuids) < 0.7
    assert "" in cuids


# --- truth and held ---------------------------------------------------------------------------------------------


class FaithfulConnectors:
    """A minimal source and destination: applies docs/guides/affiliate-revenue.md What is sent, by event."""

    def __init__(self, sim: SimulatorClient, start: date) -> None:
        self.sim, self.start = sim, start
        self.live: dict[str, Decimal] = {}
        #: what is left of each order of a sale
        self.left: dict[str, list[Decimal]] = {}
        self.order_of: dict[tuple[str, int], str] = {}
        self.done: set[str] = set()

    def rows(self) -> Iterator[dict[str, Any]]:
        day, today = self.start, date.fromisoformat(self.sim.now()[:10])
        headers = {"Authorization": f"secret {self.sim.sovrn_key}"}
        with requests.Session() as session:
            while day <= today:
                url = f"{self.sim.url}/v1/reports/transactions?updateDate={day}"
                yield from session.get(url, headers=headers, timeout=30).json(parse_float=Decimal)["transactions"]
                day += timedelta(days=1)

    def post(self, endpoint: str, rows: list[dict[str, Any]]) -> None:
        reply = requests.post(
            f"{self.sim.url}/{endpoint}", json=rows, headers={"apikey": self.sim.wicked_key}, timeout=30
        )
        assert not rows or reply.json()["errors"] == []

    def sync(self) -> None:
        orders: list[dict[str, Any]] = []
        payments: list[dict[str, Any]] = []
        rows = [row for row in self.rows() if row["commission"]["programType"] == "cpa"]
        for row in sorted(rows, key=lambda row: row["commission"]["publisherNetRevenue"] < 0):
            commission = row["commission"]
            key = f"sovrn-{row['account']['accountId']}-{commission['revenueId']}-{commission['commissionId']}"
            sale = (row["click"]["clickId"], row["merchant"]["merchantGroupId"])
            amount = cents(commission["publisherNetRevenue"])
            if amount < 0:
                parent = self.order_of.get(sale)
                if parent is not None and key not in self.done:
                    self.done.add(key)
                    payments += self.refund(parent, -amount)
                continue
            if not re.match(r"U\d+_", row["click"]["cuid"]) or (amount == 0 and key not in self.live):
                continue
            before = self.live.get(key, Decimal(0))
            self.live[key] = amount
            self.order_of[sale] = key
            if amount > before:
                left = self.left.setdefault(key, [])
                left.append(amount - before)
                orders.append(
                    {"SourceSystem": "sovrn", "SourceID": key if len(left) == 1 else f"{key}~{len(left)}"}
                    | {"CreateDate": commission["commissionDate"] + " 12:00:00", "ContactID": row["click"]["cuid"][:6]}
                    | {"OrderTotal": str(left[-1]), "OrderCurrency": "USD"}
                    | {"OrderPayments": [payment("APPROVED", left[-1])]}
                )
            else:
                payments += self.refund(key, before - amount)
        self.post("orders", orders)
        self.post("orderpayments", payments)

    def refund(self, key: str, amount: Decimal) -> list[dict[str, Any]]:
        left, made = self.left[key], []
        for place in reversed(range(len(left))):
            part = min(amount, left[place])
            if part:
                left[place] -= part
                amount -= part
                status = "PARTIALLY REFUNDED" if left[place] else "REFUNDED"
                made.append(payment(status, part, f"{key}~{place + 1}" if place else key))
        return made


def payment(status: str, amount: Decimal, key: str | None = None) -> dict[str, Any]:
    row = {"PaymentDate": "2026-04-01 00:00:00", "Amount": str(amount), "Status": status}
    return row if key is None else {"SourceSystem": "sovrn", "OrderID": key, **row}


@pytest.mark.parametrize("zone", ["utc", "us_pacific"])
def test_a_minimal_connector_makes_held_equal_to_truth(sim: SimulatorClient, zone: str) -> None:
    sim.switch("sovrn.day_zone", zone)
    sim.sovrn.generate(transactions=900, days=40, later_days=20, start="2026-02-20T00:00:00")
    connectors = FaithfulConnectors(sim, date(2026, 2, 19))
    instants = []
    for _ in range(4):
        connectors.sync()
        instants.append(sim.now())
        sim.move_clock(days=37)
    settings: dict[str, Any] = {"identity": [r"cuid:^U\d+_"]}
    held = sim.held()
    assert sim.sovrn.truth(instants, **settings) == held["table"]
    assert sim.sovrn.truth(instants, orders=True, **settings) == sim.held(orders=True)
    assert (held["duplicate_orders"], held["orphan_payments"], held["other_statuses"]) == ([], 0, {})
    assert sum(Decimal(row["refunded"]) for row in held["table"]) > 100
    assert sim.sovrn.truth(instants[:1], **settings) != held["table"]
    sim.switch("wicked.net", "payments")
    assert sim.sovrn.truth(instants, **settings) == sim.held()["table"]
    assert sim.sovrn.unmatched(instants, **settings)
