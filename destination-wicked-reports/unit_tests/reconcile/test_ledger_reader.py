"""What the ledger and the records say of the orders that were sent."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from builders.destination import make_row
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError, ReadError
from destination_wicked_reports.ledger import ledger as module
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.ledger.schema import order_events
from destination_wicked_reports.model import IN_DOUBT, OrderState
from destination_wicked_reports.reconcile.dry_run import rehearse
from destination_wicked_reports.reconcile.ledger_reader import HELD_NOTE, remember
from destination_wicked_reports.reconcile.orders import Paid, money
from destination_wicked_reports.reconcile.reported import read_files, reader_settings
from sqlalchemy import delete

KEY = "shop\x1f1"
FIRST, SECOND, THIRD = 1_780_300_800, 1_780_400_000, 1_780_500_000


@pytest.fixture
def tell(ledger, monkeypatch):
    """Send one row of an affiliate order at a time."""

    def send(at, key, state, endpoint="orders", status="accepted"):
        monkeypatch.setattr(module.time, "time", lambda: float(at))
        row = make_row(endpoint, order_key=KEY, order=state)
        row.key = key
        batch = Batch(endpoint, [row])
        ledger.begin(batch)
        ledger.commit(batch, [row], status)

    return send


def state(approved, refunded="0", payments=1, revision=1, total="10"):
    return OrderState(Decimal(total), Decimal(approved), Decimal(refunded), "", payments, revision, "EUR")


def remembered(ledger):
    with ledger.connection.begin():
        return remember(ledger.connection, "live").orders


# -- the ledger -------------------------------------------------------------------------------------------------------


def test_an_affiliate_order_is_known_as_it_stood_after_each_row(ledger, tell):
    tell(FIRST, KEY, state("10"))
    tell(SECOND, f"{KEY}#2", state("10", "2.50", 2), "order_payments")
    (order,) = remembered(ledger).values()
    assert (order.at, order.total, order.currency, order.date) == (FIRST, Decimal("10.00"), "EUR", "")
    assert [(step.at, step.paid) for step in order.steps] == [
        (FIRST, Paid(money(10), money(0), 1)),
        (SECOND, Paid(money(10), money("2.5"), 2)),
    ]


def test_a_sale_that_came_back_is_two_orders_each_with_its_own_payments(ledger, tell):
    tell(FIRST, KEY, state("10"))
    tell(SECOND, f"{KEY}#2", state("10", "10", 2), "order_payments")
    tell(THIRD, f"{KEY}-r2", state("8", payments=3, revision=2, total="8"))
    orders = remembered(ledger)
    assert orders["shop", "1"].paid == Paid(money(10), money(10), 2)
    assert (orders["shop", "1-r2"].total, orders["shop", "1-r2"].paid) == (money(8), Paid(money(8), money(0), 1))


def test_an_order_of_a_release_without_history_is_known_by_what_it_came_to(ledger, tell):
    tell(FIRST, KEY, state("10", "4", 2))
    with ledger.connection.begin():
        ledger.connection.execute(delete(order_events))
    (order,) = remembered(ledger).values()
    assert (order.total, order.paid) == (money(10), Paid(money(10), money(4), 2))


def test_a_held_row_is_noted_at_its_order(ledger, tell):
    tell(FIRST, KEY, state("0", payments=0))
    tell(SECOND, f"{KEY}#1", state("10"), "order_payments", IN_DOUBT)
    (order,) = remembered(ledger).values()
    assert order.notes == [HELD_NOTE]


def test_of_a_native_order_the_ledger_knows_no_amounts(ledger):
    row = make_row("orders", 5)
    batch = Batch("orders", [row])
    ledger.begin(batch)
    ledger.commit(batch, [row])
    (order,) = remembered(ledger).values()
    assert (order.total, order.steps) == (None, [])


def test_the_test_store_is_not_looked_at(ledger, tell):
    tell(FIRST, KEY, state("10"))
    with ledger.connection.begin():
        assert remember(ledger.connection, "test").orders == {}


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


def test_records_become_the_very_rows_that_the_destination_sends(tmp_path):
    log = {"type": "LOG", "log": {"level": "INFO", "message": "hello"}}
    file = written(tmp_path / "sent.jsonl", log, record(**ORDER), record(**ORDER), '{"type": "RECORD", "rec')
    made = rehearse(native(), [file])
    order = made.orders["shop", "1"]
    assert (order.total, order.date, made.rejected) == (money("0.10"), "2026-03-01 10:00:00", 0)
    assert [payment.amount for payment in made.payments["shop", "1"]] == [Decimal("0.1")] * 3


def test_a_bad_record_is_counted_and_no_dead_letter_is_left(tmp_path):
    file = written(tmp_path / "sent.jsonl", record(**{**ORDER, "OrderTotal": "much", "OrderPayments": None}))
    made = rehearse(native(rejected_records_path=str(tmp_path / "rejected.jsonl")), [file])
    assert (made.orders, made.rejected) == ({}, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["sent.jsonl"]


def test_records_that_the_mapping_has_no_place_for_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="have no place"):
        rehearse(native(), [written(tmp_path / "other.jsonl", record("transactions", id=1))])


def test_files_without_a_record_of_airbytes_are_refused(tmp_path):
    singer = {"type": "RECORD", "stream": "orders", "record": ORDER}
    with pytest.raises(ConfigurationError, match="no RECORD line of the Airbyte protocol"):
        rehearse(native(), [written(tmp_path / "singer.jsonl", singer)])


# -- Wicked's side ----------------------------------------------------------------------------------------------------

SHOWN = {"id": "w1", "sourceId": "1", "sourceSystem": "shop", "date": "2026-03-01T10:00:00.000Z", "amount": 79.95}


def status(word):
    descriptor = {"stream_descriptor": {"name": "orders"}, "status": word}
    return {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1, "stream_status": descriptor}}


def test_an_order_that_changed_while_it_was_read_counts_once_as_it_was_last(tmp_path):
    lines = [status("STARTED"), record(**SHOWN), record(**{**SHOWN, "amount": 80}), status("COMPLETE")]
    (orders,) = read_files([written(tmp_path / "read.jsonl", *lines)]).orders.values()
    assert [(order.total, order.date) for order in orders] == [(money(80), "2026-03-01 10:00:00")]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([status("STARTED"), record(**SHOWN)], "broke off"),
        (
            [record(**SHOWN), {"type": "TRACE", "trace": {"type": "ERROR", "error": {"message": "No plan."}}}],
            "No plan.",
        ),
        (["no JSON"], "is not the output"),
        ([record(id="w1")], "is not the output"),
    ],
    ids=["no end", "an error", "another file", "no source id"],
)
def test_a_read_that_is_not_whole_is_refused(tmp_path, lines, said):
    with pytest.raises(ReadError, match=said):
        read_files([written(tmp_path / "read.jsonl", *lines)])


def test_the_reader_begins_early_enough_and_has_no_end():
    from datetime import date

    own = {"api_key": "a", "start_date": "2026-05-01T00:00:00Z", "end_date": "2026-06-01", "page_size": 7}
    settings = reader_settings(native(), own, date(2026, 3, 1))
    assert settings == {"api_key": "a", "start_date": "2026-03-01", "page_size": 7}
    made = reader_settings(native(), None, date(2026, 3, 1))
    assert made == {"api_key": "k", "api_url": "https://api.wickedreports.com", "start_date": "2026-03-01"}
