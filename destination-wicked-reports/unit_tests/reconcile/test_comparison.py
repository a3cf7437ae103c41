"""What a comparison says: equal, not yet processed, different; by day; and how it looks."""

from __future__ import annotations

from datetime import date, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from destination_wicked_reports.reconcile import chart
from destination_wicked_reports.reconcile.comparison import UNDATED, compare
from destination_wicked_reports.reconcile.expected import Expected
from destination_wicked_reports.reconcile.orders import Paid, SentOrder, ShownOrder, Step, money, shown_name
from destination_wicked_reports.reconcile.report import html, text
from destination_wicked_reports.reconcile.reported import Shown

READ = 1_780_300_800
DAY = 86_400
OLD, LATE = READ - 10 * DAY, READ - 3600
WHEN = "2026-05-20 23:30:00"
NAME = ("shop", "1")


def paid(approved="10", refunded="0", number=1):
    return Paid(money(approved), money(refunded), number)


def sent(*steps, at=OLD, total="10", currency="EUR", day=WHEN):
    return SentOrder(at, None if total is None else money(total), currency, day, list(steps or [Step(OLD, paid())]))


def shown(payments=None, total="10", currency="EUR", day=WHEN):
    return ShownOrder(money(total), currency, day, payments or paid())


def compared(ours, theirs, *, zone=timezone.utc, first=None, last=None, systems=("shop",)):
    expected = Expected(ours, set(systems))
    return compare(expected, Shown(theirs, READ), grace_seconds=DAY, zone=zone, first=first, last=last)


def found(comparison):
    return [(d.field, d.ours, d.theirs, d.waits) for d in comparison.differences]


# -- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "code", "waits"), [(OLD, 1, False), (LATE, 2, True)])
def test_a_missing_order_waits_only_while_wicked_may_still_process_it(at, code, waits):
    result = compared({NAME: sent(at=at)}, {})
    assert (result.code, found(result)) == (code, [("order", "10.00 EUR", "-", waits)])


@pytest.mark.parametrize(("at", "code"), [(OLD + 1, 1), (LATE, 0)])
def test_a_refund_waits_only_while_wicked_may_still_process_it(at, code):
    steps = Step(OLD, paid()), Step(at, paid(refunded="4", number=2))
    result = compared({NAME: sent(*steps)}, {NAME: [shown()]})
    assert (result.code, found(result)) == (code, [("refunded", "4.00", "0.00", code == 0)])


def test_an_order_that_never_looked_like_this_does_not_wait():
    steps = Step(OLD, paid()), Step(LATE, paid(refunded="4", number=2))
    assert compared({NAME: sent(*steps)}, {NAME: [shown(paid("20"))]}).code == 1


def test_an_old_state_is_no_excuse_for_rows_that_were_sent_long_ago():
    steps = Step(OLD, paid()), Step(OLD + 5, paid("12", number=2)), Step(LATE, paid("15", number=3))
    assert compared({NAME: sent(*steps)}, {NAME: [shown(paid("12", number=2))]}).code == 0
    assert compared({NAME: sent(*steps)}, {NAME: [shown()]}).code == 1


# -- days and systems -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("zone", "day"), [("UTC", "2026-05-20"), ("Europe/Berlin", "2026-05-21")])
def test_an_order_belongs_to_the_day_of_the_zone_that_is_asked_for(zone, day):
    (only,) = compared({NAME: sent()}, {NAME: [shown()]}, zone=ZoneInfo(zone)).days
    assert (only.day, only.verdict) == (day, "equal")


def test_orders_outside_the_days_asked_for_are_left_out_on_both_sides():
    theirs = {NAME: [shown()], ("shop", "9"): [shown(day="2026-05-01 00:00:00")]}
    result = compared({NAME: sent()}, theirs, first=date(2026, 5, 21), last=date(2026, 5, 31))
    assert (result.code, result.days, result.verdict) == (0, [], "Nothing to compare: no order on either side.")


def test_an_order_without_a_date_that_wicked_lacks_is_never_left_out():
    result = compared({NAME: sent(day="")}, {}, first=date(2026, 5, 21))
    assert [difference.day for difference in result.differences] == [UNDATED]


@pytest.mark.parametrize("system", ["", "unknown"])
def test_an_order_whose_system_wicked_does_not_know_is_found_by_its_id(system):
    assert compared({NAME: sent()}, {(system, "1"): [shown()]}).code == 0
    twice = {NAME: sent(), ("other", "1"): sent()}
    assert compared(twice, {(system, "1"): [shown()]}, systems=("shop", "other")).code == 1


