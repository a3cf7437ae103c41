"""Paging by hash: where a list ends, and that lists which change during a read are read again."""

import json
import random

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import given, settings
from hypothesis import strategies as st
from source_wicked_reports.hash_pages import MAX_PASSES, HashedPages, Page, SeenRows

from .conftest import LISTS, fill, ids


@pytest.mark.parametrize("at_end", ["present", "missing", "null", "empty"])
@pytest.mark.parametrize("next_", ["constant", "per_page"])
@pytest.mark.parametrize("look", ["hex", "digits", "exponent"])
def test_the_list_ends_at_its_last_page_whatever_next_says(look, next_, at_end, sim, config, read):
    rows = fill(sim)
    for name, value in (("next", next_), ("next_at_end", at_end), ("next_look", look)):
        sim.switch(f"outbound.{name}", value)
    outcome = read({**config, "page_size": 25}, *LISTS)
    assert outcome.error is None
    assert {kind: len(outcome.keys(kind)) for kind in LISTS} == {kind: len(rows[kind]) for kind in LISTS}
    assert sim.outbound.pace()["complaints"] == []


@pytest.mark.parametrize(
    "hash_", ["0012", "12e34", "1234567890123456e789", "a'b", 'a"b\\', "[1]", "None", "{{ 1 }}", "é€"]
)
def test_a_hash_of_any_form_comes_back_as_it_was(hash_, sim, config, read):
    body = '{"status":"success","results":[{"id":"%s"}],"page":%d,"totalPages":2,"total":2,"next":%s}'
    sim.fault("status", "/orders", status=200, body=body % ("a", 1, json.dumps(hash_)), nth=1, times=1)
    sim.fault("status", "/orders", status=200, body=body % ("b", 2, json.dumps(hash_)), nth=2, times=1)
    outcome = read(config)
    assert set(outcome.keys()) == {"a", "b"}
    assert dict(sim.requests("/orders")[1]["query"])["next"] == hash_


@pytest.mark.parametrize("empty", ["no_page", "one_page"])
def test_an_empty_window_is_one_request(empty, sim, config, read):
    sim.switch("outbound.empty", empty)
    outcome = read({**config, "start_date": "2026-01-16"})
    assert outcome.rows() == []
    assert len(sim.requests("/orders")) == 1
    assert outcome.states() == [{"date": "2026-01-20"}]


@pytest.mark.parametrize("number", ["own", "expected"])
@pytest.mark.parametrize("serve", ["again", "skip", "first"])
@pytest.mark.parametrize("next_", ["constant", "per_page"])
def test_a_page_that_comes_twice_or_out_of_order_is_detected(next_, serve, number, sim, config, read, caplog):
    rows = fill(sim)
    sim.switch("outbound.next", next_)
    sim.outbound.mutate(before_page=3, serve=serve, number=number, kind="orders")
    with caplog.at_level("INFO"):
        outcome = read({**config, "page_size": 10})
    assert outcome.error is None
    assert sorted(outcome.keys()) == sorted(ids(rows["orders"]))
    assert "reading it again" in caplog.text


@pytest.mark.parametrize("order", ["date", "date_desc", "id", "unordered"])
@pytest.mark.parametrize("change", [{"remove": 3}, {"add": 2}, {"change": 4}, {"remove": 3, "add": 2}])
@pytest.mark.parametrize("kind", LISTS)
def test_rows_that_come_change_or_go_between_pages_hide_no_others(kind, change, order, sim, config, read):
    fill(sim, twins=3)
    sim.switch("outbound.order", order)
    sim.outbound.mutate(after_page=2, place="served", kind=kind, **change)
    before = sim.outbound.rows(kind)
    outcome = read({**config, "page_size": 10}, kind)
    assert outcome.error is None
    after = sim.outbound.rows(kind)
    if kind == "clicks":
        stayed = len(after) - change.get("add", 0)
        assert len(set(outcome.keys(kind))) >= stayed
        assert len(set(outcome.keys(kind))) <= len(before) + change.get("add", 0)
    else:
        assert set(outcome.keys(kind)) >= ids(before) & ids(after)


def test_a_response_that_was_lost_after_the_server_moved_on_starts_the_window_again(sim, config, read):
    rows = fill(sim)
    sim.fault("store_then_close", "/orders", nth=2, times=1)
    outcome = read({**config, "page_size": 10})
    assert sorted(outcome.keys()) == sorted(ids(rows["orders"]))


