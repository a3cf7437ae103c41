"""Request windows, and that no reading of `from` and `to` loses or duplicates a row."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_wicked_reports.windows import Days

from .conftest import LISTS, SUBJECT, fill, ids, windows

FROM = ["inclusive", "after_midnight", "exclusive"]
TO = ["inclusive", "exclusive", "at_midnight"]
ZONES = ["utc", "eastern"]
DAY = timedelta(days=1)
EPOCH = date(2020, 1, 1)
HOUR = 1.0 / 24


def covered(requested, starts, ends, shift):
    """Return the range of time, in days since EPOCH, that the parameters cover."""
    first, last = ((date.fromisoformat(requested[name]) - EPOCH).days for name in ("from", "to"))
    return first + (starts == "exclusive") + shift, last + (ends == "inclusive") + shift


@given(
    first=st.integers(0, 4000),
    lengths=st.lists(st.integers(1, 28), min_size=1, max_size=6),
    starts=st.sampled_from(["inclusive", "exclusive"]),
    ends=st.sampled_from(["inclusive", "exclusive"]),
    shift=st.integers(-14, 12).map(lambda hours: hours * HOUR),
)
def test_windows_meet_without_a_gap_in_every_reading_and_zone(first, lengths, starts, ends, shift):
    day, spans = EPOCH + first * DAY, []
    for length in lengths:
        days = Days(day, day + (length - 1) * DAY)
        spans.append(covered(days.query_params, starts, ends, shift))
        day += length * DAY
    assert all(later[0] <= earlier[1] for earlier, later in pairwise(spans))
    assert spans[0][0] <= first + max(shift, 0)
    assert spans[-1][1] >= first + sum(lengths) + min(shift, 0)


@given(st.integers(1, 28))
def test_no_window_is_wider_than_30_days_however_they_are_counted(count):
    requested = Days(EPOCH, EPOCH + (count - 1) * DAY).query_params
    assert (date.fromisoformat(requested["to"]) - date.fromisoformat(requested["from"])).days + 1 <= 30


@given(st.integers(1, 200), st.integers(1, 60))
def test_parts_are_the_same_days_in_order(count, longest):
    days = Days(EPOCH, EPOCH + (count - 1) * DAY)
    parts = list(days.parts(longest))
    named = [part.first + n * DAY for part in parts for n in range(part.count)]
    assert named == [EPOCH + n * DAY for n in range(count)]
    assert max(part.count for part in parts) <= longest


@given(st.integers(2, 200), st.integers(1, 10**7), st.integers(1, 10**5))
def test_a_window_with_too_many_rows_is_always_cut_into_shorter_ones(count, total, most):
    days = Days(EPOCH, EPOCH + (count - 1) * DAY)
    assert 1 <= days.max_days(total, most) < days.count


@given(st.sampled_from(["inclusive", "exclusive"]), st.sampled_from(["inclusive", "exclusive"]))
def test_one_of_the_narrow_windows_is_the_day_itself_unless_both_ends_are_outside(starts, ends):
    spans = [covered(requested, starts, ends, 0) for requested in Days(EPOCH, EPOCH).exact_params]
    assert ((0, 1) in spans) == (starts == "inclusive" or ends == "inclusive")
    assert (spans[0] == (0, 1)) == (starts == ends == "inclusive")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("to", TO)
@pytest.mark.parametrize("from_", FROM)
@pytest.mark.parametrize("seconds", [1, 86400])
def test_at_every_reading_each_row_comes_once(seconds, from_, to, zone, sim, config, read):
    rows = fill(sim, days=20, seconds=seconds)
    for name, value in (("from", from_), ("to", to), ("day_zone", zone), ("range", "days_counted")):
        sim.switch(f"outbound.{name}", value)
    outcome = read(config, *LISTS)
    assert outcome.error is None
    assert sorted(outcome.keys("contacts")) == sorted(ids(rows["contacts"]))
    assert sorted(outcome.keys("orders")) == sorted(ids(rows["orders"]))
    assert len(outcome.keys("clicks")) == len(set(outcome.keys("clicks"))) == len(rows["clicks"])


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("to", TO)
@pytest.mark.parametrize("from_", FROM)
@pytest.mark.parametrize("hours", [6, 24])
def test_days_with_too_many_rows_lose_none_at_any_reading(hours, from_, to, zone, sim, config, read):
    rows = fill(sim, days=6, seconds=hours * 3600)
    for name, value in (("from", from_), ("to", to), ("day_zone", zone)):
        sim.switch(f"outbound.{name}", value)
    outcome = read({**config, "end_date": "2026-01-08", "rows_per_window": 6}, *LISTS)
    assert outcome.error is None
    assert sorted(outcome.keys("contacts")) == sorted(ids(rows["contacts"]))
    assert sorted(outcome.keys("orders")) == sorted(ids(rows["orders"]))
    assert len(outcome.keys("clicks")) == len(set(outcome.keys("clicks"))) == len(rows["clicks"])


def test_a_day_whose_last_pages_are_refused_is_a_plain_error(sim, config, read):
    sim.outbound.seed(start="2026-01-02", days=1, contacts=2, clicks=10_500)
    sim.switch("outbound.most_rows", "refuse_past_10000")
    outcome = read({**config, "end_date": "2026-01-03"}, "clicks")
    assert outcome.error is not None
    assert (
        f"has 10500 rows, and Wicked Reports rejects the pages after the first {SUBJECT.default('rows_per_window')}"
        in outcome.error.message
    )
    assert outcome.error.failure_type.value == "config_error"
    assert outcome.states("clicks") == []


@pytest.mark.parametrize(
    ("most_rows", "from_", "to", "zone"),
    [
        ("cut_at_10000", "inclusive", "inclusive", "eastern"),
        ("refuse_past_10000", "inclusive", "exclusive", "utc"),
        ("says_10000", "exclusive", "inclusive", "utc"),
    ],
)
def test_days_of_4000_clicks_are_read_whole_though_lists_end_at_10000(most_rows, from_, to, zone, sim, config, read):
    sim.outbound.seed(start="2026-01-02", days=3, contacts=5, clicks=12_000)
    for name, value in (("most_rows", most_rows), ("from", from_), ("to", to), ("day_zone", zone)):
        sim.switch(f"outbound.{name}", value)
    outcome = read({**config, "end_date": "2026-01-05"}, "clicks")
    assert outcome.error is None
    assert len(outcome.keys("clicks")) == len(set(outcome.keys("clicks"))) == 12_000


def test_windows_are_28_days_of_a_fixed_grid_requested_with_a_day_more_at_either_end(sim, config, read):
    outcome = read({**config, "start_date": "2025-11-15", "end_date": "2026-01-31"})
    requested = windows(sim)
    assert (requested[0][0], requested[-1][1]) == ("2025-11-13", "2026-02-01")
    ends = [date.fromisoformat(to) - DAY for _, to in requested]
    assert [date.fromisoformat(start) + 2 * DAY for start, _ in requested[1:]] == [end + DAY * 2 for end in ends[:-1]]
    assert {(end - date(1970, 1, 1)).days % 28 for end in ends[:-1]} == {27}
    assert [state["date"] for state in outcome.states()] == [end.isoformat() for end in ends]


def test_a_contacts_clicks_are_requested_within_180_days_of_each_other(sim, config, read):
    fill(sim)
    sim.switch("outbound.range", "days_counted")
    config = {**config, "start_date": "2024-01-01", "contact_ids": ["c000001"]}
    outcome = read(config, "selected_contact_clicks")
    assert outcome.error is None
    requested = windows(sim, "/contacts/c000001/clicks")
    spans = [(date.fromisoformat(to) - date.fromisoformat(start)).days for start, to in requested]
    assert max(spans) == 179
    assert (requested[0][0], requested[-1][1]) == ("2023-12-30", "2026-01-21")
    assert outcome.rows("selected_contact_clicks")


def test_a_contact_with_more_than_10000_clicks_is_read_whole(sim, config, read):
    sim.outbound.seed(start="2025-06-01", days=200, contacts=2, clicks=11_000, first_contact=1.0)
    sim.switch("outbound.most_rows", "cut_at_10000")
    config = {**config, "start_date": "2025-06-01", "contact_ids": ["c000000"]}
    outcome = read(config, "selected_contact_clicks")
    assert len(set(outcome.keys("selected_contact_clicks"))) == len(outcome.keys("selected_contact_clicks")) == 11_000


def test_a_list_of_exactly_10000_rows_of_a_day_is_warned_of(sim, config, read, caplog):
    sim.outbound.seed(start="2026-01-02", days=1, contacts=2, clicks=40)
    sim.switch("outbound.most_rows", "all")
    with caplog.at_level("WARNING"):
        outcome = read({**config, "rows_per_window": 40}, "clicks")
    assert len(outcome.keys("clicks")) == 40
    assert "exactly 40 rows" in caplog.text