def test_only_systems_that_were_sent_from_here_can_have_an_order_too_many():
    result = compared({NAME: sent()}, {NAME: [shown()], ("stripe", "1"): [shown()], ("shop", "2"): [shown()]})
    assert (found(result), result.strangers) == ([("order", "-", "10.00 EUR", False)], {"stripe": 1})


def test_an_order_in_another_currency_differs_in_both_days():
    result = compared({NAME: sent()}, {NAME: [shown(currency="USD")]})
    assert [(day.currency, day.verdict) for day in result.days] == [("EUR", "differs"), ("USD", "differs")]


def test_an_order_sent_without_a_currency_takes_that_of_the_account():
    (day,) = compared({NAME: sent(currency="")}, {NAME: [shown(currency="USD")]}).days
    assert (day.currency, day.verdict) == ("USD", "equal")


# -- what is not known ------------------------------------------------------------------------------------------------


def test_amounts_that_nobody_remembers_are_neither_equal_nor_different():
    result = compared({NAME: sent(total=None, day="")}, {NAME: [shown()]})
    assert (result.code, result.days[0].verdict) == (2, "unknown")
    assert any("?" in line for line in text(result))


def test_an_unknown_number_of_payments_is_not_compared():
    assert compared({NAME: sent(Step(OLD, paid(number=None)))}, {NAME: [shown(paid(number=7))]}).code == 0


def test_a_status_that_moves_no_money_counts_as_a_payment_only():
    told = Paid().plus("Approved", "10").plus("VOIDED", 3).plus("partially refunded", Decimal("2.005")).plus("", 1)
    assert told == Paid(money("11"), money("2.01"), 4)


# -- how it looks -----------------------------------------------------------------------------------------------------


def test_an_order_id_that_is_an_address_is_not_shown():
    result = compared({("shop", "somebody@example.org"): sent()}, {})
    page = html(result) + "\n".join(text(result))
    assert "somebody" not in page
    assert shown_name(("shop", "somebody@example.org")) in page


def test_what_comes_from_outside_is_escaped_in_the_page():
    page = html(compared({("shop", "<script>1</script>"): sent()}, {}))
    assert "<script>" not in page
    assert "shop/&lt;script&gt;1&lt;/script&gt;" in page


def test_the_terminal_shows_so_many_rows_and_the_page_all():
    many = {("shop", f"o{number:03}"): sent() for number in range(120)}
    result = compared(many, {})
    lines = list(text(result, 100))
    assert sum("shop/o" in line for line in lines) == 100
    assert "... and 20 more: --rows 0 lists all, and so does --html." in lines
    assert html(result).count("shop/o") == 120


def test_the_chart_has_a_bar_for_what_is_shown_and_a_line_for_what_was_sent():
    result = compared({NAME: sent()}, {NAME: [shown(paid("5"))]})
    (drawn,) = chart.charts(result)
    (bar,) = drawn.bars
    assert (bar.verdict, drawn.currency, drawn.unit) == ("differs", "EUR", "day")
    assert bar.y + bar.height == drawn.zero
    assert bar.sent_y == pytest.approx(drawn.zero - 2 * bar.height, abs=0.2)
    assert "sent 10.00 EUR, Wicked Reports 5.00 EUR" in bar.text


def test_a_net_below_zero_is_drawn_below_the_line():
    loss = paid("0", "30", 1)
    (drawn,) = chart.charts(compared({NAME: sent(Step(OLD, loss))}, {NAME: [shown(loss)]}))
    (bar,) = drawn.bars
    assert bar.y == drawn.zero
    assert bar.height > 0
    assert bar.y + bar.height <= chart.HEIGHT - chart.BOTTOM


def test_a_long_time_is_drawn_by_month_and_days_without_orders_are_gaps():
    def on(*days):
        ours = {("shop", day): sent(day=f"{day} 00:00:00") for day in days}
        (drawn,) = chart.charts(compared(ours, {name: [shown(day=order.date)] for name, order in ours.items()}))
        return drawn

    short, long = on("2026-01-01", "2026-01-11"), on("2026-01-01", "2026-01-02", "2026-12-31")
    assert (short.unit, len(short.bars)) == ("day", 2)
    assert short.bars[1].x - short.bars[0].x > 9 * short.bars[0].width
    assert (long.unit, [bar.text[:7] for bar in long.bars]) == ("month", ["2026-01", "2026-12"])
