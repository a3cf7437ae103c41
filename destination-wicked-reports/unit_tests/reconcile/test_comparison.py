"""Results of a comparison: equal, not yet processed, different, unknown; and how they are reported."""

from __future__ import annotations

from datetime import date, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from destination_wicked_reports.reconcile import chart
from destination_wicked_reports.reconcile.comparison import UNDATED, compare
from destination_wicked_reports.reconcile.expected import Expected
from destination_wicked_reports.reconcile.orders import (
    PaymentTotals,
    ReportedOrder,
    SentOrder,
    Step,
    display_id,
    to_cents,
)
from destination_wicked_reports.reconcile.report import html, text
from destination_wicked_reports.reconcile.reported import ReportedOrders

READ = 1_780_300_800
DAY = 86_400
OLD, LATE = READ - 10 * DAY, READ - 3600
WHEN = "2026-05-20 23:30:00"
NAME = ("shop", "1")


def totals(approved="10", refunded="0", number=1, status="PARTIALLY REFUNDED"):
    paid = PaymentTotals().plus("APPROVED", approved).plus(status, refunded)
    kept = tuple((name, amount) for name, amount in paid.amounts if amount)
    return PaymentTotals(kept, number)


def sent(*steps, at=OLD, total="10", currency="EUR", day=WHEN):
    return SentOrder(
        at, None if total is None else to_cents(total), currency, day, list(steps or [Step(OLD, totals())])
    )


def reported(payments=None, total="10", currency="EUR", day=WHEN):
    return ReportedOrder(to_cents(total), currency, day, payments or totals())


def compared(sent_orders, reported_orders, *, zone=timezone.utc, first=None, last=None, systems=("shop",)):
    expected = Expected(sent_orders, set(systems))
    return compare(
        expected, ReportedOrders(reported_orders, READ), grace_seconds=DAY, zone=zone, first=first, last=last
    )


def found(comparison):
    return [(d.field, d.sent, d.reported, d.waits) for d in comparison.differences]


# -- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "code", "waits"), [(OLD, 1, False), (LATE, 2, True)])
def test_a_missing_order_waits_only_until_wicked_should_have_processed_it(at, code, waits):
    result = compared({NAME: sent(at=at)}, {})
    assert (result.code, found(result)) == (code, [("order", "10.00 EUR", "-", waits)])


@pytest.mark.parametrize(("at", "code"), [(OLD + 1, 1), (LATE, 0)])
def test_a_refund_waits_only_until_wicked_should_have_processed_it(at, code):
    steps = Step(OLD, totals()), Step(at, totals(refunded="4", number=2))
    result = compared({NAME: sent(*steps)}, {NAME: [reported()]})
    assert (result.code, found(result)) == (code, [("refunded", "4.00", "0.00", code == 0)])


def test_an_order_reported_in_a_state_that_was_never_sent_does_not_wait():
    steps = Step(OLD, totals()), Step(LATE, totals(refunded="4", number=2))
    assert compared({NAME: sent(*steps)}, {NAME: [reported(totals("20"))]}).code == 1


def test_an_earlier_state_waits_only_for_rows_that_were_sent_recently():
    steps = Step(OLD, totals()), Step(OLD + 5, totals("12", number=2)), Step(LATE, totals("15", number=3))
    assert compared({NAME: sent(*steps)}, {NAME: [reported(totals("12", number=2))]}).code == 0
    assert compared({NAME: sent(*steps)}, {NAME: [reported()]}).code == 1


# -- days and systems -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("zone", "day"), [("UTC", "2026-05-20"), ("Europe/Berlin", "2026-05-21")])
def test_an_order_belongs_to_its_day_in_the_requested_zone(zone, day):
    (only,) = compared({NAME: sent()}, {NAME: [reported()]}, zone=ZoneInfo(zone)).days
    assert (only.day, only.verdict) == (day, "equal")


def test_sent_and_reported_orders_outside_the_requested_days_are_left_out():
    found_orders = {NAME: [reported()], ("shop", "9"): [reported(day="2026-05-01 00:00:00")]}
    result = compared({NAME: sent()}, found_orders, first=date(2026, 5, 21), last=date(2026, 5, 31))
    assert (result.code, result.days, result.verdict) == (0, [], "Nothing to compare: no order on either side.")


def test_an_undated_order_that_wicked_does_not_report_is_never_left_out():
    result = compared({NAME: sent(day="")}, {}, first=date(2026, 5, 21))
    assert [difference.day for difference in result.differences] == [UNDATED]


