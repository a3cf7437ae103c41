"""The rules of revenue: whatever a sale's life, both nets of its orders equal its value."""

from decimal import Decimal

import pytest
from destination_wicked_reports.mappings.revenue import (
    APPROVED,
    PARTIALLY_REFUNDED,
    REFUNDED,
    NewOrder,
    Refund,
    cents,
    order_name,
    plan,
)
from destination_wicked_reports.model import OpenOrder, SaleState
from hypothesis import given
from hypothesis import strategies as st

BEGUN = "2026-01-01 12:00:00"


class Wicked:
    """Orders and payments as they arrive, with net under both readings (docs/vendors/wicked-reports.md 10.1)."""

    def __init__(self):
        self.orders = {}
        self.payments = []

    def take(self, step):
        if isinstance(step, NewOrder):
            assert step.number not in self.orders
            self.orders[step.number] = (step.total, step.sale.currency)
            self.payments.append((step.number, APPROVED, step.total, step.paid_at))
        else:
            assert step.number in self.orders
            assert step.paid_at > max(when for number, _, _, when in self.payments if number == step.number)
            self.payments.append((step.number, step.status, step.amount, step.paid_at))

    def by_payments(self, currency):
        return sum(
            amount if status == APPROVED else -amount
            for number, status, amount, _ in self.payments
            if self.orders[number][1] == currency
        )

    def by_orders(self, currency):
        net = Decimal(0)
        for number, (total, named) in self.orders.items():
            back = [(status, amount) for other, status, amount, _ in self.payments if other == number][1:]
            if named == currency and REFUNDED not in [status for status, _ in back]:
                net += total - sum(amount for _, amount in back)
        return net


def live(*values, currency="USD"):
    wicked, sale = Wicked(), SaleState()
    for day, value in enumerate(values, 2):
        for step in plan(sale, Decimal(value), currency, BEGUN, f"2026-01-{day:02} 12:00:00"):
            wicked.take(step)
            sale = step.sale
    return wicked, sale


amounts = st.integers(0, 5000).map(lambda number: Decimal(number) / 100)


@given(st.lists(st.tuples(amounts, st.sampled_from(["USD", "EUR"])), max_size=12))
def test_both_nets_equal_the_value_in_every_currency_after_every_change(changes):
    wicked, sale = Wicked(), SaleState()
    for value, currency in changes:
        for step in plan(sale, value, currency, BEGUN, BEGUN):
            wicked.take(step)
            assert step.sale.version == sale.version + 1
            sale = step.sale
        for each in ("USD", "EUR"):
            expected = value if each == currency else 0
            assert wicked.by_orders(each) == wicked.by_payments(each) == expected
        assert sale.net == value
        assert not list(plan(sale, value, currency, BEGUN, BEGUN))


def test_a_rise_is_a_further_order_and_a_fall_comes_off_the_youngest_first():
    wicked, sale = live("19.99", "24.10", "12.05")
    assert wicked.orders == {1: (Decimal("19.99"), "USD"), 2: (Decimal("4.11"), "USD")}
    assert wicked.payments[2:] == [
        (2, REFUNDED, Decimal("4.11"), "2026-01-04 12:00:00"),
        (1, PARTIALLY_REFUNDED, Decimal("7.94"), "2026-01-04 12:00:00"),
    ]
    assert sale.open_orders == (OpenOrder(1, Decimal("19.99"), Decimal("7.94"), "2026-01-04 12:00:00"),)


def test_a_fall_within_the_rise_leaves_the_first_order_alone():
    wicked, _ = live("19.99", "24.10", "22.00")
    assert wicked.payments[-1] == (2, PARTIALLY_REFUNDED, Decimal("2.10"), "2026-01-04 12:00:00")


def test_the_last_refund_of_an_order_names_what_was_left():
    wicked, _ = live("20.00", "15.00", "0")
    assert wicked.payments[-1] == (1, REFUNDED, Decimal("15.00"), "2026-01-04 12:00:00")


def test_a_reinstated_sale_is_a_further_order_with_the_next_number():
    wicked, sale = live("10.00", "0", "10.00")
    assert wicked.orders == {1: (Decimal("10.00"), "USD"), 2: (Decimal("10.00"), "USD")}
    assert [order.number for order in sale.open_orders] == [2]


def test_the_first_payment_is_dated_by_the_sale_and_later_ones_by_the_change():
    wicked, _ = live("10.00", "12.00")
    assert [when for *_, when in wicked.payments] == [BEGUN, "2026-01-03 12:00:00"]


def test_a_refund_is_dated_a_second_after_the_latest_payment_of_its_order():
    sale = SaleState("USD", (OpenOrder(1, Decimal(10), paid_at="2026-03-31 23:59:59"),), 1, 1)
    steps = list(plan(sale, Decimal(4), "USD", BEGUN, BEGUN))
    assert [step.paid_at for step in steps] == ["2026-04-01 00:00:00"]


def test_a_changed_currency_refunds_what_is_left_before_the_further_order():
    sale = SaleState("USD", (OpenOrder(1, Decimal(10), Decimal(3), BEGUN),), 1, 2)
    steps = list(plan(sale, Decimal(8), "EUR", BEGUN, "2026-01-05 12:00:00"))
    assert [type(step) for step in steps] == [Refund, NewOrder]
    assert (steps[0].status, steps[0].amount, steps[0].sale.currency) == (REFUNDED, Decimal(7), "USD")
    assert (steps[1].number, steps[1].total, steps[1].sale.currency) == (2, Decimal(8), "EUR")


@pytest.mark.parametrize(("amount", "expected"), [("0.005", "0.01"), ("-0.005", "-0.01"), ("1.004", "1.00")])
def test_cents_are_rounded_half_away_from_zero(amount, expected):
    assert cents(Decimal(amount)) == Decimal(expected)


def test_orders_are_named_by_the_sale():
    assert [order_name("wct-7-T1", number) for number in (1, 2, 3)] == ["wct-7-T1", "wct-7-T1~2", "wct-7-T1~3"]
