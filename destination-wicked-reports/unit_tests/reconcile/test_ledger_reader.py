"""Sent orders from the ledger and from the records, and reported orders from the output of the source."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from builders.destination import make_row
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError, ReadError
from destination_wicked_reports.ledger import ledger as module
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import IN_DOUBT, SalePayment, SaleState
from destination_wicked_reports.reconcile.dry_run import run_mapping
from destination_wicked_reports.reconcile.ledger_reader import IN_DOUBT_NOTE, read_ledger
from destination_wicked_reports.reconcile.orders import to_cents, total_payments
from destination_wicked_reports.reconcile.reported import read_files, reader_settings

KEY = "shop\x1f1"
FIRST, SECOND, THIRD = 1_780_300_800, 1_780_400_000, 1_780_500_000


@pytest.fixture
def send_row(ledger, monkeypatch):
    """Record one row of an affiliate sale as sent; its payments as number, status and amount."""

    def send(at, key, version, *payments, endpoint="orders", status="accepted", currency="EUR"):
        monkeypatch.setattr(module.time, "time", lambda: float(at))
        carried = tuple(SalePayment(number, word, Decimal(amount)) for number, word, amount in payments)
        row = make_row(endpoint, sale_key=KEY, sale=SaleState(currency, (), 1, version), payments=carried)
        row.key = key
        batch = Batch(endpoint, [row])
        ledger.begin(batch)
        ledger.commit(batch, [row], status)

    return send


def totals(*payments):
    return total_payments((status, Decimal(amount)) for status, amount in payments)


def orders_of(ledger):
    with ledger.connection.begin():
        return read_ledger(ledger.connection, "live").orders


# -- the ledger -------------------------------------------------------------------------------------------------------


def test_an_affiliate_order_has_its_state_after_each_row(ledger, send_row):
    send_row(FIRST, KEY, 1, (1, "APPROVED", "10"))
    send_row(SECOND, f"{KEY}#2", 2, (1, "PARTIALLY REFUNDED", "2.50"), endpoint="order_payments")
    (order,) = orders_of(ledger).values()
    assert (order.at, order.total, order.currency, order.date) == (FIRST, Decimal("10.00"), "EUR", "")
    assert [(step.at, step.payments) for step in order.steps] == [
        (FIRST, totals(("APPROVED", "10"))),
        (SECOND, totals(("APPROVED", "10"), ("PARTIALLY REFUNDED", "2.50"))),
    ]


def test_a_reinstated_sale_is_two_orders_each_with_its_own_payments(ledger, send_row):
    send_row(FIRST, KEY, 1, (1, "APPROVED", "10"))
    send_row(SECOND, f"{KEY}#2", 2, (1, "REFUNDED", "10"), endpoint="order_payments")
    send_row(THIRD, f"{KEY}~2", 3, (2, "APPROVED", "8"), currency="USD")
    orders = orders_of(ledger)
    assert (orders["shop", "1"].payments, orders["shop", "1"].currency) == (
        totals(("APPROVED", "10"), ("REFUNDED", "10")),
        "EUR",
    )
    second = orders["shop", "1~2"]
    assert (second.total, second.payments, second.currency) == (to_cents(8), totals(("APPROVED", "8")), "USD")


def test_a_fall_over_several_orders_is_found_at_each(ledger, send_row):
    send_row(FIRST, KEY, 1, (1, "APPROVED", "10"))
    send_row(FIRST, f"{KEY}~2", 2, (2, "APPROVED", "2"))
    send_row(SECOND, f"{KEY}#3", 3, (2, "REFUNDED", "2"), endpoint="order_payments")
    send_row(SECOND, f"{KEY}#4", 4, (1, "PARTIALLY REFUNDED", "3"), endpoint="order_payments")
    first, second = orders_of(ledger).values()
    assert (first.payments.net, second.payments.net) == (to_cents(7), to_cents(0))


def test_an_order_sent_with_its_refund_has_one_step(ledger, send_row):
    send_row(FIRST, KEY, 2, (1, "APPROVED", "10"), (1, "PARTIALLY REFUNDED", "4"))
    (order,) = orders_of(ledger).values()
    (step,) = order.steps
    assert (order.total, step.payments) == (to_cents(10), totals(("APPROVED", "10"), ("PARTIALLY REFUNDED", "4")))


def test_a_row_in_doubt_adds_a_note_to_its_order(ledger, send_row):
    send_row(FIRST, KEY, 1, (1, "APPROVED", "10"))
    send_row(SECOND, f"{KEY}#2", 2, (1, "REFUNDED", "10"), endpoint="order_payments", status=IN_DOUBT)
    (order,) = orders_of(ledger).values()
    assert order.notes == [IN_DOUBT_NOTE]


def test_a_native_order_has_no_amounts_in_the_ledger(ledger):
    row = make_row("orders", 5)
    batch = Batch("orders", [row])
    ledger.begin(batch)
    ledger.commit(batch, [row])
    (order,) = orders_of(ledger).values()
    assert (order.total, order.steps) == (None, [])


def test_only_the_requested_store_is_read(ledger, send_row):
    send_row(FIRST, KEY, 1, (1, "APPROVED", "10"))
    with ledger.connection.begin():
        assert read_ledger(ledger.connection, "test").orders == {}


# -- the records ------------------------------------------------------------------------------------------------------

ORDER = {
    "SourceSystem": "shop",
    "SourceID": "1",
    "CreateDate": "2026-03-01T10:00:00Z",
    "ContactID": "c",
    "OrderTotal": 0.1,
    "OrderPayments": [{"PaymentDate": "2026-03-01T10:00:00Z", "Amount": 0.1, "Status": "APPROVED"}] * 3,
}


def written(path, *lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def record(stream="orders", **data):
    return {"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 5000}}


def native(**more):
    return Config.parse({"api_key": "k", "ledger": {"type": "none"}, **more})


def test_records_become_exactly_the_rows_that_the_destination_sends(tmp_path):
    log = {"type": "LOG", "log": {"level": "INFO", "message": "hello"}}
    file = written(tmp_path / "sent.jsonl", log, record(**ORDER), record(**ORDER), '{"type": "RECORD", "rec')
    result = run_mapping(native(), [file])
    order = result.orders["shop", "1"]
    assert (order.total, order.date, result.rejected) == (to_cents("0.10"), "2026-03-01 10:00:00", 0)
    assert [payment.amount for payment in result.payments["shop", "1"]] == [Decimal("0.1")] * 3


def test_a_bad_record_is_counted_and_leaves_no_dead_letter(tmp_path):
    file = written(tmp_path / "sent.jsonl", record(**{**ORDER, "OrderTotal": "much", "OrderPayments": None}))
    result = run_mapping(native(rejected_records_path=str(tmp_path / "rejected.jsonl")), [file])
    assert (result.orders, result.rejected) == ({}, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["sent.jsonl"]


def test_streams_that_the_mapping_does_not_support_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="is not supported by the configured mapping"):
        run_mapping(native(), [written(tmp_path / "other.jsonl", record("transactions", id=1))])


def test_files_without_an_airbyte_record_are_refused(tmp_path):
    singer = {"type": "RECORD", "stream": "orders", "record": ORDER}
    with pytest.raises(ConfigurationError, match="no RECORD line of the Airbyte protocol"):
        run_mapping(native(), [written(tmp_path / "singer.jsonl", singer)])


# -- reported orders --------------------------------------------------------------------------------------------------

REPORTED = {"id": "w1", "sourceId": "1", "sourceSystem": "shop", "date": "2026-03-01T10:00:00.000Z", "amount": 79.95}


def status(word):
    descriptor = {"stream_descriptor": {"name": "orders"}, "status": word}
    return {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1, "stream_status": descriptor}}


def test_an_order_that_changed_during_the_read_counts_once_in_its_last_state(tmp_path):
    lines = [status("STARTED"), record(**REPORTED), record(**{**REPORTED, "amount": 80}), status("COMPLETE")]
    (orders,) = read_files([written(tmp_path / "read.jsonl", *lines)]).orders.values()
    assert [(order.total, order.date) for order in orders] == [(to_cents(80), "2026-03-01 10:00:00")]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([status("STARTED"), record(**REPORTED)], "is incomplete"),
        (
            [record(**REPORTED), {"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": "No plan."}}}],
            "No plan.",
        ),
        (["no JSON"], "are not the output"),
        ([record(id="w1")], "are not the output"),
    ],
    ids=["incomplete", "an error", "another file", "no source id"],
)
def test_an_incomplete_read_is_refused(tmp_path, lines, message):
    with pytest.raises(ReadError, match=message):
        read_files([written(tmp_path / "read.jsonl", *lines)])


def test_the_source_reads_from_the_earlier_start_date_without_an_end_date():
    from datetime import date

    own = {"api_key": "a", "start_date": "2026-05-01T00:00:00Z", "end_date": "2026-06-01", "page_size": 7}
    settings = reader_settings(native(), own, date(2026, 3, 1))
    assert settings == {"api_key": "a", "start_date": "2026-03-01", "page_size": 7}
    made = reader_settings(native(), None, date(2026, 3, 1))
    assert made == {"api_key": "k", "api_url": "https://api.wickedreports.com", "start_date": "2026-03-01"}