@pytest.mark.parametrize("system", ["", "unknown"])
def test_an_order_reported_without_a_system_is_matched_by_its_source_id(system):
    assert compared({NAME: sent()}, {(system, "1"): [reported()]}).code == 0
    twice = {NAME: sent(), ("other", "1"): sent()}
    assert compared(twice, {(system, "1"): [reported()]}, systems=("shop", "other")).code == 1


def test_only_orders_of_systems_that_were_sent_count_as_never_sent():
    result = compared({NAME: sent()}, {NAME: [reported()], ("stripe", "1"): [reported()], ("shop", "2"): [reported()]})
    assert (found(result), result.foreign_orders) == ([("order", "-", "10.00 EUR", False)], {"stripe": 1})


def test_an_order_reported_in_another_currency_differs_in_both_currencies():
    result = compared({NAME: sent()}, {NAME: [reported(currency="USD")]})
    assert [(day.currency, day.verdict) for day in result.days] == [("EUR", "differs"), ("USD", "differs")]


def test_an_order_sent_without_a_currency_takes_the_reported_one():
    (day,) = compared({NAME: sent(currency="")}, {NAME: [reported(currency="USD")]}).days
    assert (day.currency, day.verdict) == ("USD", "equal")


# -- unknown amounts -------------------------------------------------------------------------------------------------


def test_unknown_amounts_are_neither_equal_nor_different():
    result = compared({NAME: sent(total=None, day="")}, {NAME: [reported()]})
    assert (result.code, result.days[0].verdict) == (2, "unknown")
    assert any("?" in line for line in text(result))


def test_a_status_that_moves_no_money_only_adds_to_the_number_of_payments():
    payments = (
        PaymentTotals()
        .plus("Approved", "10")
        .plus("VOIDED", 3)
        .plus("partially refunded", Decimal("2.005"))
        .plus("", 1)
    )
    assert (payments.approved, payments.refunded, payments.number) == (to_cents("11"), to_cents("2.01"), 4)
    assert str(payments) == "no status 1.00, APPROVED 10.00, PARTIALLY REFUNDED 2.01, VOIDED 3.00"


# -- both nets --------------------------------------------------------------------------------------------------------


def paid(*payments):
    found = PaymentTotals()
    for status, amount in payments:
        found = found.plus(status, amount)
    return found


@pytest.mark.parametrize(
    ("payments", "by_orders", "by_payments"),
    [
        ((), "10", "0"),
        ((("APPROVED", "10"),), "10", "10"),
        ((("approved", "2.50"),), "10", "2.50"),
        ((("APPROVED", "10"), ("APPROVED", "10")), "10", "20"),
        ((("APPROVED", "10"), ("PARTIALLY REFUNDED", "4")), "6", "6"),
        ((("APPROVED", "10"), ("PARTIALLY REFUNDED", "4"), ("Refunded", "6")), "0", "0"),
        ((("APPROVED", "10"), ("REFUNDED", "4")), "0", "6"),
        ((("APPROVED", "10"), ("DECLINED", "10")), "0", "10"),
        ((("APPROVED", "10"), ("Chargeback", "10")), "0", "10"),
        ((("VOIDED", "10"),), "0", "0"),
        ((("PENDING", "10"),), "10", "0"),
    ],
)
def test_net_is_counted_by_orders_and_by_payments(payments, by_orders, by_payments):
    """docs/vendors/wicked-reports.md 10.1."""
    (day,) = compared({NAME: sent(Step(OLD, paid(*payments)))}, {NAME: [reported(paid(*payments))]}).days
    for sums in (day.sent, day.reported):
        assert (sums.net_by_orders, sums.net_by_payments) == (to_cents(by_orders), to_cents(by_payments))
    assert day.verdict == "equal"


def test_orders_with_equal_nets_are_said_to_be_equal():
    result = compared({NAME: sent()}, {NAME: [reported()]})
    assert result.ambiguous_orders == []
    assert "Both nets of what Wicked Reports reports are equal, order by order." in list(text(result))


