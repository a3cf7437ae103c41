"""What rows add up to: replaced and not added, exact, found by an index, and in the file only once saved."""

from __future__ import annotations

from decimal import Decimal

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.sale_totals import SumBook
from destination_wicked_reports.model import Part
from sqlalchemy import event


def test_a_part_replaces_itself_and_moves_its_sum_exactly(ledger):
    book = SumBook(ledger)
    book.load([], [], [])
    for amount in ("1E-20", "99999999999999.99", "0"):
        book.put(Part("a", "w", Decimal(amount)), b"{}")
        book.put(Part("b", "w", Decimal("0.0075")))
    book.save()
    book.load(["a"], [], [])
    assert book.part("a") == Part("a", "w", Decimal(0))
    assert book.whole("w").amount == Decimal("0.0075")


def test_a_part_that_moves_takes_its_amount_along(ledger):
    book = SumBook(ledger)
    book.load([], [], [])
    book.put(Part("a", "w", Decimal(2)), b"{}")
    book.put(Part("a", "v", Decimal(3)), b"{}")
    assert (book.whole("w").amount, book.whole("v").amount) == (0, 3)


def test_kin_are_found_by_click_and_by_commission(ledger):
    book = SumBook(ledger)
    book.load([], [], [])
    parts = [Part("a", "a", Decimal(1), "k1", "c1"), Part("b", "b", Decimal(1), "k2", "c1"), Part("c", "c", Decimal(1))]
    for part in parts:
        book.put(part, b"{}")
    book.save()
    book.load([], [], ["k1", "c1"])
    assert (book.kin("k1"), book.kin("c1"), book.kin("")) == (parts[:1], parts[:2], [])
    assert sorted(book.loaded()) == ["a", "b"]


def test_the_stores_do_not_know_each_other_and_nothing_counts_unsaved(tmp_path):
    live = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    book = SumBook(live)
    book.load([], [], [])
    book.put(Part("a", "w", Decimal(1)), b"{}", "2024-05-14")
    book.save()
    book.put(Part("b", "w", Decimal(1)))
    live.close()
    test = Ledger.sqlite(tmp_path / "ledger.sqlite", "test")
    assert list(SumBook(test).due("", "9999")) == []
    test.close()
    again = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    (page,) = SumBook(again).due("", "2024-05-14")
    assert [(whole.key, whole.amount) for whole in page] == [("w", 1)]
    assert list(SumBook(again).due("", "2024-05-13")) == []
    again.close()


def test_every_query_is_answered_by_an_index(ledger):
    book, asked = SumBook(ledger), []
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
    book = SumBook(ledger)
    book.load([], [], [])
    for key in ("sovrn\x1fa", "Sovrn\x1fb", "sovrn2\x1fc"):
        book.put(Part(key, key, Decimal(1)), b"{}", "2024-05-14")
    book.save()
    assert [[whole.key for whole in page] for page in book.due("sovrn\x1f", "9999")] == [["sovrn\x1fa"]]
