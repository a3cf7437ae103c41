"""Rows that move between pages during a read are not lost."""

import json
import math
import random
from collections.abc import Callable

import pytest
from airbyte_cdk.sources.declarative.requesters.paginators.strategies import PageIncrement
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import find, given, settings
from hypothesis import strategies as st
from source_wecantrack.row_hashes import RowHashes
from source_wecantrack.shifting_pages import MAX_PASSES, Page, ShiftingPages

from .conftest import fill


class Listing:
    """Laravel's paginator over a list that changes between requests; `changes` has one entry per request."""

    def __init__(self, rows: list[int], per_page: int, changes: list[list[int]]) -> None:
        self.rows, self.per_page, self.changes, self.requested = list(rows), per_page, list(changes), []

    def fetch(self, number: int) -> Page:
        if self.requested and self.changes:
            for place in self.changes.pop(0):
                if place >= 0 and self.rows:
                    self.rows.pop(place % len(self.rows))
                elif place < 0:
                    self.rows.insert(-place % (len(self.rows) + 1), 1_000_000 + len(self.requested) * 1000 - place)
        self.requested.append(number)
        total, first = len(self.rows), (number - 1) * self.per_page
        rows = [(f"7-{row}", {"id": row}) for row in self.rows[first : first + self.per_page]]
        return Page(max(math.ceil(total / self.per_page), 1), self.per_page, total, rows)


def stock_read(listing: Listing) -> list[int]:
    """Read like the CDK's PageIncrement: forward until a short page."""
    strategy, seen, token = (
        PageIncrement(page_size=listing.per_page, start_from_page=1, config={}, parameters={}),
        [],
        1,
    )
    while token is not None:
        rows = listing.fetch(token).rows
        seen += [row["id"] for _, row in rows]
        token = strategy.next_page_token(None, len(rows), rows[-1][1] if rows else None, token)
    return seen


def read_whole(listing: Listing) -> list[int]:
    return [row["id"] for row in ShiftingPages(listing.fetch).rows()]


def lost(read: Callable[[Listing], list[int]], count: int, per_page: int, removed: list[list[int]]) -> set[int]:
    """Return the rows that were in the list throughout and that this reader never returned."""
    listing = Listing(list(range(count)), per_page, removed)
    given_rows = read(listing)
    return set(listing.rows) - set(given_rows)


removals = st.lists(st.lists(st.integers(min_value=0, max_value=60), max_size=4), max_size=12)
schedules = st.tuples(st.integers(min_value=0, max_value=60), st.integers(min_value=1, max_value=12), removals)


@settings(max_examples=400, deadline=None)
@given(schedule=schedules)
def test_however_rows_leave_between_pages_no_row_that_stays_is_missed(schedule):
    count, per_page, removed = schedule
    listing = Listing(list(range(count)), per_page, removed)
    given_rows = read_whole(listing)
    assert set(listing.rows) <= set(given_rows)
    assert len(given_rows) == len(set(given_rows))  # only places changed, so no row repeats


@pytest.mark.parametrize("least", [1, 3])
def test_among_the_same_schedules_are_some_on_which_the_cdk_loses_rows_and_we_do_not(least):
    """Without such schedules, the property above would hold for any reader and prove nothing."""
    schedule = find(
        schedules,
        lambda found: len(lost(stock_read, *found)) >= least,
        settings=settings(max_examples=5000, database=None),
        random=random.Random(1),
    )
    assert len(lost(stock_read, *schedule)) >= least
    assert lost(read_whole, *schedule) == set()


@settings(max_examples=200, deadline=None)
@given(count=st.integers(min_value=0, max_value=60), per_page=st.integers(min_value=1, max_value=12))
def test_on_a_list_that_holds_still_the_cdk_loses_nothing_so_what_it_loses_above_is_due_to_the_shift(count, per_page):
    assert lost(stock_read, count, per_page, []) == set()


both = st.lists(st.lists(st.integers(min_value=-30, max_value=60), max_size=2), max_size=8)


