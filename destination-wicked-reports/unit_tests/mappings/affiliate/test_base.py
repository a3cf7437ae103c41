"""The rules of affiliate revenue: one order, then payments for the differences, in whatever order records arrive."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from builders.affiliate import BY_USER, SALE_KEY, Book, bodies, feed, make_normalizer, payments, transaction
from destination_wicked_reports.config.mappings import WecantrackMapping
from destination_wicked_reports.mappings.affiliate.base import NO_CONTACT, REINSTATED
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from destination_wicked_reports.model import OrderState, Reject, Row, Skip
from hypothesis import given
from hypothesis import strategies as st

ORDERED, APPROVED_ON, CHANGED = "2024-05-14 14:06:15", "2024-06-20 08:00:00", "2024-07-01 09:30:00"


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
    """The payments that each of a row of records makes, one call a record."""
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
        assert made[1].key == made[1].order_key == SALE_KEY
        state = book.states[SALE_KEY]
        assert (state.total, state.approved, state.refunded) == (Decimal("10.00"), Decimal("10.00"), Decimal(0))
        assert (state.status, state.payments, state.revision, state.currency) == ("APPROVED", 1, 1, "USD")

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

    def test_a_sale_first_seen_as_declined_is_an_order_with_a_declined_payment(self):
        assert story(("declined", "10.00")) == [[("DECLINED", 10, CHANGED)]]

    def test_a_sale_worth_nothing_is_an_order_without_a_payment(self):
        assert story(("pending", "0.00"), ("approved", "0"), ("declined", "0.00")) == [[], [], []]

    def test_an_order_that_may_not_be_sent_leaves_no_state_and_no_other_rows(self):
        book = Book()
        (made,) = feed(make_normalizer(), book, transaction(order_date=None))
        assert isinstance(made, Reject)
        assert (made.endpoint, made.field, made.stream) == ("orders", "CreateDate", "transactions")
        assert made.row == transaction(order_date=None)
        assert book.states == {}

    def test_a_payment_without_a_date_is_rejected_with_its_order(self):
        (made,) = feed(make_normalizer(), Book(), record("declined", "1.00", last_wct_update=None))
        assert isinstance(made, Reject)
        assert made.field == "PaymentDate"


class TestLaterChanges:
    def test_the_same_again_makes_nothing(self):
        assert story(("pending", "10.00"), ("pending", "10.00"), ("approved", "10.00"), ("approved", "10"))[1:] == [
            [],
            [],
            [],
        ]

    def test_a_higher_commission_is_approved_for_the_difference(self):
        assert story(("pending", "10.00"), ("pending", "12.50"))[1] == [("APPROVED", 2.5, ORDERED)]
        assert story(("pending", "10.00"), ("approved", "12.50"))[1] == [("APPROVED", 2.5, APPROVED_ON)]

    def test_a_lower_commission_is_partially_refunded_for_the_difference(self):
        assert story(("approved", "10.00"), ("approved", "7.50"))[1] == [("PARTIALLY REFUNDED", 2.5, CHANGED)]

    @pytest.mark.parametrize("amount", ["10.00", "0.00", "3.00"])
    def test_a_decline_refunds_what_was_approved_whether_or_not_it_keeps_its_amount(self, amount):
        assert story(("approved", "10.00"), ("declined", amount))[1] == [("REFUNDED", 10, CHANGED)]

    def test_a_decline_after_a_partial_refund_refunds_the_rest(self):
        steps = story(("approved", "10.00"), ("approved", "4.00"), ("declined", "4.00"))
        assert steps[2] == [("REFUNDED", 4, CHANGED)]

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
        assert (row.key, row.order_key) == (f"{SALE_KEY}#2", SALE_KEY)
        assert row.order is not None
        assert (row.order.net, row.order.payments) == (0, 2)

    def test_equal_payments_have_keys_of_their_own(self):
        normalizer, book = make_normalizer(), Book()
        steps = ["10.00", "12.00", "10.00", "12.00", "10.00"]
        rows = [row for amount in steps for row in feed(normalizer, book, record("pending", amount))]
        keys = [row.key for row in rows if row.endpoint == "order_payments"]
        assert keys == [f"{SALE_KEY}#{number}" for number in (2, 3, 4, 5)]

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
    def test_a_pending_sale_is_an_order_without_payment_until_it_is_approved(self):
        steps = story(("pending", "10.00"), ("pending", "11.00"), ("approved", "12.00"), recognize="approved")
        assert steps == [[], [], [("APPROVED", 12, APPROVED_ON)]]

    def test_a_decline_before_approval_is_sent_once_with_the_last_amount(self):
        steps = story(("pending", "10.00"), ("declined", "11.00"), ("declined", "11.00"), recognize="approved")
        assert steps == [[], [("DECLINED", 11, CHANGED)], []]

    def test_a_decline_that_zeroes_the_amount_is_sent_with_the_orders_total(self):
        assert story(("pending", "10.00"), ("declined", "0.00"), recognize="approved")[1] == [("DECLINED", 10, CHANGED)]

    def test_an_approved_sale_that_turns_pending_again_stays_counted(self):
        steps = story(("approved", "10.00"), ("pending", "10.00"), ("pending", "9.00"), recognize="approved")
        assert steps[1:] == [[], [("PARTIALLY REFUNDED", 1, CHANGED)]]

    def test_a_declined_sale_that_turns_pending_waits_for_its_approval(self):
        normalizer, book = make_normalizer(recognize="approved"), Book()
        for status in ("approved", "declined", "pending"):
            made = feed(normalizer, book, record(status, "10.00"))
        assert made == []
        assert bodies(feed(normalizer, book, record("approved", "10.00")), "orders")[0]["SourceID"] == "wct-7-T1-r2"


class TestReinstatement:
    def test_a_sale_reinstated_after_its_decline_was_sent_is_a_new_order(self):
        normalizer, book = make_normalizer(), Book()
        for status in ("approved", "declined"):
            feed(normalizer, book, record(status, "10.00"))
        made = feed(normalizer, book, record("approved", "11.00"))
        (order,) = bodies(made, "orders")
        assert order["SourceID"] == order["OrderItems"][0]["OrderItemID"] == "wct-7-T1-r2"
        assert order["OrderTotal"] == 11
        assert order["OrderPayments"] == [{"PaymentDate": APPROVED_ON, "Amount": 11, "Status": "APPROVED"}]
        assert [row.order_key for row in made] == [SALE_KEY]
        assert made[0].key == f"{SALE_KEY}-r2"
        assert book.states[SALE_KEY].revision == 2
        assert normalizer.reinstated == 1

    def test_payments_of_the_new_order_name_it_and_have_keys_of_their_own(self):
        normalizer, book = make_normalizer(), Book()
        steps = ["approved", "declined", "approved", "declined", "approved"]
        rows = [row for status in steps for row in feed(normalizer, book, record(status, "10.00"))]
        assert [order["SourceID"] for order in bodies(rows, "orders")] == ["wct-7-T1", "wct-7-T1-r2", "wct-7-T1-r3"]
        assert [payment["OrderID"] for payment in bodies(rows, "order_payments")] == ["wct-7-T1", "wct-7-T1-r2"]
        assert len({row.key for row in rows}) == len(rows)

    def test_a_reinstated_sale_can_be_skipped_and_counted(self):
        normalizer, book = make_normalizer(on_reinstatement="skip"), Book()
        for status in ("approved", "declined"):
            feed(normalizer, book, record(status, "10.00"))
        assert feed(normalizer, book, record("approved", "10.00")) == [Skip(REINSTATED, 0)]
        assert normalizer.reinstated == 0

    def test_a_sale_whose_decline_was_never_sent_is_not_reinstated(self):
        steps = story(("declined", "0.00"), ("approved", "10.00"))
        assert steps == [[], [("APPROVED", 10, APPROVED_ON)]]

    def test_a_reinstated_sale_needs_its_contact_again(self):
        normalizer, book = make_normalizer(), Book()
        for status in ("approved", "declined"):
            feed(normalizer, book, record(status, "10.00"))
        assert feed(normalizer, book, record("approved", "10.00", sub_ids=[])) == [Skip(NO_CONTACT, 0)]
        assert normalizer.reinstated == 0

    def test_a_later_state_has_the_greater_version_even_if_its_row_is_accepted_first(self):
        normalizer, book = make_normalizer(recognize="approved"), Book()
        made = feed(normalizer, book, *[record(status, "10.00") for status in ("approved", "declined", "approved")])
        versions = [row.order.version for row in made if isinstance(row, Row) and row.order]
        assert versions == sorted(versions)
        assert len(set(versions)) == len(versions)


class TestCurrency:
    def test_a_change_of_currency_is_rejected_and_moves_no_money(self):
        normalizer, book = make_normalizer(), Book()
        feed(normalizer, book, record("approved", "10.00"))
        (reject,) = feed(normalizer, book, record("approved", "9.00", currency_id="EUR"))
        assert isinstance(reject, Reject)
        assert (reject.field, "another currency" in reject.reason) == ("OrderCurrency", True)


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
    def test_what_wicked_counts_is_always_what_is_due(self, steps, recognize, in_one_call):
        repeated = [record(status, amount) for status, amount, times in steps for _ in range(times)]
        normalizer, book = make_normalizer(recognize=recognize), Book()
        if in_one_call:
            rows = feed(normalizer, book, *repeated)
            self.check(book, steps, recognize)
        else:
            rows = []
            for status, amount, times in steps:
                before = book.states.get(SALE_KEY)
                made = feed(normalizer, book, record(status, amount))
                self.check(book, [(status, amount, 1)], recognize, before)
                assert [feed(normalizer, book, record(status, amount)) for _ in range(times - 1)] == [[]] * (times - 1)
                rows += made
        sent = payments(rows)
        assert all(Decimal(str(amount)) > 0 for _, amount, _ in sent)
        balance = {"APPROVED": 1, "REFUNDED": -1, "PARTIALLY REFUNDED": -1, "DECLINED": 0}
        total = sum(balance[status] * Decimal(str(amount)) for status, amount, _ in sent)
        assert total == book.states[SALE_KEY].net
        keys = [row.key for row in rows if row.endpoint in ("orders", "order_payments")]
        assert len(set(keys)) == len(keys)

    @staticmethod
    def check(book: Book, steps: list[Any], recognize: str, before: OrderState | None = None) -> None:
        state = book.states[SALE_KEY]
        status, amount, _ = steps[-1]
        cents = (Decimal(amount) * 100 + Decimal("0.5")).to_integral_value(rounding="ROUND_FLOOR") / 100
        due = {"declined": Decimal(0), "approved": cents, "pending": cents}[status]
        if status == "pending" and recognize == "approved":
            assert state.net in ((cents, Decimal(0)) if before is None else (cents if before.net else Decimal(0),))
        else:
            assert state.net == due
        assert state.net >= 0

    @given(steps, st.sampled_from(["pending", "approved"]))
    def test_the_rows_do_not_depend_on_how_often_a_record_is_read_or_how_calls_are_cut(self, steps, recognize):
        once = [record(status, amount) for status, amount, _ in steps]
        often = [record(status, amount) for status, amount, times in steps for _ in range(times)]
        normalizer, book = make_normalizer(recognize=recognize), Book()
        one_by_one = [row for data in once for row in feed(normalizer, book, data)]
        together = feed(make_normalizer(recognize=recognize), Book(), *often)
        assert [(row.key, row.body) for row in together] == [(row.key, row.body) for row in one_by_one]

    @given(steps)
    def test_skipping_reinstated_sales_never_counts_a_lost_sale_again(self, steps):
        normalizer, book = make_normalizer(on_reinstatement="skip"), Book()
        lost = False
        for status, amount, _ in steps:
            rows = feed(normalizer, book, record(status, amount))
            if lost:
                assert payments(rows) == []
                assert book.states[SALE_KEY].net == 0
            lost = book.states[SALE_KEY].status in ("REFUNDED", "DECLINED")


def test_contact_rules_may_be_given_as_their_two_texts():
    mapping = WecantrackMapping(contact_rules=[{"field": BY_USER.field, "pattern": BY_USER.pattern}])
    made = feed(WecantrackNormalizer(mapping), Book(), transaction())
    assert bodies(made, "orders")[0]["ContactID"] == "U42"
