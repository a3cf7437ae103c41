"""Which payments in doubt Wicked reports: the decision, and what it takes from the ledger."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import orjson
import pytest
from builders.destination import make_row, sale
from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.ledger.in_doubt import RowInDoubt, rows_in_doubt
from destination_wicked_reports.ledger.ledger import ACCEPTED
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import IN_DOUBT, SalePayment
from destination_wicked_reports.reconcile.in_doubt import (
    AMBIGUOUS,
    MISSING,
    NO_DEAD_LETTER,
    NOT_REPORTED,
    ORDER_MISSING,
    ORDER_TWICE,
    OTHER_TIME,
    SHOWN,
    STATUS,
    TOO_FEW,
    TOO_RECENT,
    UNKNOWN,
    UNREADABLE,
    Doubt,
    Evidence,
    Payment,
    find_doubts,
    join_spans,
    judge,
    payments_of_doubts,
    read_evidence,
)
from destination_wicked_reports.reconcile.orders import PaymentTotals, ReportedOrder, ReportedPayment, to_cents
from destination_wicked_reports.reconcile.reported import OrderCollector, ReportedOrders

READ = 1_780_300_800
OLD, LATE = READ - 10 * 86_400, READ - 3600
ORDER = ("shop", "1")
DAY = "2026-05-20 23:30:00"
PARTIAL = "PARTIALLY REFUNDED"


def payment(status=PARTIAL, amount="5.00", when=DAY, order=ORDER):
    return Payment(order, status, Decimal(amount), when)


def reported(*listed, order=ORDER, times=1):
    """Return one order with these payments: status, amount, date."""
    payments = tuple(
        ReportedPayment(status, None if amount is None else to_cents(amount), when) for status, amount, when in listed
    )
    return ReportedOrders({order: [ReportedOrder(to_cents(10), "EUR", DAY, PaymentTotals(), payments)] * times}, READ)


PAID = ("APPROVED", "10.00", DAY)
REFUND = (PARTIAL, "5.00", DAY)


def verdicts(orders, *payments, evidence=None, digests=(b"same", b"same")):
    """Judge one row in doubt for each payment."""
    doubts = [
        Doubt(RowInDoubt(OLD, ORDER_PAYMENTS.name, f"k{number}", "refunds", digest), [{}], each)
        for number, (each, digest) in enumerate(zip(payments, digests, strict=False))
    ]
    found = {each: evidence or Evidence(latest=OLD) for each in payments}
    judge(list(zip(doubts, payments, strict=True)), orders, found, READ - 86_400)
    return [(doubt.verdict, doubt.why) for doubt in doubts]


# -- one payment ------------------------------------------------------------------------------------------------------


def test_a_payment_is_shown_or_missing_by_status_amount_and_date():
    assert verdicts(reported(PAID, REFUND), payment()) == [(SHOWN, "")]
    assert verdicts(reported(PAID), payment()) == [(MISSING, "")]
    for other in (("REFUNDED", "5.00", DAY), (PARTIAL, "5.01", DAY), (PARTIAL, "5.00", "2026-05-25 23:30:00")):
        assert verdicts(reported(PAID, other), payment()) == [(MISSING, "")]


def test_a_payment_of_an_order_that_is_not_reported_once_is_unknown():
    assert verdicts(ReportedOrders({}, READ), payment()) == [(UNKNOWN, ORDER_MISSING)]
    assert verdicts(reported(PAID, order=("other", "1")), payment()) == [(UNKNOWN, ORDER_MISSING)]
    assert verdicts(reported(PAID, times=2), payment()) == [(UNKNOWN, ORDER_TWICE)]


def test_an_order_without_a_source_system_is_found_by_its_id():
    assert verdicts(reported(REFUND, order=("unknown", "1")), payment()) == [(SHOWN, "")]


def test_a_recent_payment_may_be_shown_but_is_never_missing():
    recent = Evidence(latest=LATE)
    assert verdicts(reported(PAID), payment(), evidence=recent) == [(UNKNOWN, TOO_RECENT)]
    assert verdicts(reported(PAID, REFUND), payment(), evidence=recent) == [(SHOWN, "")]


def test_payments_that_cannot_be_read_leave_it_unknown():
    assert verdicts(reported(PAID, (PARTIAL, None, DAY)), payment()) == [(UNKNOWN, UNREADABLE)]


def test_a_status_that_the_outbound_api_does_not_document_is_never_missing():
    assert verdicts(reported(PAID), payment("CHARGEBACK")) == [(UNKNOWN, STATUS)]
    assert verdicts(reported(("CHARGEBACK", "5.00", DAY)), payment("CHARGEBACK")) == [(SHOWN, "")]


@pytest.mark.parametrize("when", ["2026-05-20 19:30:00", "2026-05-21 04:30:00", "2026-05-22 01:30:00", ""])
def test_a_payment_at_the_same_time_in_another_zone_is_neither_shown_nor_missing(when):
    assert verdicts(reported(PAID, (PARTIAL, "5.00", when)), payment()) == [(UNKNOWN, OTHER_TIME)]


# -- equal payments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_wicked", "found"),
    [(0, [MISSING, MISSING]), (1, [SHOWN, MISSING]), (2, [SHOWN, SHOWN]), (3, [SHOWN, SHOWN])],
)
def test_equal_payments_in_doubt_are_counted(at_wicked, found):
    orders = reported(PAID, *[REFUND] * at_wicked)
    assert [verdict for verdict, _ in verdicts(orders, payment(), payment())] == found


@pytest.mark.parametrize(
    ("at_wicked", "found"), [(0, (UNKNOWN, TOO_FEW)), (1, (MISSING, "")), (2, (SHOWN, "")), (3, (SHOWN, ""))]
)
def test_a_payment_equal_to_an_accepted_one_must_be_there_in_addition(at_wicked, found):
    accepted = Evidence(accepted=1, latest=OLD)
    assert verdicts(reported(PAID, *[REFUND] * at_wicked), payment(), evidence=accepted) == [found]


@pytest.mark.parametrize(("at_wicked", "found"), [(0, (MISSING, "")), (1, (UNKNOWN, AMBIGUOUS)), (2, (SHOWN, ""))])
def test_a_payment_equal_to_one_that_may_have_been_stored_is_ambiguous(at_wicked, found):
    possible = Evidence(possible=1, latest=OLD)
    assert verdicts(reported(PAID, *[REFUND] * at_wicked), payment(), evidence=possible) == [found]


def test_payments_that_differ_in_what_wicked_does_not_report_are_not_interchangeable():
    found = verdicts(reported(REFUND), payment(), payment(), digests=[b"with Currency", b"without"])
    assert found == [(UNKNOWN, AMBIGUOUS)] * 2


def test_an_order_without_its_accepted_payments_is_not_processed():
    assert verdicts(reported(), payment(), evidence=Evidence(order_payments=1, latest=OLD)) == [(UNKNOWN, TOO_FEW)]


def test_two_partial_refunds_of_one_day_are_told_apart_by_time_if_both_are_there():
    first, second = payment(), payment(when="2026-05-20 11:00:00")
    both = reported(PAID, REFUND, (PARTIAL, "5.00", second.date))
    assert verdicts(both, first, second) == [(SHOWN, "")] * 2
    assert verdicts(reported(PAID), first, second) == [(MISSING, "")] * 2
    assert verdicts(reported(PAID, REFUND), first, second) == [(SHOWN, ""), (UNKNOWN, OTHER_TIME)]


# -- what the ledger has ----------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(sqlite_ledger):
    return sqlite_ledger


@pytest.fixture
def dead_letters(tmp_path):
    opened = DeadLetterFile(tmp_path / "rejected_records.jsonl")
    yield opened
    opened.close()


def refund(number=2, **fields):
    """Return a refund of a sale whose row has this version."""
    row = make_row(
        ORDER_PAYMENTS.name,
        **{"OrderID": "1", "PaymentDate": DAY, "Amount": 5, "Status": PARTIAL, **fields},
        sale_key="shop\x1f1",
        sale=sale("10.00", number, ordered_at="2026-05-19 10:00:00"),
        payments=(SalePayment(1, PARTIAL, Decimal("5.00")),),
    )
    row.key = f"shop\x1f1#{number}"
    return row


def order(*refunds):
    """Return the order of the same sale, with its payment and these refunds nested."""
    payments = (SalePayment(1, "APPROVED", Decimal("10.00")), *(SalePayment(1, PARTIAL, each) for each in refunds))
    return make_row(sale_key="shop\x1f1", sale=sale("10.00"), payments=payments)


def record(ledger, *rows, status=ACCEPTED):
    batch = Batch(rows[0].endpoint, list(rows))
    ledger.begin(batch)
    ledger.commit(batch, list(rows), status)


def doubt(ledger, dead_letters, *rows):
    for row in rows:
        dead_letters.mark_in_doubt(row, "lost")
    record(ledger, *rows, status=IN_DOUBT)


def evidence(ledger, dead_letters):
    """Return the rows in doubt, and what the ledger has about them."""
    with ledger.connection.begin():
        doubts = find_doubts(rows_in_doubt(ledger.connection, "live"), dead_letters)
        found = read_evidence(ledger.connection, "live", list(payments_of_doubts(doubts)))
    return doubts, [(each.accepted, each.possible, each.order_payments) for each in found.values()]


def test_a_dead_letter_says_what_to_look_for_and_when_the_order_was(ledger, dead_letters):
    record(ledger, order())
    doubt(ledger, dead_letters, refund(Amount="5.00", Status="Partially Refunded"))
    ((found,), known) = evidence(ledger, dead_letters)
    assert found.payment == payment()
    assert found.ordered_at == "2026-05-19 10:00:00"
    assert known == [(0, 0, 1)]


def test_equal_accepted_payments_of_a_sale_and_those_nested_in_its_order_are_counted(ledger, dead_letters):
    record(ledger, order(Decimal("5.00"), Decimal("4.00")))
    record(ledger, refund(3))
    record(ledger, refund(4, PaymentDate="2026-05-25 10:00:00"))
    doubt(ledger, dead_letters, refund(5))
    _, known = evidence(ledger, dead_letters)
    assert known == [(1, 1, 5)], "three nested, and two that were accepted; the date of a nested one is not known"


def test_a_row_without_a_dead_letter_and_one_that_was_sent_again_may_have_been_stored(ledger, dead_letters):
    record(ledger, order())
    record(ledger, refund(2), status=IN_DOUBT)
    record(ledger, refund(3), status=IN_DOUBT)
    ledger.resend_in_doubt = True
    record(ledger, refund(3))
    doubt(ledger, dead_letters, refund(4))
    doubts, known = evidence(ledger, dead_letters)
    assert [each.why for each in doubts] == [NO_DEAD_LETTER, ""]
    assert known == [(1, 2, 2)]


def test_a_dismissed_row_may_have_been_stored(ledger, dead_letters):
    record(ledger, refund(2), refund(3), status=IN_DOUBT)
    ledger.dismiss({ORDER_PAYMENTS.name: [refund(2).key, refund(3).key]})
    ledger.resend_in_doubt = True
    record(ledger, refund(3))
    doubt(ledger, dead_letters, refund(4))
    _, known = evidence(ledger, dead_letters)
    assert known == [(1, 2, 1)], "one of them was sent again since, and accepted"


def test_a_row_that_is_in_doubt_for_the_second_time_is_one_row(ledger, dead_letters):
    doubt(ledger, dead_letters, refund(2))
    ledger.resend_in_doubt = True
    doubt(ledger, dead_letters, refund(2))
    (found,), known = evidence(ledger, dead_letters)
    assert len(found.letters) == 2
    assert known == [(0, 0, 0)]


def test_an_equal_payment_in_flight_may_have_been_stored(ledger, dead_letters):
    doubt(ledger, dead_letters, refund(2))
    ledger.begin(Batch(ORDER_PAYMENTS.name, [refund(3), refund(4, Amount=6)]))
    nested = {"OrderPayments": [{"PaymentDate": DAY, "Amount": 5, "Status": PARTIAL}]}
    ledger.begin(Batch("orders", [make_row(**nested)]))
    _, known = evidence(ledger, dead_letters)
    assert known == [(0, 2, 0)]


def test_clicks_and_lines_that_no_one_can_read_are_unknown(ledger, dead_letters):
    doubt(ledger, dead_letters, make_row("clicks", 1))
    doubt(ledger, dead_letters, make_row(ORDER_PAYMENTS.name, 2, OrderID="1", PaymentDate="May", Amount=5))
    dead_letters.close()
    with dead_letters.path.open("ab") as file:
        file.write(b'{"outcome": "in_doubt", "endpoint": "order_pay')  # a killed run
    doubts, _ = evidence(ledger, dead_letters)
    assert {each.row.endpoint: each.why for each in doubts} == {
        "clicks": NOT_REPORTED,
        ORDER_PAYMENTS.name: NO_DEAD_LETTER,
    }
    assert {each.verdict for each in doubts} == {UNKNOWN}


# -- what is read -----------------------------------------------------------------------------------------------------


def test_days_are_joined_where_a_gap_costs_no_request():
    days = [date(2026, 3, 1), date(2026, 3, 20), date(2026, 1, 1), date(2026, 3, 1)]
    assert list(join_spans((day, day) for day in days)) == [
        (date(2026, 1, 1), date(2026, 1, 1)),
        (date(2026, 3, 1), date(2026, 3, 20)),
    ]
    assert list(join_spans([])) == []
    future = date.today() + timedelta(days=400)  # noqa: DTZ011 - far ahead in every zone
    ((first, last),) = join_spans([(future, future)])
    assert first < last == future


@pytest.mark.parametrize("amount", [5, 5.0, "5.00", "5"])
def test_wanted_orders_are_read_with_their_payments_whatever_form_an_amount_has(amount):
    collector = OrderCollector({"1"})
    paid = {"date": "2026-05-20T19:30:00", "dateUtc": "2026-05-20T23:30:00Z", "status": "Partially Refunded"}
    for number in (1, 2):
        data = {
            "id": f"w{number}",
            "sourceId": str(number),
            "sourceSystem": "shop",
            "payments": [{**paid, "amount": amount}],
        }
        message = {"type": "RECORD", "record": {"stream": "orders", "data": data, "emitted_at": 0}}
        collector.add(orjson.dumps(message))
    ((name, (found,)),) = collector.result(READ).orders.items()
    assert (name, found.listed) == (ORDER, (ReportedPayment(PARTIAL, Decimal("5.00"), DAY),))