@settings(max_examples=400, deadline=None)
@given(count=st.integers(min_value=0, max_value=40), per_page=st.integers(min_value=1, max_value=12), entered=both)
def test_when_rows_also_enter_one_at_a_time_the_window_is_read_again_until_it_is_whole(count, per_page, entered):
    changes = [[change for change in step if change < 0][:1] for step in entered]
    listing = Listing(list(range(count)), per_page, changes)
    given_rows = [row["id"] for row in ShiftingPages(listing.fetch, max_passes=20).rows()]
    assert set(range(count)) <= set(given_rows)


def test_given_one_row_leaves_after_page_1_the_cdk_loses_a_row_and_we_do_not():
    def listing() -> Listing:
        return Listing(list(range(10)), 3, [[0]])

    assert 3 not in stock_read(listing())
    assert 3 in read_whole(listing())


def test_given_nothing_moves_then_every_page_is_requested_once_and_page_1_again():
    listing = Listing(list(range(10)), 3, [])
    assert len(list(ShiftingPages(listing.fetch).rows())) == 10
    assert listing.requested == [1, 4, 3, 2, 1]


def test_given_one_page_then_it_is_requested_once():
    listing = Listing(list(range(3)), 3, [])
    assert len(list(ShiftingPages(listing.fetch).rows())) == 3
    assert listing.requested == [1]


def test_given_a_row_enters_and_a_seen_one_leaves_so_that_the_counts_agree_then_it_is_read_again():
    listing = Listing(list(range(10)), 3, [[], [-11], [1]])  # 8 slips back onto page 4, which was read; 0 leaves
    given_rows = [row["id"] for row in ShiftingPages(listing.fetch).rows()]
    assert set(listing.rows) <= set(given_rows)
    assert listing.requested == [1, 4, 3, 2, 1] * 2


class Shuffled(Listing):
    """A list without an order: shuffled for every request."""

    def __init__(self, rows: list[int], per_page: int, changes: list[list[int]], seed: int) -> None:
        super().__init__(rows, per_page, changes)
        self._random = random.Random(seed)

    def fetch(self, number: int) -> Page:
        self._random.shuffle(self.rows)
        return super().fetch(number)


@settings(max_examples=400, deadline=None)
@given(
    count=st.integers(min_value=0, max_value=40),
    per_page=st.integers(min_value=1, max_value=12),
    removed=removals,
    seed=st.integers(),
)
def test_a_list_without_an_order_is_read_whole_or_refused_and_never_taken_for_whole(count, per_page, removed, seed):
    listing = Shuffled(list(range(count)), per_page, removed, seed)
    try:
        given_rows = {row["id"] for row in ShiftingPages(listing.fetch).rows()}
    except AirbyteTracedException:
        return
    missed = set(listing.rows) - given_rows
    # A shuffle may look like rows that left: by chance no more rows repeat than have left. It is rare, not impossible.
    assert len(missed) <= sum(map(len, removed))


@settings(max_examples=400, deadline=None)
@given(
    count=st.integers(min_value=1, max_value=60), per_page=st.integers(min_value=1, max_value=12), seed=st.integers()
)
def test_when_one_row_enters_as_another_leaves_a_row_that_slips_back_is_detected(count, per_page, seed):
    chance = random.Random(seed)
    changes = [[-count, chance.randrange(count)] if chance.random() < 0.3 else [] for _ in range(12)]
    listing = Listing(list(range(count)), per_page, changes)
    try:
        given_rows = {row["id"] for row in ShiftingPages(listing.fetch).rows()}
    except AirbyteTracedException:
        return
    assert set(range(count)) & set(listing.rows) <= given_rows


def test_given_a_list_that_grows_permanently_then_it_fails_as_transient_after_a_few_passes():
    listing = Listing(list(range(10)), 3, [[-1]] * 1000)
    with pytest.raises(AirbyteTracedException) as failure:
        list(ShiftingPages(listing.fetch).rows())
    assert failure.value.failure_type.value == "transient_error"
    assert listing.requested.count(4) <= 2 * MAX_PASSES


