"""Paging of the simulated outbound API: the hash in both readings, last pages, changes between pages, long lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from integration_tests.simulator import SimulatorClient, running_simulator
from integration_tests.support.outbound_reader import DAY, MARCH, ONE_DAY, ask, contact, ids, page, pages, post

CLOCK = "2026-04-01T12:00:00"


@pytest.fixture
def sim(sim: SimulatorClient) -> SimulatorClient:
    sim.outbound.pace(0)
    return sim


@pytest.fixture
def orders(sim: SimulatorClient) -> list[str]:
    """Generate 50 orders of one day; return their ids in page order."""
    sim.outbound.seed(start=DAY, days=1, contacts=10, orders=50, seconds=60)
    return [row["id"] for row in sim.outbound.rows("orders")]


# --- the hash ----------------------------------------------------------------------------------------------------


def test_one_hash_is_valid_through_a_whole_read_up_to_the_last_page(sim: SimulatorClient, orders: list[str]) -> None:
    read = pages(sim, "orders", **ONE_DAY, limit=20)
    assert ids(read) == orders
    assert [(reply["page"], reply["totalPages"], reply["total"]) for reply in read] == [
        (1, 3, 50),
        (2, 3, 50),
        (3, 3, 50),
    ]
    assert len({reply["next"] for reply in read}) == 1
    beyond = page(sim, "orders", **ONE_DAY, limit=20, next=read[0]["next"])
    assert (beyond["results"], beyond["page"], beyond["totalPages"]) == ([], 4, 3)


def test_a_lost_page_cannot_be_requested_again_with_one_hash(sim: SimulatorClient, orders: list[str]) -> None:
    first = page(sim, "orders", **ONE_DAY, limit=20)
    sim.fault("store_then_status", "/orders", status=503)
    assert ask(sim, "orders", **ONE_DAY, limit=20, next=first["next"]).status_code == 503
    after = page(sim, "orders", **ONE_DAY, limit=20, next=first["next"])
    assert (after["page"], ids([after])) == (3, orders[40:])


def test_two_readings_of_one_list_do_not_disturb_each_other(sim: SimulatorClient, orders: list[str]) -> None:
    one, two = (page(sim, "orders", **ONE_DAY, limit=20) for _ in range(2))
    assert one["next"] != two["next"]
    for first in (one, two):
        assert ids([page(sim, "orders", **ONE_DAY, limit=20, next=first["next"])]) == orders[20:40]


def test_a_hash_per_page_always_returns_its_page(sim: SimulatorClient, orders: list[str]) -> None:
    sim.switch("outbound.next", "per_page")
    read = pages(sim, "orders", **ONE_DAY, limit=20)
    assert ids(read) == orders
    assert len({reply["next"] for reply in read}) == 3
    for _ in range(2):
        assert ids([page(sim, "orders", **ONE_DAY, limit=20, next=read[0]["next"])]) == orders[20:40]


@pytest.mark.parametrize(("look", "form"), [("digits", r"0\d{31}"), ("exponent", r"\d{28}e\d{3}")])
def test_a_hash_may_look_like_a_number_and_is_text(
    sim: SimulatorClient, orders: list[str], look: str, form: str
) -> None:
    sim.switch("outbound.next", "per_page")
    sim.switch("outbound.next_look", look)
    read = pages(sim, "orders", **ONE_DAY, limit=5)
    assert ids(read) == orders
    for reply in read:
        assert isinstance(reply["next"], str)
        assert re.fullmatch(form, reply["next"])


def test_a_number_made_of_a_hash_is_refused(sim: SimulatorClient, orders: list[str]) -> None:
    sim.switch("outbound.next_look", "digits")
    token = page(sim, "orders", **ONE_DAY, limit=20)["next"]
    assert orders
    assert ask(sim, "orders", **ONE_DAY, limit=20, next=int(token)).status_code == 400


@pytest.mark.parametrize("other", [{"limit": 10}, {"to": "2026-03-11"}, {"from": "2026-03-09"}, {"path": "contacts"}])
def test_a_hash_is_good_for_its_own_query_alone(sim: SimulatorClient, orders: list[str], other: dict[str, Any]) -> None:
    token = page(sim, "orders", **ONE_DAY, limit=20)["next"]
    parameters: dict[str, Any] = {**ONE_DAY, "limit": 20, "path": "orders", **other, "next": token}
    assert orders
    assert ask(sim, parameters.pop("path"), **parameters).status_code == 400


def test_an_expired_hash_is_refused(sim: SimulatorClient, orders: list[str]) -> None:
    token = page(sim, "orders", **ONE_DAY, limit=20)["next"]
    sim.outbound.expire_cursors()
    assert orders
    assert ask(sim, "orders", **ONE_DAY, limit=20, next=token).status_code == 400


# --- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("switch", "end"), [("missing", ...), ("null", None), ("empty", "")])
@pytest.mark.parametrize("kind", ["constant", "per_page"])
def test_next_may_be_gone_on_the_last_page_and_only_there(
    sim: SimulatorClient, orders: list[str], kind: str, switch: str, end: Any
) -> None:
    sim.switch("outbound.next", kind)
    sim.switch("outbound.next_at_end", switch)
    read = pages(sim, "orders", **ONE_DAY, limit=25)
    assert ids(read) == orders
    assert [bool(reply.get("next")) for reply in read] == [True, False]
    assert read[-1].get("next", ...) == end


@pytest.mark.parametrize(
    ("switch", "rest"), [("no_page", {"totalPages": 0, "next": ""}), ("one_page", {"totalPages": 1})]
)
def test_an_empty_list_follows_the_switch(sim: SimulatorClient, switch: str, rest: dict[str, Any]) -> None:
    sim.switch("outbound.empty", switch)
    assert page(sim, "orders", **ONE_DAY) == {"status": "success", "results": [], "page": 1, "total": 0, **rest}


# --- order -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["date", "date_desc", "id", "unordered"])
def test_rows_keep_one_order_over_the_pages(sim: SimulatorClient, orders: list[str], how: str) -> None:
    sim.switch("outbound.order", how)
    read = ids(pages(sim, "orders", **ONE_DAY, limit=7))
    assert sorted(read) == sorted(orders)
    expected = {"date": orders, "date_desc": orders[::-1], "id": sorted(orders)}
    assert read == expected.get(how, read)
    assert how in expected or read not in expected.values()


def test_rows_of_one_second_may_change_places_between_pages(sim: SimulatorClient) -> None:
    sim.outbound.seed(start=DAY, days=1, contacts=1, orders=60, seconds=86400)
    sim.switch("outbound.order", "ties_unstable")
    read = pages(sim, "orders", **ONE_DAY, limit=20)
    assert [reply["total"] for reply in read] == [60, 60, 60]
    assert len(ids(read)) == 60
    assert len(set(ids(read))) < 60


# --- changes between pages ---------------------------------------------------------------------------------------


def test_a_served_row_that_is_removed_makes_a_reader_miss_another(sim: SimulatorClient, orders: list[str]) -> None:
    sim.outbound.mutate(kind="orders", after_page=1, remove=1)
    read = pages(sim, "orders", **ONE_DAY, limit=20)
    assert [reply["total"] for reply in read] == [50, 49, 49]
    assert ids(read) == orders[:20] + orders[21:]
    (change,) = sim.outbound.mutations()
    assert change["removed"][0] in orders[:20]
    assert len(sim.wicked_rows("orders")) == 49


def test_a_row_added_to_a_served_part_duplicates_another(sim: SimulatorClient, orders: list[str]) -> None:
    sim.outbound.mutate(kind="orders", before_page=2, add=1)
    read = ids(pages(sim, "orders", **ONE_DAY, limit=20))
    assert len(read) == 51
    assert len(set(read)) == 50
    assert set(orders) == set(read)
    assert sim.outbound.mutations() == [{"kind": "orders", "removed": [], "changed": [], "added": 1, "request": 1}]


def test_a_reading_of_a_snapshot_sees_no_changes(sim: SimulatorClient, orders: list[str]) -> None:
    sim.switch("outbound.pages", "snapshot")
    sim.outbound.mutate(kind="orders", after_request=1, remove=2, add=1, repeat=True)
    assert ids(pages(sim, "orders", **ONE_DAY, limit=20)) == orders
    assert page(sim, "orders", **ONE_DAY)["total"] == 47


@pytest.mark.parametrize(
    ("kind", "field"), [("orders", "payments"), ("contacts", "firstName"), ("clicks", "isReOptin")]
)
def test_a_row_may_change_while_it_is_read(sim: SimulatorClient, kind: str, field: str) -> None:
    sim.outbound.seed(start=DAY, days=1, contacts=20, orders=20, clicks=20)
    before = sim.outbound.rows(kind)
    sim.outbound.mutate(kind=kind, after_page=1, change=3, place="unserved")
    read = [row for reply in pages(sim, kind, **ONE_DAY, limit=10) for row in reply["results"]]
    differ = [(old, new) for old, new in zip(before, read, strict=True) if old != new]
    assert len(differ) == 3
    for old, new in differ:
        assert {name for name in old if old[name] != new[name]} == {field}


@pytest.mark.parametrize("change", [{"remove": 1}, {"change": 1}])
def test_a_contact_of_two_rows_is_removed_and_changed_as_one(sim: SimulatorClient, change: dict[str, int]) -> None:
    post(sim, "contacts", contact("ann", FirstName="Ann"), contact("ann2", Email="ann@example.com", FirstName="Anna"))
    sim.outbound.process()
    sim.outbound.mutate(kind="contacts", after_page=1, **change)
    assert [row["firstName"] for row in page(sim, "contacts", **ONE_DAY)["results"]] == ["Anna"]
    expected = [] if "remove" in change else ["Anna*"]
    assert [row["firstName"] for row in page(sim, "contacts", **ONE_DAY)["results"]] == expected


def test_changes_are_bound_to_the_kind_they_name(sim: SimulatorClient, orders: list[str]) -> None:
    sim.outbound.mutate(kind="contacts", after_page=1, remove=1)
    assert ids(pages(sim, "orders", **ONE_DAY, limit=20)) == orders
    assert sim.outbound.mutations() == []
    sim.outbound.clear_mutations()
    with pytest.raises(ValueError, match="exactly one of"):
        sim.outbound.mutate(remove=1)


@pytest.mark.parametrize(
    ("serve", "content", "number"),
    [("again", slice(0, 10), 1), ("skip", slice(20, 30), 3), ("first", slice(0, 10), 1)],
)
@pytest.mark.parametrize("says", ["own", "expected"])
@pytest.mark.parametrize("kind", ["constant", "per_page"])
def test_a_page_may_be_served_twice_or_out_of_order(
    sim: SimulatorClient, orders: list[str], kind: str, serve: str, content: slice, number: int, says: str
) -> None:
    sim.switch("outbound.next", kind)
    sim.outbound.mutate(kind="orders", before_page=2, serve=serve, number=says)
    first = page(sim, "orders", **ONE_DAY, limit=10)
    second = page(sim, "orders", **ONE_DAY, limit=10, next=first["next"])
    assert ids([second]) == orders[content]
    assert second["page"] == (number if says == "own" else 2)
    assert ids(pages(sim, "orders", **ONE_DAY, limit=10)) == orders


# --- big lists ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def big() -> Iterator[SimulatorClient]:
    with running_simulator(start="2026-04-01T12:00:00", frozen=True) as client:
        client.outbound.seed(start="2026-03-01", days=30, contacts=20, clicks=12_500, first_contact=0.9, twins=40)
        yield client


@pytest.fixture
def full(big: SimulatorClient) -> SimulatorClient:
    big.reset("switches")
    big.outbound.pace(0)
    return big


@pytest.mark.parametrize(
    ("switch", "total", "rows", "status"),
    [
        ("all", 12_500, 12_500, 200),
        ("cut_at_10000", 10_000, 10_000, 200),
        ("says_10000", 10_000, 12_500, 200),
        ("refuse_past_10000", 12_500, 10_000, 400),
    ],
)
def test_a_list_of_more_than_10000_rows_follows_the_switch(
    full: SimulatorClient, switch: str, total: int, rows: int, status: int
) -> None:
    full.switch("outbound.most_rows", switch)
    reply, read = page(full, "clicks", **MARCH, limit=1000), 0
    assert (reply["total"], reply["totalPages"]) == (total, -(-total // 1000))
    last = 200
    while reply.get("results"):
        read += len(reply["results"])
        answer = ask(full, "clicks", **MARCH, limit=1000, next=reply["next"])
        last, reply = answer.status_code, answer.json()
    assert (read, last) == (rows, status)


def test_without_dates_only_the_first_10000_clicks_of_a_contact_come(full: SimulatorClient) -> None:
    path = "contacts/c000000/clicks"
    cut = pages(full, path, limit=1000)
    whole = pages(full, path, **MARCH, limit=1000)
    assert sum(len(reply["results"]) for reply in cut) == cut[0]["total"] == 10_000
    assert sum(len(reply["results"]) for reply in whole) == whole[0]["total"] > 11_000


def test_equal_clicks_are_each_there(full: SimulatorClient) -> None:
    shown = full.outbound.rows("clicks")
    without_flags = [str({name: value for name, value in row.items() if not name.startswith("is")}) for row in shown]
    assert len(shown) - len(set(without_flags)) == 40
