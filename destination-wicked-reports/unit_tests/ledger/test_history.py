"""The history of a ledger: totals, and every sending of a key."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from builders.destination import make_row
from destination_wicked_reports.commands.cli import main
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import LedgerError
from destination_wicked_reports.ledger import ledger as module
from destination_wicked_reports.ledger.history import History, open_history
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import IN_DOUBT, OpenOrder, SalePayment, SaleState

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


def sent_sale(ledger, at):
    """Send an order of 10, its refund, and a further order of 8 of the sale shop/1; and a row of shop/11."""
    first, second = (OpenOrder(1, Decimal(10), Decimal("2.50"), "day"), OpenOrder(2, Decimal(8), Decimal(0), "day"))
    paid = SaleState("EUR", (OpenOrder(1, Decimal(10), Decimal(0), "day"),), 1, 1)
    refunded = SaleState("EUR", (first,), 1, 2)
    raised = SaleState("EUR", (first, second), 2, 3)
    steps = [
        ("orders", "shop\x1f1", paid, SalePayment(1, "APPROVED", Decimal(10))),
        ("order_payments", "shop\x1f1#2", refunded, SalePayment(1, "PARTIALLY REFUNDED", Decimal("2.50"))),
        ("orders", "shop\x1f1~2", raised, SalePayment(2, "APPROVED", Decimal(8))),
    ]
    for place, (endpoint, key, sale, payment) in enumerate(steps):
        at(JUNE + 60 * place)
        row = make_row(endpoint, 1, sale_key="shop\x1f1", sale=sale, payments=(payment,))
        row.key = key
        sent(ledger, row)
    sent(ledger, make_row(number=11))


@pytest.mark.parametrize("key", ["1", "shop/1", "1~2", "shop/1~2"])
def test_a_sale_shows_its_rows_with_their_payments_and_its_present_state(ledger, at, key):
    sent_sale(ledger, at)
    history = History(ledger.connection, "live")
    assert [(s["endpoint"], s["key"], *(tuple(p.values()) for p in s["payments"])) for s in history.sendings(key)] == [
        ("orders", "shop/1", (1, "APPROVED", "10")),
        ("order_payments", "shop/1#2", (1, "PARTIALLY REFUNDED", "2.50")),
        ("orders", "shop/1~2", (2, "APPROVED", "8")),
    ]
    (state,) = history.sales(key)
    assert (state["key"], state["currency"], state["order_count"]) == ("shop/1", "EUR", 2)
    assert [(o["number"], o["total"], o["refunded"]) for o in state["open_orders"]] == [
        (1, "10", "2.50"),
        (2, "8", "0"),
    ]


def test_a_sale_whose_own_id_ends_like_that_of_a_further_order_is_found_by_it(ledger):
    for name in ("1", "1~7"):
        state = SaleState("EUR", (OpenOrder(1, Decimal(1), Decimal(0), "day"),), 1, 1)
        key = f"shop\x1f{name}"
        row = make_row(sale_key=key, sale=state, payments=(SalePayment(1, "APPROVED", Decimal(1)),))
        row.key = key
        sent(ledger, row)
    assert [sale["key"] for sale in History(ledger.connection, "live").sales("1~7")] == ["shop/1~7"]


def test_the_command_shows_the_payments_and_the_open_orders_of_a_sale(tmp_path, at, capsys):
    opened = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    sent_sale(opened, at)
    opened.close()
    settings = {"api_key": "k", "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    command = ["ledger", "search", "1~2", "--config", str(tmp_path / "config.json")]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines[1:4]] == [
        "order 1 APPROVED 10",
        "order 1 PARTIALLY REFUNDED 2.50",
        "order 2 APPROVED 8",
    ]
    assert lines[4] == (
        "Sale shop/1: 2 orders sent in all. Open orders in EUR: shop/1 (10, refunded 2.50), shop/1~2 (8, refunded 0)."
    )
    assert main([*command, "--json"]) == 0
    *rows, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [row["payments"][0]["amount"] for row in rows] == ["10", "2.50", "8"]
    assert last["sale"]["version"] == 3


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


def test_a_file_is_readable_during_a_run_as_one_snapshot(tmp_path):
    path = tmp_path / "ledger.sqlite"
    opened = Ledger.sqlite(path, "live")
    sent(opened, make_row())
    with open_history(config(path)) as history:
        assert [total["rows"] for total in history.totals()] == [1]
        sent(opened, make_row(number=2))
        assert [total["rows"] for total in history.totals()] == [1]
    with open_history(config(path)) as history:
        assert [total["rows"] for total in history.totals()] == [2]
    opened.close()


def test_without_a_ledger_there_is_no_history():
    chosen = Config.parse({"api_key": "k", "ledger": {"type": "none"}})
    with pytest.raises(LedgerError, match="has no ledger"), open_history(chosen):
        pass
