"""The history of a ledger: totals, and every sending of a key."""

from __future__ import annotations

from decimal import Decimal

import pytest
from builders.destination import make_row
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import LedgerBusyError, LedgerError
from destination_wicked_reports.ledger import ledger as module
from destination_wicked_reports.ledger.history import History, open_history
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import IN_DOUBT, OrderState

JUNE = 1_780_300_800  # 2026-06-01T08:00:00Z


@pytest.fixture
def at(monkeypatch):
    def move(seconds: int) -> None:
        monkeypatch.setattr(module.time, "time", lambda: float(seconds))

    return move


def sent(ledger, *rows, status="accepted"):
    batch = Batch(rows[0].endpoint, list(rows))
    ledger.begin(batch)
    ledger.commit(batch, list(rows), status)


def config(path, **extra):
    return Config.parse({"api_key": "k", "ledger": {"type": "sqlite", "path": str(path)}, **extra})


def test_totals_count_rows_by_day_stream_endpoint_and_status(ledger, at):
    at(JUNE)
    sent(ledger, make_row(number=1), make_row(number=2))
    sent(ledger, make_row("order_payments", 1), status=IN_DOUBT)
    at(JUNE + 86_400)
    sent(ledger, make_row(number=3))
    assert [tuple(total.values()) for total in History(ledger.connection, "live").totals()] == [
        ("2026-06-01", "order_payments", "order_payments", "in_doubt", 1),
        ("2026-06-01", "orders", "orders", "accepted", 2),
        ("2026-06-02", "orders", "orders", "accepted", 1),
    ]


def test_a_contact_that_changed_shows_every_sending(ledger, at):
    first, second = make_row("contacts", 7, Email="a"), make_row("contacts", 7, Email="b")
    for day, row in enumerate((first, second)):
        at(JUNE + day * 86_400)
        sent(ledger, row)
    sent(ledger, make_row("contacts", 70))
    found = History(ledger.connection, "live").sendings("7")
    assert [(sending["at"], sending["digest"]) for sending in found] == [
        ("2026-06-01T08:00:00Z", first.digest.hex()),
        ("2026-06-02T08:00:00Z", second.digest.hex()),
    ]
    assert {sending["key"] for sending in found} == {"shop/7"}


def test_an_affiliate_order_shows_each_payment_and_the_state_after_it(ledger, at):
    paid = OrderState(Decimal(10), Decimal(10), Decimal(0), "APPROVED", 1, 1, "EUR")
    refunded = OrderState(Decimal(10), Decimal(10), Decimal("2.50"), "PARTIALLY REFUNDED", 2, 1, "EUR")
    at(JUNE)
    sent(ledger, make_row(number=1, order_key="shop\x1f1", order=paid))
    at(JUNE + 60)
    payment = make_row("order_payments", 1, order_key="shop\x1f1", order=refunded)
    payment.key = "shop\x1f1#2"
    sent(ledger, payment)
    history = History(ledger.connection, "live")
    assert [
        (s["endpoint"], s["key"], s["order"]["status"], s["order"]["refunded"]) for s in history.sendings("shop/1")
    ] == [
        ("orders", "shop/1", "APPROVED", "0"),
        ("order_payments", "shop/1#2", "PARTIALLY REFUNDED", "2.50"),
    ]
    (order,) = history.orders("1")
    assert (order["approved"], order["refunded"], order["payments"]) == ("10", "2.50", 2)


@pytest.mark.parametrize("key", ["1%", "_", "SHOP/1", "hop/1", "unknown"])
def test_a_key_is_neither_a_pattern_nor_a_part_of_another_key(ledger, key):
    sent(ledger, make_row(number=1), make_row(number=11))
    assert History(ledger.connection, "live").sendings(key) == []


def test_the_stores_are_separate(ledger):
    sent(ledger, make_row())
    assert History(ledger.connection, "test").sendings("1") == []
    assert list(History(ledger.connection, "test").totals()) == []


def test_reading_creates_no_ledger(tmp_path):
    with pytest.raises(LedgerError, match="no ledger at"), open_history(config(tmp_path / "none" / "ledger.sqlite")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_reading_changes_nothing(tmp_path):
    path = tmp_path / "ledger.sqlite"
    opened = Ledger.sqlite(path, "live")
    sent(opened, make_row())
    opened.close()
    before = path.read_bytes()
    with open_history(config(path)) as history:
        assert len(history.sendings("1")) == 1
    assert path.read_bytes() == before


def test_a_file_locked_by_a_run_is_reported_as_in_use(tmp_path):
    path = tmp_path / "ledger.sqlite"
    opened = Ledger.sqlite(path, "live")
    sent(opened, make_row())
    with pytest.raises(LedgerBusyError, match="Another run is using"), open_history(config(path)) as history:
        list(history.totals())
    opened.close()


def test_without_a_ledger_there_is_no_history():
    chosen = Config.parse({"api_key": "k", "ledger": {"type": "none"}})
    with pytest.raises(LedgerError, match="has no ledger"), open_history(chosen):
        pass