def test_given_an_api_with_a_larger_total_than_rows_then_it_fails():
    def fetch(number: int) -> Page:
        return Page(1, 1000, 5, [("1-a", {"id": "a"})])

    with pytest.raises(AirbyteTracedException, match="1 of 5"):
        list(ShiftingPages(fetch).rows())


def test_given_a_row_that_changes_between_two_passes_then_it_is_emitted_again():
    pages = [Page(1, 5, 2, [("a", {"v": 1})]), Page(1, 5, 2, [("a", {"v": 2}), ("b", {"v": 1})])]
    assert list(ShiftingPages(lambda _: pages.pop(0)).rows()) == [{"v": 1}, {"v": 2}, {"v": 1}]


def test_given_two_rows_with_one_key_on_a_list_that_holds_still_then_both_come_with_a_warning(caplog):
    page = Page(1, 5, 2, [("a", {"v": 1}), ("a", {"v": 2})])
    assert list(ShiftingPages(lambda _: page).rows()) == [{"v": 1}, {"v": 2}]
    assert "share account and transaction id" in caplog.text


def test_row_hashes_know_a_row_by_key_and_content_beyond_their_first_size():
    hashes = RowHashes()
    assert {hashes.put(f"k{n}", b"%d" % n, 1) for n in range(20_000)} == {(0, False)}
    assert {hashes.put(f"k{n}", b"%d" % n, 2) for n in range(20_000)} == {(1, True)}
    assert {hashes.put(f"k{n}", b"x%d" % n, 2) for n in range(20_000)} == {(2, False)}
    assert len(hashes) == 20_000


def test_row_hashes_of_two_hundred_thousand_rows_take_less_than_ten_megabytes():
    hashes = RowHashes()
    for number in range(200_000):
        hashes.put(str(number), b"x", 1)
    arrays = (hashes._keys, hashes._contents, hashes._reads)
    assert sum(a.itemsize * len(a) for a in arrays) < 10e6


def test_given_rows_that_leave_while_we_read_when_read_then_all_others_come_and_once(sim, config, read):
    expected = fill(sim, days=1, per_day=95)
    sim.mutate(after_request=1, touch=3, place="served", repeat=True)
    outcome = read({**config, "end_date": "2026-01-01", "page_size": 10})
    left = {f"{account}-{name}" for entry in sim.mutations() for account, name in entry["touched"]}
    assert outcome.error is None
    assert left
    assert expected - left <= set(outcome.keys())
    assert len(outcome.keys()) == len(set(outcome.keys()))


def test_given_a_late_row_that_enters_while_we_read_when_read_then_it_comes_too(sim, config, read):
    fill(sim, days=1, per_day=30)
    sim.mutate(after_request=2, add=2)
    outcome = read({**config, "end_date": "2026-01-01", "page_size": 7})
    assert outcome.error is None
    assert len(outcome.keys()) == len(set(outcome.keys())) == 32


def test_given_rows_that_enter_permanently_when_read_then_it_fails_as_transient_and_the_window_stays_open(
    sim, config, read
):
    fill(sim, days=2, per_day=30)
    sim.mutate(after_request=1, add=1, repeat=True)
    outcome = read({**config, "page_size": 7})
    assert outcome.error is not None
    assert outcome.error.failure_type.value == "transient_error"
    assert outcome.states() == []


@pytest.mark.parametrize("order", ["id", "date"])
def test_given_a_server_that_clamps_the_limit_when_read_then_its_own_page_count_is_followed(order, sim, config, read):
    sim.switch("wecantrack.order", order)
    expected = fill(sim, days=1, per_day=2300)
    assert sorted(read(config).keys()) == sorted(expected)
    assert (
        len(sim.requests("/api/v3/transactions")) == 3 + 1 + 2
    )  # three pages of the full day, its first page again, one page of each empty day


