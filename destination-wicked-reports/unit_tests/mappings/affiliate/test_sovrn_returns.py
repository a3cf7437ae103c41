"""Separate returns: which sale they reduce, once, and by no more than is left of it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from builders.affiliate import bodies, payments
from builders.sovrn import CHANGED, NOON_CHANGED, SALE_KEY, Desk, reasons, taken_back, transaction
from destination_wicked_reports.mappings.affiliate.base import NO_CONTACT
from destination_wicked_reports.mappings.affiliate.returns import EXCESS, UNMATCHED
from destination_wicked_reports.model import Reject
from hypothesis import given, settings
from hypothesis import strategies as st

REFUND_ALL = [("REFUNDED", 10, NOON_CHANGED)]


def key(revenue: str, commission: str) -> str:
    return f"sovrn\x1fsovrn-1234-{revenue}-{commission}"


class TestMatching:
    @pytest.mark.parametrize("amount", ["-10.00", "-10"])
    def test_a_return_that_cancels_the_sale_refunds_it(self, amount):
        desk = Desk()
        desk(transaction())
        (row,) = made = desk(taken_back(amount))
        assert payments(made) == REFUND_ALL
        assert bodies(made, "order_payments")[0]["OrderID"] == "sovrn-1234-R1-C1"
        assert (row.key, row.sale_key) == (f"{SALE_KEY}#2", SALE_KEY)

    def test_a_smaller_one_refunds_in_part_and_the_next_the_rest(self):
        desk = Desk()
        desk(transaction())
        assert payments(desk(taken_back("-4.00"))) == [("PARTIALLY REFUNDED", 4, NOON_CHANGED)]
        assert payments(desk(taken_back("-6.00", revenue_id="R8"))) == [("REFUNDED", 6, f"{CHANGED} 12:00:01")]

    @pytest.mark.parametrize("sale_first", [True, False])
    def test_sale_and_return_may_come_together_in_either_order(self, sale_first):
        pair = [transaction(), taken_back("-4.00")]
        desk = Desk()
        made = desk(*(pair if sale_first else pair[::-1]))
        assert [payment[:2] for payment in payments(made)] == [("APPROVED", 10), ("PARTIALLY REFUNDED", 4)]
        assert bodies(made, "orders")[0]["OrderTotal"] == 10

    def test_rows_made_out_of_order_block_the_state_of_the_earliest(self):
        made = Desk()(taken_back("-4.00"), transaction(revenue_id="R2", click_id="k2"), transaction())
        assert [row.sequence for row in made if row.endpoint == "order_payments"] == [0]
        sequences = [row.sequence for row in made if row.endpoint == "orders"]
        assert sequences == [0, 0]

    def test_the_commission_id_finds_the_sale_when_the_click_does_not(self):
        desk = Desk()
        desk(transaction())
        assert payments(desk(taken_back("-10.00", click_id="k9", commission_id="C1"))) == REFUND_ALL

    def test_the_merchant_must_be_the_same_and_the_account(self):
        desk = Desk()
        desk(transaction())
        assert reasons(desk(taken_back("-10.00", merchant_group_id="9"))) == [UNMATCHED]
        assert reasons(desk(taken_back("-10.00", revenue_id="R7", account_id="9"))) == [UNMATCHED]

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"commission_id": "C2"}, key("R2", "C2")),  # the same commission
            ({"publisher_net_revenue": "-3.00"}, key("R2", "C2")),  # cancels it
            ({"publisher_net_revenue": "-4.00"}, key("R1", "C1")),  # most is left there
        ],
    )
    def test_of_two_sales_of_one_click_the_likelier_one_is_taken(self, changes, expected):
        desk = Desk()
        desk(transaction(), transaction("3.00", revenue_id="R2", commission_id="C2"))
        made = desk(taken_back("-1.00", **{**changes}))
        assert [row.sale_key for row in made] == [expected]

    def test_a_sale_skipped_without_a_contact_has_nothing_to_refund(self):
        desk = Desk()
        desk(transaction(cuid=""))
        assert reasons(desk(taken_back("-4.00"))) == [NO_CONTACT]
        made = desk(transaction())
        assert payments(made)[0][:2] == ("APPROVED", 6)
        assert bodies(made, "orders")[0]["OrderTotal"] == 6


class TestOnce:
    def test_a_return_that_is_read_again_refunds_nothing(self):
        desk = Desk()
        desk(transaction(), taken_back("-4.00"))
        assert desk(taken_back("-4.00"), transaction(), taken_back("-4.00")) == []

    def test_a_return_that_is_changed_moves_the_difference(self):
        desk = Desk()
        desk(transaction(), taken_back("-4.00"))
        assert payments(desk(taken_back("-5.00"))) == [("PARTIALLY REFUNDED", 1, f"{CHANGED} 12:00:01")]
        assert payments(desk(taken_back("-2.00"))) == [("APPROVED", 3, NOON_CHANGED)]
        assert payments(desk(taken_back("0.00"))) == [("APPROVED", 2, NOON_CHANGED)]

    def test_of_two_versions_of_one_row_in_one_call_the_later_counts(self):
        desk = Desk()
        desk(transaction(), taken_back("-4.00"), taken_back("0.00"))
        assert desk.net() == 10
        desk(transaction("-1.00"), transaction("7.00"))
        assert desk.net() == 7

    def test_a_sale_edited_after_its_return_keeps_the_return(self):
        desk = Desk()
        desk(transaction(), taken_back("-4.00"))
        assert payments(desk(transaction("12.00"))) == [("APPROVED", 2, NOON_CHANGED)]
        assert desk.net() == 8

    def test_a_return_withdrawn_after_a_full_refund_reinstates_the_sale_without_its_row(self):
        desk = Desk()
        desk(transaction(), taken_back("-10.00"))
        (order,) = bodies(desk(taken_back("-1.00", cuid="")), "orders")
        assert (order["SourceID"], order["ContactID"], order["OrderTotal"]) == ("sovrn-1234-R1-C1~2", "U42", 9)


class TestExcess:
    def test_no_more_is_refunded_than_is_left_and_the_excess_is_reported(self):
        desk = Desk()
        desk(transaction())
        made = desk(taken_back("-12.00"))
        assert (payments(made), reasons(made)) == (REFUND_ALL, [EXCESS])
        (reject,) = (one for one in made if isinstance(one, Reject))
        assert (reject.endpoint, reject.field, reject.row["revenue_id"]) == ("order_payments", "Amount", "R9")
        assert reasons(desk(taken_back("-12.00"))) == [EXCESS]

    def test_an_excess_is_offset_when_the_sale_rises(self):
        desk = Desk()
        desk(transaction(), taken_back("-12.00"))
        desk(transaction("15.00"))
        assert desk.net() == 3


class TestUnmatched:
    def test_a_return_without_a_sale_is_reported_once_a_read_and_never_an_order(self):
        desk = Desk()
        (reject,) = desk(taken_back("-4.00"), transaction("5.00", revenue_id="R5", click_id="k5", commission_id="C5"))[
            -1:
        ]
        assert isinstance(reject, Reject)
        assert (reject.reason, reject.endpoint, reject.field) == (UNMATCHED, "order_payments", "OrderID")
        assert (reject.row["revenue_id"], reject.row["publisher_net_revenue"]) == ("R9", "-4.00")
        assert desk() == []
        assert reasons(desk(taken_back("-4.00"))) == [UNMATCHED]

    def test_a_sale_later_in_the_same_run_takes_the_return_unreported(self):
        made = Desk().run([taken_back("-4.00")], [transaction()])
        assert [payment[:2] for payment in payments(made)] == [("APPROVED", 10), ("PARTIALLY REFUNDED", 4)]
        assert reasons(made) == []

    def test_a_sale_in_a_later_run_takes_the_return_even_if_that_is_not_read_again(self):
        desk = Desk()
        assert reasons(desk(taken_back("-4.00"))) == [UNMATCHED]
        assert [payment[:2] for payment in payments(desk(transaction()))] == [
            ("APPROVED", 10),
            ("PARTIALLY REFUNDED", 4),
        ]
        assert desk(taken_back("-4.00"), transaction()) == []

    def test_a_return_read_again_with_its_sale_counts_once_in_its_latest_version(self):
        desk = Desk()
        desk(taken_back("-4.00"))
        made = desk(taken_back("-3.00"), transaction())
        assert [payment[:2] for payment in payments(made)] == [("APPROVED", 10), ("PARTIALLY REFUNDED", 3)]

    def test_a_return_that_turns_positive_before_its_sale_comes_is_a_sale(self):
        desk = Desk()
        desk(taken_back("-4.00"))
        assert bodies(desk(taken_back("4.00")), "orders")[0]["SourceID"] == "sovrn-1234-R9-C9"


class TestInvariants:
    amounts = st.decimals(min_value=0, max_value=50, places=4)
    sale = st.tuples(st.just("sale"), amounts)
    back = st.tuples(st.sampled_from(["R8", "R9"]), amounts.map(lambda amount: -amount))
    runs = st.lists(st.lists(st.lists(sale | back, max_size=3), max_size=2), min_size=1, max_size=6)

    @settings(deadline=None, max_examples=60)
    @given(runs)
    def test_what_wicked_counts_is_what_was_observed_and_never_below_zero(self, runs):
        desk, seen, sold = Desk(), {}, False
        for calls in runs:
            data = [[self.record(*entry) for entry in call] for call in calls]
            for call in calls:
                for name, amount in call:
                    seen[name] = amount.quantize(Decimal("0.01"), "ROUND_HALF_UP")
                    sold = sold or (name == "sale" and seen[name] > 0)
            made = desk.run(*data)
            assert all(amount > 0 for _, amount, _ in payments(made))
            if sold:
                assert desk.net() == max(sum(seen.values()), Decimal(0)), seen
            again = {record["revenue_id"]: record for call in data for record in call}
            assert payments(desk(*again.values())) == [], "read again, nothing is sent"

    def record(self, name: str, amount: Decimal):
        return transaction(str(amount)) if name == "sale" else taken_back(str(amount), revenue_id=name)