def test_the_report_says_by_how_much_and_why_the_nets_differ():
    failed, deposit = paid(("APPROVED", "10"), ("FAILED", "10")), paid(("APPROVED", "2.50"))
    found_orders = {
        NAME: [reported(failed)],
        ("shop", "2"): [reported(deposit, total="1000.00")],
        ("shop", "3"): [reported()],
    }
    result = compared({NAME: sent()}, found_orders)
    assert result.code == 1
    lines, page = list(text(result)), html(result)
    assert any(
        line.startswith(
            "Net of what Wicked Reports reports is 987.50 EUR more by orders than by payments: 2 orders count"
        )
        for line in lines
    )
    (head,) = [place for place, line in enumerate(lines) if line.endswith("payments at Wicked")]
    assert [line.split() for line in lines[head + 1 : head + 3]] == [
        ["2026-05-20", "shop/1", "EUR", "0.00", "10.00", "-10.00", "APPROVED", "10.00,", "FAILED", "10.00"],
        ["2026-05-20", "shop/2", "EUR", "1,000.00", "2.50", "+997.50", "APPROVED", "2.50"],
    ]
    for word in ("Orders with different nets", "+997.50", "APPROVED 10.00, FAILED 10.00"):
        assert word in page


def test_statuses_that_move_the_same_money_but_count_differently_are_a_difference():
    result = compared(
        {NAME: sent(Step(OLD, totals(refunded="4", number=2)))},
        {NAME: [reported(totals(refunded="4", number=2, status="REFUNDED"))]},
    )
    assert found(result) == [
        (
            "payments",
            "APPROVED 10.00, PARTIALLY REFUNDED 4.00",
            "APPROVED 10.00, REFUNDED 4.00",
            False,
        )
    ]


def test_the_terminal_shows_a_limited_number_of_ambiguous_orders_and_the_page_all():
    many = {("shop", f"o{number:03}"): [reported(paid())] for number in range(20)}
    result = compared({name: sent(Step(OLD, paid())) for name in many}, many)
    lines = list(text(result, 5))
    assert (result.code, sum("shop/o" in line for line in lines)) == (0, 5)
    assert "... and 15 more: --rows 0 lists all, as does --html." in lines
    assert html(result).count("shop/o") == 20


# -- the report ------------------------------------------------------------------------------------------------------


def test_an_order_id_that_is_an_address_is_not_reported():
    result = compared({("shop", "somebody@example.org"): sent()}, {})
    page = html(result) + "\n".join(text(result))
    assert "somebody" not in page
    assert display_id(("shop", "somebody@example.org")) in page


def test_values_are_escaped_in_the_page():
    page = html(compared({("shop", "<script>1</script>"): sent()}, {}))
    assert "<script>" not in page
    assert "shop/&lt;script&gt;1&lt;/script&gt;" in page


def test_the_terminal_shows_a_limited_number_of_rows_and_the_page_all():
    many = {("shop", f"o{number:03}"): sent() for number in range(120)}
    result = compared(many, {})
    lines = list(text(result, 100))
    assert sum("shop/o" in line for line in lines) == 100
    assert "... and 20 more: --rows 0 lists all, as does --html." in lines
    assert html(result).count("shop/o") == 120


def test_the_chart_has_a_bar_for_the_reported_and_a_line_for_the_sent_amount():
    result = compared({NAME: sent()}, {NAME: [reported(totals(refunded="5"))]})
    (drawn,) = chart.charts(result)
    (bar,) = drawn.bars
    assert (bar.verdict, drawn.currency, drawn.unit) == ("differs", "EUR", "day")
    assert bar.y + bar.height == drawn.zero
    assert bar.sent_y == pytest.approx(drawn.zero - 2 * bar.height, abs=0.2)
    assert "sent 10.00 EUR, Wicked Reports 5.00 EUR" in bar.text


def test_a_negative_net_is_drawn_below_the_zero_line():
    loss = totals("0", "30", 1)
    (drawn,) = chart.charts(compared({NAME: sent(Step(OLD, loss))}, {NAME: [reported(loss)]}))
    (bar,) = drawn.bars
    assert bar.y == drawn.zero
    assert bar.height > 0
    assert bar.y + bar.height <= chart.HEIGHT - chart.BOTTOM


def test_a_long_period_is_drawn_by_month_and_days_without_orders_are_gaps():
    def on(*days):
        orders = {("shop", day): sent(day=f"{day} 00:00:00") for day in days}
        (drawn,) = chart.charts(compared(orders, {name: [reported(day=order.date)] for name, order in orders.items()}))
        return drawn

    short, long = on("2026-01-01", "2026-01-11"), on("2026-01-01", "2026-01-02", "2026-12-31")
    assert (short.unit, len(short.bars)) == ("day", 2)
    assert short.bars[1].x - short.bars[0].x > 9 * short.bars[0].width
    assert (long.unit, [bar.text[:7] for bar in long.bars]) == ("month", ["2026-01", "2026-12"])