def test_click_totals_are_read_page_by_page_until_an_empty_one_and_stamped(sim, config, read):
    sim.generate(transactions=200, days=5, later_days=0)
    whole = read(config, "clicks_aggregation").rows("clicks_aggregation")
    paged = read({**config, "page_size": 2}, "clicks_aggregation").rows("clicks_aggregation")
    assert len(whole) > 2
    assert [{**row, "extracted_at": ""} for row in paged] == [{**row, "extracted_at": ""} for row in whole]
    assert whole[0]["extracted_at"].endswith("Z")


def test_click_totals_of_an_api_that_ignores_page_are_emitted_once(sim, config, read):
    body = '[{"clicks":1},{"clicks":2}]'
    sim.fault("status", "/api/v2/clicks/aggregation", status=200, times=0, body=body)
    assert [row["clicks"] for row in read(config, "clicks_aggregation").rows("clicks_aggregation")] == [1, 2]


def test_click_totals_inside_a_paginator_are_followed_to_its_last_page(sim, config, read):
    for number in (1, 2):
        body = f'{{"current_page":{number},"last_page":2,"per_page":1,"total":2,"data":[{{"clicks":5}}]}}'
        sim.fault("status", "/api/v2/clicks/aggregation", status=200, times=0, body=body, query=f"page={number}&limit")
    assert [row["clicks"] for row in read(config, "clicks_aggregation").rows("clicks_aggregation")] == [5, 5]


CLICKS = "/api/v2/clicks/aggregation"


@pytest.mark.parametrize("ordered", [True, False])
def test_click_totals_whose_counters_move_end_when_no_group_is_new(ordered, sim, config, read):
    """An API that ignores `page` while visitors click."""
    for number in range(1, 30):
        rows = [{"networks": "awin", "clicks": 1000 + number}, {"networks": "cj", "clicks": 500 - number}]
        body = json.dumps(rows if ordered or number % 2 else rows[::-1])
        sim.fault("status", CLICKS, status=200, times=1, body=body)
    outcome = read({**config, "clicks_group_by": ["networks"]}, "clicks_aggregation")
    assert outcome.error is None
    assert [(row["networks"], row["clicks"]) for row in outcome.rows("clicks_aggregation")] == [
        ("awin", 1001),
        ("cj", 499),
    ]
    assert len(sim.requests(CLICKS)) == 2


def test_click_totals_of_a_group_that_moves_to_the_next_page_come_once(sim, config, read):
    pages = [["a", "b"], ["b", "c"], ["c"], []]
    for number, groups in enumerate(pages):
        body = json.dumps([{"networks": group, "clicks": 10 * number} for group in groups])
        sim.fault("status", CLICKS, status=200, times=1, body=body)
    outcome = read({**config, "clicks_group_by": ["networks"]}, "clicks_aggregation")
    assert [row["networks"] for row in outcome.rows("clicks_aggregation")] == ["a", "b", "c"]


def test_click_totals_under_unknown_names_are_told_apart_by_all_but_their_counters(sim, config, read):
    for number in range(5):
        body = json.dumps([{"network": "awin", "clicks": number, "sales": number, "total_commission_EUR": number}])
        sim.fault("status", CLICKS, status=200, times=1, body=body)
    assert len(read(config, "clicks_aggregation").rows("clicks_aggregation")) == 1


@pytest.mark.parametrize("paginated", [True, False])
def test_click_totals_without_end_end_with_an_error(paginated, sim, config, read, monkeypatch):
    monkeypatch.setattr("source_wecantrack.components.MAX_CLICK_PAGES", 5)
    for number in range(1, 8):
        rows: object = [{"networks": f"n{number}", "clicks": 1}]
        if paginated:
            counts = {"current_page": number, "last_page": number + 1, "per_page": 1, "total": number + 1}
            rows = {**counts, "data": rows}
        sim.fault("status", CLICKS, status=200, times=1, body=json.dumps(rows))
    outcome = read(config, "clicks_aggregation")
    assert outcome.error.failure_type.value == "transient_error"
    assert "has no end: 5 pages were read" in outcome.error.message
    assert len(sim.requests(CLICKS)) == 5