def test_hashes_that_the_server_forgets_start_the_window_again(sim, config, read):
    rows = fill(sim)
    sim.fault("status", "/orders", status=400, query="next=", nth=2, times=1)
    outcome = read({**config, "page_size": 10})
    assert outcome.error is None
    assert sorted(outcome.keys()) == sorted(ids(rows["orders"]))


def test_a_hash_that_is_refused_in_every_pass_ends_the_run_with_the_refusal(sim, config, read):
    fill(sim)
    sim.fault("status", "/orders", status=400, query="next=", times=0)
    outcome = read({**config, "page_size": 10})
    assert outcome.error is not None
    assert "Wicked Reports rejected the window from" in outcome.error.message
    assert len(sim.requests("/orders")) == 2 * MAX_PASSES


@pytest.mark.parametrize(("size", "seconds"), [(25, 43_200), (10, 86_400), (40, 21_600)])
@pytest.mark.parametrize("kind", LISTS)
def test_rows_of_one_second_that_change_places_are_all_read_and_none_becomes_two(
    kind, size, seconds, sim, config, read
):
    fill(sim, contacts=90, seconds=seconds)
    whole = set(read(config, kind).keys(kind))
    sim.switch("outbound.order", "ties_unstable")
    outcome = read({**config, "page_size": size}, kind)
    assert outcome.error is None
    assert set(outcome.keys(kind)) == whole


def test_a_list_that_does_not_hold_still_is_read_in_windows_of_one_page(sim, config, read, caplog):
    fill(sim, orders=120)
    sim.outbound.mutate(after_page=1, kind="orders", remove=1, place="served", repeat=True)
    with caplog.at_level("INFO"):
        outcome = read({**config, "page_size": 40}, "orders")
    assert outcome.error is None
    assert set(outcome.keys()) >= ids(sim.outbound.rows("orders"))
    assert "kept changing" in caplog.text
    assert "Reading it in shorter windows" in caplog.text


def test_twins_in_the_same_second_stay_two_on_one_page_or_across_pages(sim, config, read):
    rows = fill(sim, clicks=60, twins=20)
    for size in (1000, 7, 3):
        outcome = read({**config, "page_size": size}, "clicks")
        assert outcome.error is None
        assert len(outcome.keys("clicks")) == len(set(outcome.keys("clicks"))) == len(rows["clicks"]) == 60


def test_click_keys_are_the_same_at_any_page_size_and_window(sim, config, read):
    fill(sim, clicks=60, twins=20)
    whole = set(read(config, "clicks").keys("clicks"))
    assert set(read({**config, "page_size": 7, "rows_per_window": 12}, "clicks").keys("clicks")) == whole
    assert set(read({**config, "start_date": "2025-12-25"}, "clicks").keys("clicks")) == whole


def test_flags_that_change_do_not_change_the_key(sim, config, read):
    fill(sim)
    before = {row["click_key"]: row for row in read(config, "clicks").rows("clicks")}
    sim.outbound.mutate(after_page=1, kind="clicks", change=30, place="window")
    read(config, "clicks")
    after = {row["click_key"]: row for row in read(config, "clicks").rows("clicks")}
    assert before.keys() == after.keys()
    assert before != after


def listing(pages, total=None, last=None):
    """Return a fetch over fixed pages, served in order; None starts over."""
    turn = iter(())

    def fetch(hash_):
        nonlocal turn
        if hash_ is None:
            turn = iter(enumerate(pages, 1))
        number, rows = next(turn)
        total_ = total if total is not None else sum(map(len, pages))
        return Page(number, last or len(pages), total_, "h", [dict(row) for row in rows])

    return fetch


def by_id(row):
    return str(row["id"])


def set_key(row, name, ordinal):
    row["key"] = f"{name}#{ordinal}"


def read_ids(fetch, **more):
    return [row["id"] for row in HashedPages(fetch, by_id, SeenRows(), **more).rows()]


def test_a_list_without_an_end_is_an_error_not_a_loop():
    def fetch(hash_):
        number = int(hash_ or 0) + 1
        return Page(number, number + 1, 10**6, str(number), [{"id": number}])

    with pytest.raises(AirbyteTracedException, match="no end"):
        read_ids(fetch)


def test_fewer_rows_than_the_total_says_are_an_error_after_five_passes():
    fetch = listing([[{"id": 1}], [{"id": 2}]], total=3)
    with pytest.raises(AirbyteTracedException, match=f"kept changing in {MAX_PASSES} passes"):
        read_ids(fetch)


