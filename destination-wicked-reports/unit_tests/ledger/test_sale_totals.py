"""What rows add up to: replaced and not added, exact, found by an index, and in the file only once saved."""

from __future__ import annotations

from decimal import Decimal

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.model import Contribution
from sqlalchemy import event


def test_a_part_replaces_itself_and_moves_its_sum_exactly(ledger):
    book = SaleTotals(ledger)
    book.load([], [], [])
    for amount in ("1E-20", "99999999999999.99", "0"):
        book.put(Contribution("a", "w", Decimal(amount)), b"{}")
        book.put(Contribution("b", "w", Decimal("0.0075")))
    book.save()
    book.load(["a"], [], [])
    assert book.part("a") == Contribution("a", "w", Decimal(0))
    assert book.whole("w").amount == Decimal("0.0075")


def test_a_part_that_moves_takes_its_amount_along(ledger):
    book = SaleTotals(ledger)
    book.load([], [], [])
    book.put(Contribution("a", "w", Decimal(2)), b"{}")
    book.put(Contribution("a", "v", Decimal(3)), b"{}")
    assert (book.whole("w").amount, book.whole("v").amount) == (0, 3)


def test_kin_are_found_by_click_and_by_commission(ledger):
    book = SaleTotals(ledger)
    book.load([], [], [])
    parts = [
        Contribution("a", "a", Decimal(1), "k1", "c1"),
        Contribution("b", "b", Decimal(1), "k2", "c1"),
        Contribution("c", "c", Decimal(1)),
    ]
    for part in parts:
        book.put(part, b"{}")
    book.save()
    book.load([], [], ["k1", "c1"])
    assert (book.kin("k1"), book.kin("c1"), book.kin("")) == (parts[:1], parts[:2], [])
    assert sorted(book.loaded()) == ["a", "b"]


def test_the_stores_do_not_know_each_other_and_nothing_counts_unsaved(tmp_path):
    live = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    book = SaleTotals(live)
    book.load([], [], [])
    book.put(Contribution("a", "w", Decimal(1)), b"{}", "2024-05-14")
    book.save()
    book.put(Contribution("b", "w", Decimal(1)))
    live.close()
    test = Ledger.sqlite(tmp_path / "ledger.sqlite", "test")
    assert list(SaleTotals(test).due("", "9999")) == []
    test.close()
    again = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    (page,) = SaleTotals(again).due("", "2024-05-14")
    assert [(whole.key, whole.amount) for whole in page] == [("w", 1)]
    assert list(SaleTotals(again).due("", "2024-05-13")) == []
    again.close()


def test_every_query_is_answered_by_an_index(ledger):
    book, asked = SaleTotals(ledger), []
    event.listen(ledger.connection, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
    book.load(["a"], ["w"], ["k"])
    list(book.due("", "2024-05-14"))
    plans = [
        row[3]
        for statement, parameters in list(asked)
        for row in ledger.connection.exec_driver_sql(f"explain query plan {statement}", parameters)
    ]
    searched = [plan for plan in plans if plan.startswith(("SEARCH", "SCAN")) and "VIRTUAL" not in plan]
    used = [
        "PRIMARY KEY (store=? AND key=?",
        "INDEX parts_by_click (click=?",
        "INDEX parts_by_commission (commission=?",
        "PRIMARY KEY (store=? AND key=?",
        "INDEX wholes_by_due (store=? AND ",
    ]
    assert all(how in plan for how, plan in zip(used, searched, strict=True)), searched


def test_only_the_sums_of_ones_own_source_system_are_due(ledger):
    """Two source systems may share a ledger, and each has its own run to tell its sums."""
    book = SaleTotals(ledger)
    book.load([], [], [])
    for key in ("sovrn\x1fa", "Sovrn\x1fb", "sovrn2\x1fc"):
        book.put(Contribution(key, key, Decimal(1)), b"{}", "2024-05-14")
    book.save()
    assert [[whole.key for whole in page] for page in book.due("sovrn\x1f", "9999")] == [["sovrn\x1fa"]]
