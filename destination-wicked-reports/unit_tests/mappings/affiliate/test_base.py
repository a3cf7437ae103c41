"""The rules of affiliate revenue: orders, further orders and refunds, in whatever order records arrive."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest
from builders.affiliate import BY_USER, SALE_KEY, Book, bodies, feed, make_normalizer, payments, transaction
from builders.wicked import Wicked
from destination_wicked_reports.config.mappings import WecantrackMapping
from destination_wicked_reports.mappings.affiliate.base import (
    NEVER_EARNED,
    NOT_APPROVED,
    REINSTATED,
    SMALL_CHANGE,
    WORTHLESS,
)
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from destination_wicked_reports.model import OpenOrder, Reject, Row, SaleState, Skip
from hypothesis import given
from hypothesis import strategies as st

ORDERED, APPROVED_ON, CHANGED = "2024-05-14 14:06:15", "2024-06-20 08:00:00", "2024-07-01 09:30:00"
A_SECOND_LATER = "2024-07-01 09:30:01"


def record(status: str, amount: str, **changes: Any) -> dict[str, Any]:
    validated = APPROVED_ON if status == "approved" else None
    return transaction(
        **{
            "status": status,
            "commission_amount": amount,
            "validation_date": validated,
            "last_wct_update": CHANGED,
            **changes,
        }
    )


def story(*steps: tuple[str, str], **rules: Any) -> list[list[tuple[str, float, str]]]:
    """The payments that each of these records makes, one call per record."""
    normalizer, book = make_normalizer(**rules), Book()
    return [payments(feed(normalizer, book, record(status, amount))) for status, amount in steps]


class TestFirstSight:
    def test_a_sale_becomes_one_order_with_its_first_payment_nested(self):
        book = Book()
        made = feed(make_normalizer(), book, record("pending", "10.00"))
        assert [row.endpoint for row in made] == ["products", "orders"]
        assert bodies(made, "orders") == [
            {
                "SourceSystem": "wecantrack",
                "SourceID": "wct-7-T1",
                "CreateDate": ORDERED,
                "ContactID": "U42",
                "ContactEmail": "",
                "OrderTotal": 10,
                "OrderCurrency": "USD",
                "OrderItems": [{"OrderItemID": "wct-7-T1", "ProductID": "A1", "Qty": 1, "PPU": 10}],
                "OrderPayments": [{"PaymentDate": ORDERED, "Amount": 10, "Status": "APPROVED"}],
            }
        ]
        assert made[1].key == made[1].sale_key == SALE_KEY
        assert book.state() == SaleState(
            currency="USD",
            open_orders=(OpenOrder(1, Decimal("10.00"), Decimal(0), ORDERED),),
            order_count=1,
            version=1,
            ordered_at=ORDERED,
            product_id="A1",
            contact_id="U42",
            aliases=book.state().aliases,
            source_updated_at=CHANGED,
        )

    def test_the_merchant_is_a_product_sent_once(self):
        made = feed(make_normalizer(), Book(), transaction(transaction_id="T1"), transaction(transaction_id="T2"))
        assert bodies(made, "products") == [
            {"SourceSystem": "wecantrack", "SourceID": "A1", "ProductName": "Shoe Shop", "ProductPrice": 0}
        ]

    @pytest.mark.parametrize("name", [None, "", " "])
    def test_a_merchant_without_a_name_is_named_by_its_id(self, name):
        made = feed(make_normalizer(), Book(), transaction(advertiser_name=name))
        assert bodies(made, "products")[0]["ProductName"] == "Advertiser A1"

    @pytest.mark.parametrize("advertiser", [None, ""])
    def test_without_a_merchant_there_is_no_product_and_the_line_names_none(self, advertiser):
        made = feed(make_normalizer(), Book(), transaction(advertiser_id=advertiser))
        assert bodies(made, "products") == []
        assert bodies(made, "orders")[0]["OrderItems"][0]["ProductID"] == ""

    def test_an_invalid_product_does_not_stop_the_order(self):
        reject, order = feed(make_normalizer(), Book(), transaction(advertiser_name="x" * 501))
        assert isinstance(reject, Reject)
        assert (reject.endpoint, reject.field, order.endpoint) == ("products", "ProductName", "orders")

    def test_an_approved_sale_is_paid_on_its_validation_date(self):
        assert story(("approved", "10.00")) == [[("APPROVED", 10, APPROVED_ON)]]

    def test_an_approved_sale_without_a_validation_date_is_paid_when_it_was_last_changed(self):
        made = feed(make_normalizer(), Book(), record("approved", "10.00", validation_date=None))
        assert payments(made) == [("APPROVED", 10, CHANGED)]

    def test_a_sale_that_was_declined_before_it_was_sent_is_never_sent(self):
        book = Book()
        assert feed(make_normalizer(), book, record("declined", "10.00")) == [Skip(NEVER_EARNED, 0)]
        assert book.state() is None

    def test_a_sale_worth_less_than_a_cent_is_not_sent_until_it_is_worth_one(self):
        normalizer, book = make_normalizer(), Book()
        assert feed(normalizer, book, record("pending", "0.004")) == [Skip(WORTHLESS, 0)]
        assert payments(feed(normalizer, book, record("pending", "0.005"))) == [("APPROVED", 0.01, ORDERED)]

    def test_an_order_that_may_not_be_sent_leaves_no_state_and_no_other_rows(self):
        book = Book()
        (made,) = feed(make_normalizer(), book, transaction(order_date=None))
        assert isinstance(made, Reject)
        assert (made.endpoint, made.field, made.stream) == ("orders", "CreateDate", "transactions")
        assert made.row == transaction(order_date=None)
        assert book.state() is None

    def test_a_payment_without_a_date_is_rejected_with_its_order(self):
        (made,) = feed(
            make_normalizer(), Book(), record("approved", "1.00", validation_date=None, last_wct_update=None)
        )
        assert isinstance(made, Reject)
        assert made.field == "PaymentDate"


class TestLaterChanges:
    def test_the_same_again_makes_nothing(self):
        assert story(("pending", "10.00"), ("pending", "10.00"), ("approved", "10.00"), ("approved", "10"))[1:] == [
            [],
            [],
            [],
        ]

    def test_a_higher_commission_is_a_further_order_for_the_difference(self):
        normalizer, book = make_normalizer(), Book()
        feed(normalizer, book, record("pending", "10.00"))
        made = feed(normalizer, book, record("approved", "12.50"))
        assert bodies(made, "orders") == [
            {
                "SourceSystem": "wecantrack",
                "SourceID": "wct-7-T1~2",
                "CreateDate": ORDERED,
                "ContactID": "U42",
                "ContactEmail": "",
                "OrderTotal": 2.5,
                "OrderCurrency": "USD",
                "OrderItems": [{"OrderItemID": "wct-7-T1~2", "ProductID": "A1", "Qty": 1, "PPU": 2.5}],
                "OrderPayments": [{"PaymentDate": CHANGED, "Amount": 2.5, "Status": "APPROVED"}],
            }
        ]
        assert [(row.key, row.sale_key) for row in made] == [(f"{SALE_KEY}~2", SALE_KEY)]

    def test_a_fall_comes_off_the_youngest_order_first(self):
        steps = story(("pending", "19.99"), ("pending", "24.10"), ("approved", "12.05"))
        assert steps[2] == [("REFUNDED", 4.11, A_SECOND_LATER), ("PARTIALLY REFUNDED", 7.94, CHANGED)]

    def test_an_address_that_is_found_later_is_added_to_further_orders(self):
        rules = [*({"field": "sub_ids.mail", "pattern": "^(?P<email>.+@.+)$"},), BY_USER]
        normalizer, book = make_normalizer(contact_rules=rules), Book()
        feed(normalizer, book, record("approved", "10.00"))
        sub_ids = {**transaction()["sub_ids"], "mail": "buyer@example.com"}
        (order,) = bodies(feed(normalizer, book, record("approved", "12.00", sub_ids=sub_ids)), "orders")
        assert (order["ContactID"], order["ContactEmail"]) == ("U42", "buyer@example.com")
        assert book.state().contact_email == "buyer@example.com"

    def test_further_orders_repeat_the_contact_of_the_first_whatever_the_rules_find_now(self):
        normalizer, book = make_normalizer(), Book()
        feed(normalizer, book, record("approved", "10.00"))
        made = feed(normalizer, book, record("approved", "12.00", sub_ids={"clickRef": "U77-WCT240514135314e7x4d"}))
        assert [order["ContactID"] for order in bodies(made, "orders")] == ["U42"]

    def test_a_lower_commission_is_partially_refunded_for_the_difference(self):
        assert story(("approved", "10.00"), ("approved", "7.50"))[1] == [("PARTIALLY REFUNDED", 2.5, CHANGED)]

    @pytest.mark.parametrize("amount", ["10.00", "0.00", "3.00"])
    def test_a_decline_refunds_what_was_approved_whether_or_not_it_keeps_its_amount(self, amount):
        assert story(("approved", "10.00"), ("declined", amount))[1] == [("REFUNDED", 10, CHANGED)]

    def test_a_decline_after_a_partial_refund_refunds_the_rest(self):
        steps = story(("approved", "10.00"), ("approved", "4.00"), ("declined", "4.00"))
        assert steps[2] == [("REFUNDED", 4, A_SECOND_LATER)]

    def test_a_commission_that_falls_to_zero_is_refunded_in_full(self):
        assert story(("approved", "10.00"), ("approved", "0.00"), ("declined", "0.00"))[1:] == [
            [("REFUNDED", 10, CHANGED)],
            [],
        ]

    def test_a_later_payment_is_a_row_that_names_its_order(self):
        normalizer, book = make_normalizer(), Book()
        feed(normalizer, book, record("approved", "10.00"))
        (row,) = feed(normalizer, book, record("declined", "10.00"))
        assert bodies([row], "order_payments") == [
            {
                "SourceSystem": "wecantrack",
                "OrderID": "wct-7-T1",
                "PaymentDate": CHANGED,
                "Amount": 10,
                "Status": "REFUNDED",
            }
        ]
        assert (row.key, row.sale_key) == (f"{SALE_KEY}#2", SALE_KEY)
        assert row.sale is not None
        assert (row.sale.net, row.sale.version, row.sale.open_orders) == (0, 2, ())

    def test_equal_refunds_have_keys_of_their_own(self):
        normalizer, book = make_normalizer(), Book()
        steps = ["10.00", "12.00", "10.00", "12.00", "10.00"]
        rows = [row for amount in steps for row in feed(normalizer, book, record("pending", amount))]
        assert [row.key for row in rows if row.endpoint == "order_payments"] == [f"{SALE_KEY}#3", f"{SALE_KEY}#5"]
        assert [order["SourceID"] for order in bodies(rows, "orders")] == ["wct-7-T1", "wct-7-T1~2", "wct-7-T1~3"]

    def test_a_refund_is_dated_a_second_after_the_latest_payment_of_its_order(self):
        normalizer, book = make_normalizer(), Book()
        feed(normalizer, book, record("approved", "10.00", validation_date="2024-08-01 00:00:00"))
        made = feed(normalizer, book, record("declined", "10.00"))
        assert payments(made) == [("REFUNDED", 10, "2024-08-01 00:00:01")]

    def test_records_of_one_call_see_each_other(self):
        made = feed(
            make_normalizer(),
            Book(),
            record("pending", "10.00"),
            record("pending", "10.00"),
            record("approved", "8.00"),
            record("declined", "8.00"),
        )
        assert [payment[:2] for payment in payments(made)] == [
            ("APPROVED", 10),
            ("PARTIALLY REFUNDED", 2),
            ("REFUNDED", 8),
        ]
        assert [row.sequence for row in made if row.endpoint == "order_payments"] == [2, 3]

    def test_the_orders_of_a_call_are_fetched_in_one_query(self):
        book = Book()
        feed(make_normalizer(), book, transaction(transaction_id="T1"), {}, transaction(transaction_id="T2"))
        assert book.loads == [["wecantrack\x1fwct-7-T1", "wecantrack\x1fwct-7-T2"]]

    def test_a_known_order_needs_no_contact_any_more(self):
        book = Book()
        feed(make_normalizer(), book, record("pending", "10.00"))
        made = feed(make_normalizer(), book, record("declined", "10.00", sub_ids=None))
        assert payments(made) == [("REFUNDED", 10, CHANGED)]

    def test_a_bad_record_changes_nothing_and_the_next_valid_one_sends_the_difference(self):
        normalizer, book = make_normalizer(), Book()
        feed(normalizer, book, record("approved", "10.00"))
        (reject,) = feed(normalizer, book, record("declined", "10.00", last_wct_update="soon"))
        assert isinstance(reject, Reject)
        assert payments(feed(normalizer, book, record("declined", "10.00"))) == [("REFUNDED", 10, CHANGED)]


class TestRecognition:
    def test_a_pending_sale_is_not_sent_until_it_is_approved(self):
        normalizer, book = make_normalizer(recognize="approved"), Book()
        assert feed(normalizer, book, record("pending", "10.00")) == [Skip(NOT_APPROVED, 0)]
        assert payments(feed(normalizer, book, record("approved", "12.00"))) == [("APPROVED", 12, APPROVED_ON)]

    def test_an_approved_sale_that_turns_pending_again_stays_counted_and_a_rise_waits(self):
        steps = story(
            ("approved", "10.00"),
            ("pending", "10.00"),
            ("pending", "9.00"),
            ("pending", "15.00"),
            ("approved", "15.00"),
            recognize="approved",
        )
        assert steps[1:] == [[], [("PARTIALLY REFUNDED", 1, CHANGED)], [], [("APPROVED", 6, CHANGED)]]

    def test_a_declined_sale_that_turns_pending_waits_for_its_approval(self):
        normalizer, book = make_normalizer(recognize="approved"), Book()
        for status in ("approved", "declined", "pending"):
            made = feed(normalizer, book, record(status, "10.00"))
        assert made == [Skip(NOT_APPROVED, 0)]
        assert bodies(feed(normalizer, book, record("approved", "10.00")), "orders")[0]["SourceID"] == "wct-7-T1~2"

    def test_another_currency_waits_for_the_approval_of_a_sale_that_turned_pending(self):
        normalizer, book = make_normalizer(recognize="approved"), Book()
        feed(normalizer, book, record("approved", "10.00"))
        made = feed(normalizer, book, record("pending", "9.00", currency_id="EUR"))
        assert made == [Skip(NOT_APPROVED, 0)]
        made = feed(normalizer, book, record("approved", "9.00", currency_id="EUR"))
        assert [row["OrderCurrency"] for row in bodies(made, "orders")] == ["EUR"]


class TestSmallestChange:
    rules: ClassVar = {"smallest_change": "0.50"}

    def test_a_small_change_waits_until_differences_add_up(self):
        normalizer, book = make_normalizer(**self.rules), Book()
        feed(normalizer, book, record("approved", "10.00"))
        assert feed(normalizer, book, record("approved", "10.30")) == [Skip(SMALL_CHANGE, 0)]
        assert payments(feed(normalizer, book, record("approved", "10.50"))) == [("APPROVED", 0.5, CHANGED)]

    def test_it_never_holds_back_a_first_order_or_a_change_to_zero(self):
        assert story(("approved", "0.10"), ("approved", "0"), **self.rules) == [
            [("APPROVED", 0.1, APPROVED_ON)],
            [("REFUNDED", 0.1, CHANGED)],
        ]


class TestReinstatement:
    def test_a_sale_reinstated_after_its_decline_was_sent_is_a_further_order(self):
        normalizer, book = make_normalizer(), Book()
        for status in ("approved", "declined"):
            feed(normalizer, book, record(status, "10.00"))
        made = feed(normalizer, book, record("approved", "11.00"))
        (order,) = bodies(made, "orders")
        assert order["SourceID"] == order["OrderItems"][0]["OrderItemID"] == "wct-7-T1~2"
        assert order["OrderTotal"] == 11
        assert order["OrderPayments"] == [{"PaymentDate": CHANGED, "Amount": 11, "Status": "APPROVED"}]
        assert [row.sale_key for row in made] == [SALE_KEY]
        assert book.state().order_count == 2
        assert normalizer.reinstated == 1

    def test_refunds_name_the_order_they_take_from(self):
        normalizer, book = make_normalizer(), Book()
        steps = ["approved", "declined", "approved", "declined", "approved"]
        rows = [row for status in steps for row in feed(normalizer, book, record(status, "10.00"))]
        assert [order["SourceID"] for order in bodies(rows, "orders")] == ["wct-7-T1", "wct-7-T1~2", "wct-7-T1~3"]
        assert [payment["OrderID"] for payment in bodies(rows, "order_payments")] == ["wct-7-T1", "wct-7-T1~2"]
        assert len({row.key for row in rows}) == len(rows)

    def test_a_reinstated_sale_can_be_skipped_and_counted(self):
        normalizer, book = make_normalizer(on_reinstatement="skip"), Book()
        for status in ("approved", "declined"):
            feed(normalizer, book, record(status, "10.00"))
        assert feed(normalizer, book, record("approved", "10.00")) == [Skip(REINSTATED, 0)]
        assert normalizer.reinstated == 0

    def test_a_reinstated_sale_needs_no_contact_any_more(self):
        normalizer, book = make_normalizer(), Book()
        for status in ("approved", "declined"):
            feed(normalizer, book, record(status, "10.00"))
        made = feed(normalizer, book, record("approved", "10.00", sub_ids=[]))
        assert [order["ContactID"] for order in bodies(made, "orders")] == ["U42"]

    def test_several_changes_of_one_call_are_rows_in_their_order(self):
        normalizer, book = make_normalizer(), Book()
        made = feed(normalizer, book, *[record(status, "10.00") for status in ("approved", "declined", "approved")])
        rows = [row for row in made if isinstance(row, Row) and row.sale]
        assert [row.endpoint for row in rows] == ["orders", "order_payments", "orders"]
        assert [row.sale.version for row in rows] == [1, 2, 3]


class TestCurrency:
    def test_a_change_of_currency_refunds_what_is_left_and_is_a_further_order(self):
        normalizer, book = make_normalizer(), Book()
        feed(normalizer, book, record("approved", "10.00"))
        made = feed(normalizer, book, record("approved", "9.00", currency_id="EUR"))
        assert [row.endpoint for row in made] == ["order_payments", "orders"]
        assert bodies(made, "order_payments")[0]["Status"] == "REFUNDED"
        (order,) = bodies(made, "orders")
        assert (order["SourceID"], order["OrderTotal"], order["OrderCurrency"]) == ("wct-7-T1~2", 9, "EUR")
        assert feed(normalizer, book, record("approved", "9.00", currency_id="EUR")) == []


class TestInvariants:
    steps = st.lists(
        st.tuples(
            st.sampled_from(["pending", "approved", "declined"]),
            st.decimals(min_value=0, max_value=10_000, places=3).map(str) | st.sampled_from(["0", "10", "10.00"]),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=12,
    )

    @given(steps, st.sampled_from(["pending", "approved"]), st.booleans())
    def test_both_nets_are_always_what_the_sale_is_worth(self, steps, recognize, in_one_call):
        normalizer, book, wicked = make_normalizer(recognize=recognize), Book(), Wicked()
        due = Decimal(0)
        repeated = []
        for status, amount, times in steps:
            cents = (Decimal(amount) * 100 + Decimal("0.5")).to_integral_value(rounding="ROUND_FLOOR") / 100
            waits = status == "pending" and recognize == "approved"
            due = Decimal(0) if status == "declined" else min(cents, due) if waits else cents
            records = [record(status, amount)] * times
            repeated += records
            if not in_one_call:
                wicked.take(row for data in records for row in feed(normalizer, book, data))
                assert wicked.nets() == (due, due)
        if in_one_call:
            wicked.take(feed(normalizer, book, *repeated))
        assert wicked.nets() == (due, due)
        assert book.net() == due

    @given(steps, st.sampled_from(["pending", "approved"]))
    def test_the_rows_do_not_depend_on_how_often_a_record_is_read_or_how_calls_are_cut(self, steps, recognize):
        once = [record(status, amount) for status, amount, _ in steps]
        often = [record(status, amount) for status, amount, times in steps for _ in range(times)]
        normalizer, book = make_normalizer(recognize=recognize), Book()
        one_by_one = [row for data in once for row in feed(normalizer, book, data)]
        together = feed(make_normalizer(recognize=recognize), Book(), *often)
        rows = [[(row.key, row.body) for row in made if isinstance(row, Row)] for made in (together, one_by_one)]
        assert rows[0] == rows[1]

    @given(steps)
    def test_skipping_reinstated_sales_never_counts_a_lost_sale_again(self, steps):
        normalizer, book = make_normalizer(on_reinstatement="skip"), Book()
        lost = False
        for status, amount, _ in steps:
            rows = feed(normalizer, book, record(status, amount))
            if lost:
                assert payments(rows) == []
                assert book.net() == 0
            lost = book.state() is not None and not book.net()


def test_contact_rules_may_be_given_as_their_two_texts():
    mapping = WecantrackMapping(contact_rules=[{"field": BY_USER.field, "pattern": BY_USER.pattern}])
    made = feed(WecantrackNormalizer(mapping), Book(), transaction())
    assert bodies(made, "orders")[0]["ContactID"] == "U42"