def test_a_server_that_repeats_page_1_under_new_numbers_is_an_error():
    page = [{"id": 1}, {"id": 2}]
    for more in ({}, {"set_key": set_key}):
        with pytest.raises(AirbyteTracedException, match="same as an earlier one"):
            read_ids(listing([page, page]), **more)


def test_the_same_id_twice_with_other_content_is_emitted_with_a_warning(caplog):
    pages = [[{"id": 1, "n": 1}], [{"id": 1, "n": 2}], [{"id": 2, "n": 1}]]
    with caplog.at_level("WARNING"):
        assert read_ids(listing(pages)) == [1, 1, 2]
    assert "have the same id as another one" in caplog.text


def test_an_empty_page_before_the_last_ends_the_list_and_is_counted():
    assert read_ids(listing([[{"id": 1}], [], [{"id": 2}]], total=1)) == [1]


class Moving:
    """A list read by offsets that changes between any two pages."""

    def __init__(self, rows, size, events, chance):
        self.rows, self.size, self.events, self.chance = list(rows), size, events, chance
        self.always = {row["id"] for row in rows}
        self.fresh, self.page = 10**6, 0

    def fetch(self, hash_):
        if hash_ is not None and self.events:
            self.happen(self.events.pop(0))
        self.page = 1 if hash_ is None else self.page + 1
        start = (self.page - 1) * self.size
        last = max(1, -(-len(self.rows) // self.size))
        found = [dict(row) for row in self.rows[start : start + self.size]]
        return Page(self.page, last, len(self.rows), "h", found)

    def happen(self, event):
        if event == "leave" and self.rows:
            self.always.discard(self.rows.pop(self.chance.randrange(len(self.rows)))["id"])
        if event in ("enter_first", "enter_last", "enter"):
            self.fresh += 1
            place = {"enter_first": 0, "enter_last": len(self.rows)}.get(
                event, self.chance.randrange(len(self.rows) + 1)
            )
            self.rows.insert(place, {"id": self.fresh, "v": 0})
        if event == "change" and self.rows:
            self.rows[self.chance.randrange(len(self.rows))]["v"] += 1


EVENTS = st.lists(st.sampled_from(["", "", "leave", "enter_first", "enter_last", "enter", "change"]), max_size=12)


@settings(max_examples=400, deadline=None)
@given(count=st.integers(0, 40), size=st.integers(1, 9), events=EVENTS, seed=st.integers(0, 9), with_key=st.booleans())
def test_a_row_that_stays_is_never_lost_while_others_move(count, size, events, seed, with_key):
    if "leave" in events:  # one that leaves while another enters keeps the total
        events = [event for event in events if not event.startswith("enter")]
    moving = Moving([{"id": n, "v": 0} for n in range(count)], size, events, random.Random(seed))
    seen = []
    try:
        pages = HashedPages(moving.fetch, by_id, SeenRows(), set_key=set_key if with_key else None, max_passes=20)
        seen.extend((row["id"], row.get("key")) for row in pages.rows())
    except AirbyteTracedException:
        return
    assert {id_ for id_, _ in seen} >= moving.always
    if with_key:
        assert all(key.endswith("#0") for _, key in seen)


@settings(max_examples=300, deadline=None)
@given(
    names=st.lists(st.integers(0, 6), max_size=30),
    size=st.integers(2, 9),
)
def test_every_one_of_several_equal_rows_is_emitted_once_on_whichever_pages_they_stand(names, size):
    rows = [{"id": name} for name in sorted(names)]
    pages = [rows[n : n + size] for n in range(0, len(rows), size)] or [[]]
    seen = [row["key"] for row in HashedPages(listing(pages), by_id, SeenRows(), set_key=set_key).rows()]
    assert sorted(seen) == sorted({f"{name}#{n}" for name in names for n in range(names.count(name))})


@settings(max_examples=200, deadline=None)
@given(count=st.integers(1, 30), overlap=st.integers(0, 30), size=st.integers(1, 9))
def test_rows_of_overlapping_windows_are_emitted_once(count, overlap, size):
    rows = [{"id": n} for n in range(2 * count)]
    given_ = SeenRows()
    seen = []
    for part in (rows[:count], rows[max(0, count - overlap) :]):
        pages = [part[n : n + size] for n in range(0, len(part), size)] or [[]]
        given_.next_window()
        seen += [row["id"] for row in HashedPages(listing(pages), by_id, given_).rows()]
    assert seen == list(range(2 * count))
