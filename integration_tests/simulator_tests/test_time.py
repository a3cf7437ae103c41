"""Time in the simulator: the clock, scripted changes, and rows that move during a page-numbered read."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from integration_tests.simulator import SimulatorClient
from integration_tests.simulator.wecantrack import store as store_module
from integration_tests.simulator.wecantrack.scenario import DAY, ScenarioSettings, build_scenario
from integration_tests.simulator.wecantrack.store import DATE_TYPES, Query, TransactionStore

WINDOW = {"date_type": "last_wct_update", "start_date": "2026-01-01T00:00:00", "end_date": "2026-03-31T23:59:59"}
START = 1767225600  # 2026-01-01
Key = tuple[int, str]


def page(sim: SimulatorClient, number: int = 1, limit: int = 100, **filters: Any) -> dict[str, Any]:
    reply = requests.get(
        f"{sim.url}/api/v3/transactions",
        params={**WINDOW, "page": number, "limit": limit, **filters},
        headers={"X-API-Key": sim.wecantrack_key, "Accept": "application/json"},
        timeout=10,
    )
    assert reply.status_code == 200
    return dict(reply.json())


def key(row: dict[str, Any]) -> Key:
    return row["user_network_account_id"], row["transaction_id"]


def read_naively(sim: SimulatorClient) -> list[Key]:
    """Read page by page up to the last one, as both public clients of wecantrack do."""
    read: list[Key] = []
    number, last = 0, 1
    while number < last:
        number += 1
        body = page(sim, number)
        last = body["last_page"]
        read += [key(row) for row in body["data"]]
    return read


def visible(sim: SimulatorClient) -> dict[Key, dict[str, Any]]:
    return {key(row): row for row in sim.transactions()}


def test_a_row_that_leaves_the_window_costs_a_naive_reader_another_row(sim: SimulatorClient) -> None:
    sim.generate(transactions=450, start="2026-01-01T00:00:00", returns=False)
    in_the_window = set(read_naively(sim))
    sim.mutate(after_page=1, touch=1)
    read = read_naively(sim)
    lost = in_the_window - set(read)
    (journal,) = sim.mutations()
    assert len(lost) == 1
    assert {tuple(touched) for touched in journal["touched"]}.isdisjoint(lost)  # an unchanged neighbor is lost
    assert len(read) == len(set(read)) == 449


def test_touching_rows_that_were_not_served_yet_loses_only_those_from_the_window(sim: SimulatorClient) -> None:
    sim.generate(transactions=450, start="2026-01-01T00:00:00", returns=False)
    before = set(read_naively(sim))
    sim.mutate(after_page=1, touch=5, place="unserved")
    lost = before - set(read_naively(sim))
    assert lost == {tuple(touched) for touched in sim.mutations()[0]["touched"]}


def test_the_total_shows_that_rows_left(sim: SimulatorClient) -> None:
    sim.generate(transactions=450, start="2026-01-01T00:00:00", returns=False)
    sim.mutate(before_page=3, touch=7)
    assert [page(sim, number)["total"] for number in (1, 2, 3, 4)] == [450, 450, 443, 443]


def test_named_rows_are_touched_without_moving_money(sim: SimulatorClient) -> None:
    sim.generate(transactions=120, start="2026-01-01T00:00:00", returns=False)
    before = visible(sim)
    chosen = key(page(sim)["data"][3])
    sim.mutate(after_page=1, rows=[list(chosen)])
    page(sim)
    after = visible(sim)
    moved = {name for name in after[chosen] if after[chosen][name] != before[chosen][name]}
    assert moved == {"last_wct_update", "modified_date"}
    assert after[chosen]["last_wct_update"] == "2026-04-01 00:00:00"
    assert {k for k in after if after[k] != before[k]} == {chosen}


def test_a_late_committed_row_appears_inside_a_window_that_was_read(sim: SimulatorClient) -> None:
    sim.generate(transactions=150, start="2026-01-01T00:00:00", returns=False)
    sim.mutate(after_page=1, add=2)
    before = set(read_naively(sim))
    added = set(read_naively(sim)) - {k for k in before if not k[1].startswith("late-")}
    assert len(added) == 2
    assert all(visible(sim)[k]["last_wct_update"] < "2026-04-01" for k in added)


def test_a_mutation_runs_after_the_kth_request_once_or_every_time(sim: SimulatorClient) -> None:
    sim.generate(transactions=450, start="2026-01-01T00:00:00", returns=False)
    sim.mutate(after_request=2, touch=1)
    assert [page(sim, 1)["total"] for _ in range(5)] == [450, 450, 449, 449, 449]
    sim.clear_mutations()
    sim.mutate(after_request=2, touch=1, repeat=True)
    assert [page(sim, 1)["total"] for _ in range(5)] == [449, 449, 448, 448, 447]


@pytest.mark.parametrize(
    "wrong", [{"touch": 1}, {"after_page": 1, "after_request": 1}, {"after_page": 1, "place": "x"}]
)
def test_a_mutation_without_one_moment_is_refused(sim: SimulatorClient, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="400"):
        sim.mutate(**wrong)


def test_only_what_has_happened_is_visible(sim: SimulatorClient) -> None:
    made = sim.generate(transactions=900, days=90, later_days=45, start="2026-01-01T00:00:00", returns=False)
    assert made["first_period_ends"] == "2026-04-01T00:00:00Z"
    assert made["now_visible"] == 900
    assert made["transactions"] == 1350
    assert max(row["last_wct_update"] for row in sim.transactions()) <= "2026-04-01 00:00:00"
    before = visible(sim)
    sim.move_clock(days=45)
    after = visible(sim)
    assert len(after) == 1350
    changed = [k for k in before if after[k] != before[k]]
    assert len(changed) > 300
    assert all(after[k]["last_wct_update"] > before[k]["last_wct_update"] for k in changed)
    assert all(after[k]["last_wct_update"] > "2026-04-01 00:00:00" for k in changed)


def test_every_kind_of_change_happens_to_old_rows(sim: SimulatorClient) -> None:
    sim.generate(transactions=3000, start="2026-01-01T00:00:00")
    before = visible(sim)
    sim.move_clock(days=45)
    after = visible(sim)
    moves = {(before[k]["status"], after[k]["status"]) for k in before}
    assert {("pending", "approved"), ("pending", "declined"), ("approved", "declined"), ("pending", "pending")} <= moves
    money = [(float(before[k]["commission_amount"]), float(after[k]["commission_amount"])) for k in before]
    assert any(old > new for old, new in money)
    assert any(old < new for old, new in money)


def test_turning_the_clock_back_hides_what_has_not_happened(sim: SimulatorClient) -> None:
    sim.generate(transactions=3000, start="2026-01-01T00:00:00")
    first = sim.transactions()
    first_window = page(sim)["total"]
    sim.move_clock(days=45)
    assert page(sim)["total"] < first_window
    sim.move_clock(days=-45)
    assert sim.transactions() == first
    assert page(sim)["total"] == first_window
    sim.move_clock(days=-89)
    assert 0 < len(sim.transactions()) < 100


def test_many_small_steps_end_where_one_great_step_ends(sim: SimulatorClient) -> None:
    sim.generate(transactions=500, start="2026-01-01T00:00:00")
    for _ in range(45):
        sim.move_clock(days=1)
    by_steps = [page(sim, end_date="2026-05-16T00:00:00", limit=1000), sim.transactions()]
    sim.set_clock("2026-04-01")
    sim.move_clock(days=45)
    assert [page(sim, end_date="2026-05-16T00:00:00", limit=1000), sim.transactions()] == by_steps


@settings(deadline=None)
@given(
    moves=st.lists(st.integers(-40, 60), min_size=1, max_size=8),
    window=st.tuples(st.integers(0, 140), st.integers(0, 140)),
    date_type=st.sampled_from(DATE_TYPES),
    bulk=st.sampled_from([0, 1_000_000]),
)
def test_the_indexes_agree_with_looking_at_every_row(
    moves: list[int], window: tuple[int, int], date_type: str, bulk: int
) -> None:
    store, now = TransactionStore(), START
    with mock.patch.object(store_module, "_BULK", bulk):
        store.load(build_scenario(ScenarioSettings(transactions=60, start=START), START).transactions)
        for days in moves:
            now = max(START, now + days * DAY)
            store.advance(now)
            low, high = START + min(window) * DAY, START + max(window) * DAY
            expected = []
            for number, row in enumerate(store.transactions):
                state = row.state_at(now)
                assert row.current is state
                if state is not None and (date := row.dates()[date_type]) is not None and low <= date <= high:
                    expected.append(number)
            assert store.select(Query(date_type, low, high)) == expected
            assert store.visible == sum(row.state_at(now) is not None for row in store.transactions)


def test_the_same_seed_makes_the_same_rows_and_another_makes_others(sim: SimulatorClient) -> None:
    sim.generate(seed=1, transactions=200, start="2026-01-01T00:00:00")
    first = sim.transactions()
    sim.generate(seed=1, transactions=200, start="2026-01-01T00:00:00")
    assert sim.transactions() == first
    sim.generate(seed=2, transactions=200, start="2026-01-01T00:00:00")
    assert sim.transactions() != first


def test_references_carry_the_time_of_the_click(sim: SimulatorClient) -> None:
    sim.generate(transactions=500, start="2026-01-01T00:00:00", returns=False)
    rows = [row for row in sim.transactions() if row["reference"] and row["click_date"]]
    assert len(rows) > 100
    for row in rows:
        digits = row["click_date"][2:].translate(str.maketrans("", "", "- :"))
        assert row["reference"].startswith(f"WCT{digits}")
        assert row["reference"].lower() in str(row["sub_ids"]).lower()
        assert row["click_date"] < row["order_date"] < row["last_wct_update"]


def test_a_transaction_id_is_unique_only_within_its_account(sim: SimulatorClient) -> None:
    sim.generate(transactions=3000, start="2026-01-01T00:00:00")
    rows = sim.transactions()
    assert len({key(row) for row in rows}) == len(rows)
    assert len({row["transaction_id"] for row in rows}) < len(rows)


def test_people_are_invented_and_only_some_rows_name_one(sim: SimulatorClient) -> None:
    sim.generate(transactions=1000, start="2026-01-01T00:00:00", identified=0.5)
    rows = sim.transactions()
    named = [row for row in rows if "-DEAL" in str(row["sub_ids"])]
    assert 400 < len(named) < 600
    assert "@" not in str(rows)
    assert any("utm_source" in row["click_metadata"] for row in rows if row["click_metadata"])


def test_declined_rows_keep_or_lose_their_amounts(sim: SimulatorClient) -> None:
    for policy, zero in (("kept", False), ("zeroed", True)):
        sim.generate(transactions=300, start="2026-01-01T00:00:00", declined_amounts=policy)
        declined = [row for row in sim.transactions() if row["status"] == "declined"]
        assert declined
        assert {row["commission_amount"] == "0.00" for row in declined} == {zero}


def test_an_upsert_changes_a_row_and_moves_its_cursor(sim: SimulatorClient) -> None:
    (row,) = sim.upsert([{"user_network_account_id": 900, "transaction_id": "X", "commission_amount": "2.00"}])
    assert (row["status"], row["last_wct_update"]) == ("pending", "2026-04-01 00:00:00")
    sim.move_clock(days=1)
    (row,) = sim.upsert([{"user_network_account_id": 900, "transaction_id": "X", "status": "approved", "note": "n"}])
    assert (row["status"], row["commission_amount"], row["note"]) == ("approved", "2.00", "n")
    assert row["last_wct_update"] == "2026-04-02 00:00:00"
    sim.upsert([{"user_network_account_id": 900, "transaction_id": "X", "status": "declined"}], at="2026-04-03")
    assert sim.transactions()[0]["status"] == "approved"
    sim.move_clock(days=1)
    assert sim.transactions()[0]["status"] == "declined"
    with pytest.raises(ValueError, match="user_network_account_id"):
        sim.upsert([{"transaction_id": "Y"}])


def test_a_running_clock_advances_and_a_frozen_one_does_not(sim: SimulatorClient) -> None:
    sim.set_clock("2030-01-01T00:00:00Z", frozen=False)
    time.sleep(1.1)
    assert "2030-01-01T00:00:00Z" < sim.now() < "2030-01-01T00:01:00Z"
    sim.set_clock("2030-01-01T02:00:00+02:00", frozen=True)
    time.sleep(1.1)
    assert sim.now() == "2030-01-01T00:00:00Z"
    sim.reset("clock")
    assert sim.now() == "2026-04-01T00:00:00Z"
