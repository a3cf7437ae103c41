"""The simulated outbound API: rate limit with every switch, generated rows, and the oracle's sums by day."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from integration_tests.simulator import SimulatorClient
from integration_tests.simulator.wicked.outbound.admin import OUTBOUND_ADMIN
from integration_tests.support.outbound_reader import DAY, ONE_DAY, ask, contact, order, payment, post

CLOCK = "2026-04-01T12:00:00"
NOW = datetime(2026, 4, 1, 12, tzinfo=timezone.utc).timestamp()


def statuses(sim: SimulatorClient, count: int) -> list[int]:
    return [ask(sim, "orders", **ONE_DAY).status_code for _ in range(count)]


# --- the throttle ------------------------------------------------------------------------------------------------


def test_120_requests_a_minute_over_all_lists_and_then_429(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann"))
    sim.outbound.process()
    paths = ["orders", "contacts", "clicks", "contacts/ann", "contacts/ann/orders", "contacts/ann/clicks"]
    replies = [ask(sim, paths[turn % 6], **ONE_DAY) for turn in range(121)]
    assert Counter(reply.status_code for reply in replies) == {200: 120, 429: 1}
    assert [int(reply.headers["x-ratelimit-remaining"]) for reply in replies] == [*range(119, -1, -1), 0]
    assert {reply.headers["x-ratelimit-limit"] for reply in replies} == {"120"}
    assert replies[-1].json()["status"] == "error"
    assert "Retry-After" not in replies[-1].headers
    pace = sim.outbound.pace()
    assert (pace["served"], pace["refused"], pace["busiest_minute"]) == (120, 1, 121)
    sim.move_clock(seconds=60)
    assert statuses(sim, 1) == [200]


@pytest.mark.parametrize(
    ("window", "free_after"),
    [("fixed", [False, True, True]), ("clock_minute", [True, True, True]), ("sliding", [False, False, True])],
)
def test_a_minute_follows_the_switch(sim: SimulatorClient, window: str, free_after: list[bool]) -> None:
    sim.switch("outbound.throttle_window", window)
    sim.outbound.pace(2)
    sim.set_clock("2026-04-01T12:00:30")
    assert statuses(sim, 1) == [200]
    sim.set_clock("2026-04-01T12:00:59")
    assert statuses(sim, 2) == [200, 429]
    free = []
    for moment in ("12:01:00", "12:01:30", "12:01:59"):
        sim.set_clock(f"2026-04-01T{moment}")
        free.append(statuses(sim, 2) == [200, 200])
        sim.set_clock("2026-04-01T12:00:30")
        sim.outbound.pace(2)
        statuses(sim, 1)
        sim.set_clock("2026-04-01T12:00:59")
        statuses(sim, 1)
    assert free == free_after


@pytest.mark.parametrize(("switch", "after"), [("free", 200), ("counts", 429)])
def test_a_refused_request_may_count(sim: SimulatorClient, switch: str, after: int) -> None:
    sim.switch("outbound.throttle_window", "sliding")
    sim.switch("outbound.refused_call", switch)
    sim.outbound.pace(1)
    assert statuses(sim, 1) == [200]
    sim.move_clock(seconds=30)
    assert statuses(sim, 1) == [429]
    sim.move_clock(seconds=30)
    assert statuses(sim, 1) == [after]


@pytest.mark.parametrize("kind", ["fixed", "sliding"])
def test_the_reset_is_written_in_each_of_its_ways(sim: SimulatorClient, kind: str) -> None:
    sim.switch("outbound.throttle_window", kind)
    sim.set_clock(int(NOW))

    def header() -> str | None:
        return ask(sim, "orders", **ONE_DAY).headers.get("x-ratelimit-reset")

    assert header() == str(int(NOW) + 60)
    sim.move_clock(seconds=20)
    sim.switch("outbound.reset_header", "seconds_left")
    assert header() == "40"
    sim.switch("outbound.reset_header", "http_date")
    assert parsedate_to_datetime(header() or "").timestamp() == NOW + 60
    sim.switch("outbound.reset_header", "iso_date")
    assert header() == "2026-04-01T12:01:00Z"
    sim.switch("outbound.reset_header", "missing")
    assert header() is None
    sim.switch("outbound.reset_header", "unix")
    sim.switch("outbound.reset_clock", "real")
    assert abs(int(header() or 0) - time.time() - 40) < 10


def test_the_429_may_have_retry_after(sim: SimulatorClient) -> None:
    sim.switch("outbound.retry_after", "present")
    sim.outbound.pace(1)
    first, second = (ask(sim, "orders", **ONE_DAY) for _ in range(2))
    assert "Retry-After" not in first.headers
    assert second.headers["Retry-After"] == "60"


def test_the_log_has_the_instant_of_every_request(sim: SimulatorClient) -> None:
    sim.set_clock(int(NOW))
    for _ in range(3):
        statuses(sim, 1)
        sim.move_clock(seconds=0.5)
    assert [entry["clock"] - NOW for entry in sim.requests("/orders")] == [0, 0.5, 1]


def test_the_inbound_side_has_no_part_in_the_throttle(sim: SimulatorClient) -> None:
    sim.outbound.pace(1)
    post(sim, "contacts", contact("ann"))
    post(sim, "contacts", contact("ben"))
    assert sim.outbound.pace()["served"] == 0


# --- generated rows ---------------------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_rows_inside_its_days(sim: SimulatorClient) -> None:
    settings = {"start": "2026-03-01", "days": 3, "contacts": 30, "orders": 40, "clicks": 200}
    made = sim.outbound.seed(**settings)
    assert made["made"] == made["visible"] == {"contacts": 30, "orders": 40, "clicks": 200}
    first = {kind: sim.outbound.rows(kind) for kind in ("contacts", "orders", "clicks")}
    dates = [row.get("date") or row["createDate"] for rows in first.values() for row in rows]
    assert "2026-03-01" < min(dates) < "2026-03-02" < max(dates) < "2026-03-04"
    sim.reset()
    sim.outbound.seed(**settings)
    assert {kind: sim.outbound.rows(kind) for kind in first} == first
    sim.reset()
    sim.outbound.seed(**settings, process=False)
    assert sim.outbound.rows("orders") == []


@pytest.mark.parametrize("wrong", [{"orders": 1}, {"days": 0, "contacts": 1}, {"contacts": 1, "clicks": 3, "twins": 2}])
def test_impossible_seed_settings_are_refused(sim: SimulatorClient, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="400"):
        sim.outbound.seed(start=DAY, **wrong)


def test_100000_clicks_are_generated_in_seconds(sim: SimulatorClient) -> None:
    started = time.monotonic()
    sim.outbound.seed(start="2026-03-01", days=30, contacts=1000, clicks=100_000)
    assert time.monotonic() - started < 60


# --- truth -------------------------------------------------------------------------------------------------------


def test_a_day_adds_up_its_orders_and_what_became_of_them(sim: SimulatorClient) -> None:
    post(sim, "contacts", contact("ann"))
    post(sim, "orders", order("o1", total="100.10"), order("o2", at=f"{DAY} 02:00:00", total="50"))
    post(sim, "orders", order("o3", total="7", OrderCurrency="USD"))
    post(
        sim, "orderpayments", payment("o1", "100.10"), payment("o1", "0.2", "PARTIALLY REFUNDED", "2026-03-30 00:00:00")
    )
    post(sim, "orderpayments", payment("o2", "50", ""), payment("o2", "50", "REFUNDED"), payment("o2", "50", "FAILED"))
    post(sim, "orderpayments", payment("nobody's", "50"))
    euro = {"day": DAY, "currency": "EUR", "orders": 2, "unpaid": 0, "gross": "150.10", "approved": "150.10"}
    dollar = {"day": DAY, "currency": "USD", "orders": 1, "unpaid": 1, "gross": "7.00", "approved": "0.00"}
    assert sim.outbound.truth() == [
        {**euro, "refunded": "50.20", "net": "99.90", "net_by_orders": "99.90", "net_by_payments": "99.90"},
        {**dollar, "refunded": "0.00", "net": "7.00", "net_by_orders": "7.00", "net_by_payments": "0.00"},
    ]
    assert [row["net"] for row in sim.outbound.truth(orders=True)] == ["99.90", "0.00", "7.00"]
    sim.switch("wicked.net", "payments")
    assert [row["net"] for row in sim.outbound.truth(orders=True)] == ["99.90", "0.00", "0.00"]
    assert [(row["day"], row["gross"]) for row in sim.outbound.truth(zone="eastern")] == [
        ("2026-03-09", "50.00"),
        (DAY, "100.10"),
        (DAY, "7.00"),
    ]


def test_the_served_orders_add_up_to_the_oracle(sim: SimulatorClient) -> None:
    sim.switch("wicked.net", "payments")
    sim.outbound.seed(start="2026-03-01", days=10, contacts=50, orders=500)
    days: dict[str, list[Decimal]] = {}
    for row in sim.outbound.rows("orders"):
        paid = {"APPROVED": 1, "REFUNDED": -1, "Partially Refunded": -1}
        net = sum(Decimal(str(part["amount"])) * paid[part["status"]] for part in row["payments"])
        sums = days.setdefault(row["date"][:10], [Decimal(0)] * 3)
        days[row["date"][:10]] = [sums[0] + 1, sums[1] + Decimal(str(row["amount"])), sums[2] + net]
    truth = sim.outbound.truth()
    assert {row["day"]: [row["orders"], Decimal(row["gross"]), Decimal(row["net"])] for row in truth} == days
    assert sum(row["unpaid"] for row in truth) > 0
    assert any(Decimal(row["refunded"]) for row in truth)
    lifetime = sum(Decimal(str(row["LTV"])) for row in sim.outbound.rows("contacts"))
    assert lifetime == sum(Decimal(row["net"]) for row in truth)
    sim.switch("wicked.net", "orders")
    sim.outbound.process()
    by_orders = sum(Decimal(str(row["LTV"])) for row in sim.outbound.rows("contacts"))
    assert by_orders == sum(Decimal(row["net"]) for row in sim.outbound.truth()) != lifetime


def test_the_readme_names_every_outbound_admin_path() -> None:
    readme = (Path(__file__).parents[1] / "simulator" / "README.md").read_text(encoding="utf-8")
    for path, names in OUTBOUND_ADMIN.items():
        for name in names:
            assert f"`{name.split('_', maxsplit=1)[0].upper()} /_sim/outbound/{path}`" in readme
