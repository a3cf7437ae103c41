"""Earlier versions of Sovrn's rows, as in a file that was written twice: skipped, and nothing is sent twice."""

from __future__ import annotations

from decimal import Decimal

import pytest
from builders.affiliate import payments
from builders.sovrn import Desk, click, reasons, taken_back, transaction
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.affiliate.base import OUTDATED
from destination_wicked_reports.mappings.affiliate.returns import UNMATCHED
from destination_wicked_reports.model import Contribution
from hypothesis import given, settings
from hypothesis import strategies as st

FIRST, SECOND, THIRD = "2024-05-20", "2024-06-01", "2024-06-20"
SALE = [transaction("10.00", update_date=FIRST), transaction("4.00", update_date=SECOND)]
RETURN = [taken_back("-1.00", update_date=SECOND), taken_back("-3.00", update_date=THIRD)]


@pytest.mark.parametrize("calls", [[[*SALE, *SALE]], [SALE, SALE], [[data] for data in SALE * 2]])
def test_a_file_that_is_written_twice_tells_its_story_once(calls):
    desk = Desk()
    made = desk.run(*calls)
    assert [payment[:2] for payment in payments(made)] == [("APPROVED", 10), ("PARTIALLY REFUNDED", 6)]
    assert reasons(made) == [OUTDATED]
    assert desk.unchanged == 1, "the latest state came again"
    assert desk.net() == 4


def test_a_later_run_knows_what_an_earlier_one_counted():
    desk = Desk()
    desk(*SALE)
    again = desk(*SALE)
    assert (payments(again), reasons(again), desk.unchanged) == ([], [OUTDATED], 1)


def test_former_states_of_a_return_take_nothing_back_and_give_nothing_again():
    desk = Desk()
    desk(transaction(), *RETURN)
    again = desk(transaction(), *RETURN)
    assert (payments(again), reasons(again)) == ([], [OUTDATED])
    assert desk.net() == 7


def test_a_former_state_does_not_keep_the_latest_one_from_its_sale():
    """The return waits in the ledger. Its earlier version arrives with the sale, which must find the waiting one."""
    desk = Desk()
    assert reasons(desk(RETURN[1])) == [UNMATCHED]
    made = desk(RETURN[0], transaction())
    assert [payment[:2] for payment in payments(made)] == [("APPROVED", 10), ("PARTIALLY REFUNDED", 3)]
    assert OUTDATED in reasons(made)


def test_former_states_of_clicks_leave_the_sum_of_their_day_alone():
    desk = Desk(cpc="rollup", without_contact="synthetic")
    clicks = [click(1, "2.00", update_date=SECOND), click(1, "5.00", update_date=THIRD)]
    assert payments(desk(*clicks))[0][1] == 5
    again = desk(*clicks)
    assert (payments(again), reasons(again)) == ([], [OUTDATED])


def test_on_equal_dates_the_later_row_wins():
    desk = Desk()
    desk(transaction("10.00"), transaction("12.00"))
    assert desk.net() == 12


def test_a_row_without_a_date_of_its_change_counts_and_what_was_known_of_the_date_stays():
    desk = Desk()
    desk(transaction("10.00", update_date=SECOND))
    desk(transaction("8.00", update_date=None))
    assert desk.net() == 8
    assert reasons(desk(transaction("10.00", update_date=FIRST))) == [OUTDATED]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.integers(-500, 2000), st.integers(1, 28)),
        min_size=1,
        max_size=10,
        unique_by=lambda row: (row[0], row[2]),  # within a day the order of reading decides
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_a_file_holds_and_in_whatever_order_writing_it_again_moves_no_money(rows, random):
    desk = Desk()
    file = [
        transaction(str(Decimal(cents) / 100), revenue_id=name, update_date=f"2024-06-{day:02}")
        for name, cents, day in rows
    ]
    desk(*file)
    random.shuffle(file)
    assert payments(desk(*file)) == []


def test_a_contribution_keeps_its_modification_date_from_run_to_run(tmp_path):
    path = tmp_path / "ledger.sqlite"
    for before, after in ((None, FIRST), (FIRST, SECOND), (SECOND, SECOND)):
        opened = Ledger.sqlite(path, "live")
        totals = OrderBook(opened).sale_totals
        totals.load(["a"], [], [])
        stored = totals.contribution("a")
        assert before == (stored.source_updated_at if stored else None)
        totals.put(Contribution("a", "a", Decimal("1.50"), ("k1", "c1"), after), b"{}")
        totals.save()
        opened.close()
