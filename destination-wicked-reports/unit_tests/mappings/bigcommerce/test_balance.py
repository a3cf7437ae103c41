"""Payments and refunds from BigCommerce's transactions and orders: each sent once, never negative."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from builders.bigcommerce import EDIT_TIME, EDITED, Shop, bodies, line, order, paid, reasons, transaction
from destination_wicked_reports.mappings.bigcommerce.order import OUTDATED
from destination_wicked_reports.mappings.bigcommerce.records import FAILED_REFUND, NO_MONEY_MOVED, TEST_TRANSACTION
from destination_wicked_reports.model import Reject
from hypothesis import given, settings
from hypothesis import strategies as st

UNPAID = {"payment_status": "", "status_id": 7}


def refund(number: int, amount: float, **changes):
    return transaction(number, "refund", amount, **changes)


# -- transactions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["purchase", "capture", "settled"])
def test_money_that_came_in_is_approved(event):
    assert paid(Shop()(order(), transaction(1, event))) == [("APPROVED", 100)]


@pytest.mark.parametrize("changes", [{"event": "authorization"}, {"event": "pending"}, {"status": "pending"}])
def test_what_moved_no_money_yet_is_skipped_and_counted(changes):
    made = Shop()(order(**UNPAID), transaction(1, **changes))
    assert reasons(made) == [NO_MONEY_MOVED]
    assert paid(made) == []


def test_what_was_pending_is_sent_once_it_has_settled():
    shop = Shop()
    shop(order(**UNPAID), transaction(1, status="pending"))
    assert paid(shop(transaction(1))) == [("APPROVED", 100)]


def test_a_settlement_of_a_purchase_is_the_same_money():
    made = Shop()(order(), transaction(1), transaction(2, "settled", reference_transaction_id=1))
    assert paid(made) == [("APPROVED", 100)]


@pytest.mark.parametrize(("status", "expected"), [("error", "FAILED"), ("declined", "DECLINED")])
def test_a_failed_attempt_is_sent_and_moves_no_money(status, expected):
    shop = Shop()
    made = shop(order(), transaction(1, status=status), transaction(2))
    assert paid(made) == [(expected, 100), ("APPROVED", 100)]
    assert shop.net() == 100


@pytest.mark.parametrize("event", ["refund", "void"])
def test_a_return_that_failed_takes_nothing_back(event):
    made = Shop()(order(), transaction(1), transaction(2, event, status="error"))
    assert reasons(made) == [FAILED_REFUND]
    assert paid(made) == [("APPROVED", 100)]


@pytest.mark.parametrize("yes", [True, "true", 1])
def test_a_test_transaction_is_skipped_and_counted_and_the_order_is_not_believed_to_be_paid(yes):
    shop = Shop()
    made = shop(order(), transaction(1, test=yes))
    assert reasons(made) == [TEST_TRANSACTION]
    assert paid(made) == []
    assert shop(order(**EDITED), transaction(1, test=yes))[:-1] == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event": "mystery"}, "Status"),
        ({"status": "mystery"}, "Status"),
        ({"amount": None}, "Amount"),
        ({"amount": "many"}, "Amount"),
        ({"date_created": "soon"}, "PaymentDate"),
        ({"order_id": None}, "OrderID"),
        ({"id": 1.5}, "SourceID"),
        ({"currency": "Dollars"}, "OrderCurrency"),
    ],
)
def test_a_transaction_that_cannot_be_read_is_a_dead_letter_and_leaves_the_order_alone(changes, field):
    made = Shop()(order(**UNPAID), transaction(1, **changes))
    (letter,) = [one for one in made if isinstance(one, Reject)]
    assert (letter.endpoint, letter.stream, letter.field) == ("order_payments", "transactions", field)
    assert len(bodies(made, "orders")) == 1


def test_two_equal_purchases_are_two_payments():
    assert paid(Shop()(order(), transaction(1, amount=50.0), transaction(2, amount=50.0))) == [("APPROVED", 50)] * 2


# -- refunds and voids ------------------------------------------------------------------------------------------------


def test_a_whole_refund_in_a_later_run_is_one_payment_dated_by_itself():
    shop = Shop()
    shop(order(), transaction(1))
    made = shop(
        order(refunded_amount="100.0000", payment_status="refunded", **EDITED), transaction(1), refund(2, 100.0)
    )
    assert bodies(made, "order_payments") == [
        {
            "SourceSystem": "BigCommerce",
            "OrderID": "100",
            "PaymentDate": "2024-05-14 10:02:00",
            "Amount": 100,
            "Status": "REFUNDED",
        }
    ]
    assert shop.net() == 0


def test_of_partial_refunds_the_one_that_leaves_nothing_is_the_whole_one():
    shop = Shop()
    shop(order(), transaction(1))
    assert paid(shop(refund(2, 40.0))) == [("PARTIALLY REFUNDED", 40)]
    assert paid(shop(refund(3, 60.0))) == [("REFUNDED", 60)]
    assert shop(transaction(1), refund(2, 40.0), refund(3, 60.0)) == []


@pytest.mark.parametrize("amount", [30.0, -30.0, "30.0000", "-30"])
def test_a_refund_is_positive_however_it_is_written(amount):
    assert paid(Shop()(order(), transaction(1), refund(2, amount))) == [("APPROVED", 100), ("PARTIALLY REFUNDED", 30)]


def test_a_purchase_voided_before_it_was_sent_is_sent_as_one_voided_payment():
    shop = Shop()
    void = transaction(2, "void", reference_transaction_id=1)
    assert paid(shop(order(), transaction(1), void)) == [("VOIDED", 100)]
    assert shop.net() == 0
    assert shop(order(**EDITED), transaction(1), void) == []


def test_a_void_of_a_purchase_that_was_sent_is_a_refund():
    shop = Shop()
    shop(order(), transaction(1))
    assert paid(shop(transaction(2, "void", reference_transaction_id=1))) == [("REFUNDED", 100)]
    assert shop() == []


def test_a_void_of_what_was_only_authorized_takes_nothing_back():
    shop = Shop()
    made = shop(
        order(payment_status="void"),
        transaction(1, "authorization"),
        transaction(2, "void", reference_transaction_id=1),
    )
    assert paid(made) == [("VOIDED", 100)]
    assert shop.net() == 0


def test_a_void_without_a_reference_refunds_what_was_paid():
    assert paid(Shop()(order(), transaction(1), transaction(2, "void"))) == [("APPROVED", 100), ("REFUNDED", 100)]


# -- what the order itself reports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("payment_status", ["captured", "paid", "Captured", "partially refunded"])
def test_without_transactions_a_paid_order_has_one_payment_of_its_date(payment_status):
    (row,) = bodies(Shop()(order(payment_status=payment_status)), "orders")
    assert row["OrderPayments"] == [{"PaymentDate": "2024-05-14 10:00:00", "Amount": 100, "Status": "APPROVED"}]


@pytest.mark.parametrize(
    "payment_status", ["authorized", "capture pending", "held for review", "pending", "void pending"]
)
def test_without_transactions_an_unpaid_order_has_no_payment(payment_status):
    assert paid(Shop()(order(payment_status=payment_status))) == []


@pytest.mark.parametrize(("status_id", "is_paid"), [(7, False), (1, False), (5, False), (2, True), (10, True)])
def test_without_a_gateway_the_status_decides_whether_an_order_is_paid(status_id, is_paid):
    assert bool(paid(Shop()(order(payment_status="", status_id=status_id)))) is is_paid


@pytest.mark.parametrize(("payment_status", "expected"), [("declined", "DECLINED"), ("void", "VOIDED")])
def test_without_transactions_a_lost_order_is_sent_once(payment_status, expected):
    shop = Shop()
    assert paid(shop(order(payment_status=payment_status))) == [(expected, 100)]
    assert shop(order(payment_status=payment_status, **EDITED)) == []


def test_an_order_paid_later_is_paid_when_it_changed():
    shop = Shop()
    shop(order(**UNPAID))
    (payment,) = bodies(shop(order(**EDITED)), "order_payments")
    assert (payment["Status"], payment["Amount"], payment["PaymentDate"]) == ("APPROVED", 100, EDIT_TIME)


def test_without_transactions_refunds_are_the_difference_of_the_refunded_amount():
    shop = Shop()
    shop(order())
    assert paid(shop(order(refunded_amount="30.0000", **EDITED))) == [("PARTIALLY REFUNDED", 30)]
    later = {"date_modified": "2024-06-02T09:00:00+00:00"}
    assert paid(shop(order(refunded_amount="100.0000", **later))) == [("REFUNDED", 70)]


def test_an_order_refunded_without_an_amount_is_refunded_in_full():
    assert paid(Shop()(order(payment_status="refunded"))) == [("APPROVED", 100), ("REFUNDED", 100)]


def test_a_refund_that_no_transaction_tells_is_taken_from_the_order():
    shop = Shop()
    shop(order(), transaction(1))
    assert paid(shop(order(refunded_amount="25.0000", **EDITED), transaction(1))) == [("PARTIALLY REFUNDED", 25)]


def test_transactions_read_after_the_order_reported_them_are_not_sent_again():
    shop = Shop()
    shop(order(refunded_amount="30.0000"))
    assert shop(transaction(1), refund(2, 30.0)) == []
    assert paid(shop(refund(3, 70.0))) == [("REFUNDED", 70)]
    assert shop() == []


def test_a_refund_without_a_purchase_reduces_what_the_order_reports_as_paid():
    made = Shop()(order(refunded_amount="30.0000"), refund(2, 30.0))
    assert paid(made) == [("APPROVED", 100), ("PARTIALLY REFUNDED", 30)]


# -- edits ------------------------------------------------------------------------------------------------------------


def test_a_raised_total_is_a_payment_of_the_difference_dated_by_the_edit():
    shop = Shop()
    shop(order(), transaction(1))
    (payment,) = bodies(shop(order(total="120.0000", **EDITED), transaction(1)), "order_payments")
    assert (payment["Status"], payment["Amount"], payment["PaymentDate"]) == ("APPROVED", 20, EDIT_TIME)
    assert shop(transaction(2, amount=20.0)) == []
    assert shop.net() == 120


def test_a_raised_total_whose_payment_was_read_is_that_payment_alone():
    shop = Shop()
    shop(order(), transaction(1))
    assert paid(shop(order(total="120.0000", **EDITED), transaction(2, amount=20.0))) == [("APPROVED", 20)]


def test_a_lowered_total_takes_the_difference_back_once():
    shop = Shop()
    shop(order(), transaction(1))
    lowered = order(total="80.0000", refunded_amount="20.0000", **EDITED)
    assert paid(shop(lowered, transaction(1))) == [("PARTIALLY REFUNDED", 20)]
    assert shop(lowered, transaction(1), refund(2, 20.0)) == []
    assert paid(shop(refund(3, 50.0))) == [("PARTIALLY REFUNDED", 50)]
    assert shop.net() == 30


def test_what_was_edited_before_the_first_sync_counts_as_if_it_had_been_edited_after_it():
    assert paid(Shop()(order(total="120.0000"), transaction(1))) == [("APPROVED", 100), ("APPROVED", 20)]
    assert paid(Shop()(order(total="80.0000"), transaction(1))) == [("APPROVED", 100), ("PARTIALLY REFUNDED", 20)]


def test_a_total_that_is_not_paid_yet_is_not_made_up_for():
    assert paid(Shop()(order(**UNPAID), transaction(1, amount=60.0))) == [("APPROVED", 60)]


def test_a_purchase_that_was_charged_twice_counts_once():
    shop = Shop()
    shop(order(), transaction(1), transaction(2))
    assert shop.net() == 100
    assert shop(refund(3, 100.0)) == []


# -- currencies -------------------------------------------------------------------------------------------------------

IN_EURO = {
    "currency_code": "EUR",
    "default_currency_code": "EUR",
    "store_default_currency_code": "USD",
    "store_default_to_transactional_exchange_rate": "0.8000000000",
}


def test_an_order_is_sent_in_the_currency_it_was_paid_in():
    (row,) = bodies(Shop()(order(**IN_EURO), transaction(1, currency="EUR")), "orders")
    assert (row["OrderCurrency"], row["OrderTotal"]) == ("EUR", 100)


def test_what_the_shopper_only_saw_is_not_the_currency_of_the_order():
    (row,) = bodies(Shop()(order(currency_code="EUR", currency_exchange_rate="0.8")), "orders")
    assert row["OrderCurrency"] == "USD"


def test_on_request_everything_is_in_the_currency_of_the_store():
    shop = Shop(currency="store")
    made = shop(order(**IN_EURO), line(), transaction(1, currency="EUR"), refund(2, 40.0, currency="EUR"))
    (row,) = bodies(made, "orders")
    assert (row["OrderCurrency"], row["OrderTotal"]) == ("USD", 125)
    assert row["OrderItems"][0]["PPU"] == 62.5
    assert paid(made) == [("APPROVED", 125), ("PARTIALLY REFUNDED", 50)]


def test_payments_that_are_converted_add_up_to_the_total():
    rate = {**IN_EURO, "store_default_to_transactional_exchange_rate": "3.0000000000"}
    shop = Shop(currency="store")
    three = [transaction(n, amount=amount, currency="EUR") for n, amount in ((1, 33.33), (2, 33.33), (3, 33.34))]
    shop(order(**rate), *three)
    assert shop.net() == Decimal("33.33")
    assert paid(shop(refund(4, 100.0, currency="EUR"))) == [("REFUNDED", 33.33)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({**IN_EURO, "store_default_to_transactional_exchange_rate": None}, "OrderTotal"),
        ({**IN_EURO, "store_default_currency_code": None}, "OrderCurrency"),
    ],
)
def test_an_order_that_cannot_be_converted_is_a_dead_letter(changes, field):
    changes = {**changes, "currency_exchange_rate": None}
    (letter,) = Shop(currency="store")(order(**changes))
    assert (letter.endpoint, letter.field) == ("orders", field)


def test_a_transaction_in_another_currency_than_its_order_is_a_dead_letter_once():
    shop = Shop()
    made = shop(order(**UNPAID), transaction(1, currency="CAD"))
    (letter,) = [one for one in made if isinstance(one, Reject)]
    assert (letter.endpoint, letter.field) == ("order_payments", "Currency")
    assert paid(made) == []
    assert shop(order(**UNPAID), transaction(1, currency="CAD")) == []


# -- whatever comes, in whatever order --------------------------------------------------------------------------------

STORY = [transaction(1), refund(2, 30.0), transaction(3, amount=10.0), refund(4, 25.0)]


def test_whatever_the_order_of_transactions_over_runs_wicked_counts_the_same():
    ledger = Shop().ledger
    for number, expected in enumerate(itertools.permutations(STORY)):
        shop = Shop(source_system=f"Shop{number:02}")
        shop.ledger = ledger
        for one in (order(**UNPAID), *expected, order(refunded_amount="55.0000", **EDITED)):
            shop(one)
        state = ledger.orders([f"Shop{number:02}\x1f100"])[f"Shop{number:02}\x1f100"]
        assert state.net == 55


@settings(max_examples=30, deadline=None)
@given(
    refunds=st.lists(st.integers(1, 4000), max_size=4),
    cuts=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    seed=st.randoms(use_true_random=False),
)
def test_wicked_counts_what_was_paid_less_what_was_given_back(refunds, cuts, seed):
    given_back, kept = [], 10_000
    for amount in refunds:
        if amount < kept:
            kept -= amount
            given_back.append(amount)
    total = f"{sum(given_back) / 100:.4f}"
    records = [order(), transaction(1), *(refund(n, a / 100) for n, a in enumerate(given_back, 2))]
    records.append(order(refunded_amount=total, **EDITED))
    records += seed.sample(records, len(records) // 2)  # what is read again
    seed.shuffle(records)
    shop, start = Shop(), 0
    for cut in [*cuts, len(records)]:
        made = shop(*records[start : start + cut])
        assert all(amount > 0 for _, amount in paid(made))
        start += cut
    assert shop.net() == Decimal(kept) / 100
    assert shop(*records) == [] or set(reasons(shop(*records))) == {OUTDATED}
