"""Sale totals: contributions are replaced, sums are exact, queries use indexes, and only `save` stores."""

from __future__ import annotations

from decimal import Decimal

from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.sale_totals import ALIASES, SaleTotals
from destination_wicked_reports.model import Contribution
from sqlalchemy import event


def test_a_contribution_is_replaced_and_moves_its_total_exactly(ledger):
    book = SaleTotals(ledger)
    book.load([], [], [])
    for amount in ("1E-20", "99999999999999.99", "0"):
        book.put(Contribution("a", "w", Decimal(amount)), b"{}")
        book.put(Contribution("b", "w", Decimal("0.0075")))
    book.save()
    book.load(["a"], [], [])
    assert book.contribution("a") == Contribution("a", "w", Decimal(0))
    assert book.total("w").amount == Decimal("0.0075")


def test_a_contribution_that_moves_to_another_sale_takes_its_amount_along(ledger):
    book = SaleTotals(ledger)
    book.load([], [], [])
    book.put(Contribution("a", "w", Decimal(2)), b"{}")
    book.put(Contribution("a", "v", Decimal(3)), b"{}")
    assert (book.total("w").amount, book.total("v").amount) == (0, 3)


def test_related_rows_are_found_by_click_and_by_commission(ledger):
    book = SaleTotals(ledger)
    book.load([], [], [])
    contributions = [
        Contribution("a", "a", Decimal(1), ("k1", "c1")),
        Contribution("b", "b", Decimal(1), ("k2", "c1")),
        Contribution("c", "c", Decimal(1)),
    ]
    for contribution in contributions:
        book.put(contribution, b"{}")
    book.save()
    book.load([], [], ["k1", "c1"])
    assert (book.related("k1"), book.related("c1"), book.related("")) == (contributions[:1], contributions[:2], [])
    assert sorted(book.loaded_keys()) == ["a", "b"]


def test_the_stores_are_separate_and_nothing_counts_before_it_is_saved(tmp_path):
    live = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    book = SaleTotals(live)
    book.load([], [], [])
    book.put(Contribution("a", "w", Decimal(1)), b"{}", "2024-05-14")
    book.save()
    book.put(Contribution("b", "w", Decimal(1)))
    live.close()
    test = Ledger.sqlite(tmp_path / "ledger.sqlite", "test")
    assert list(SaleTotals(test).pending("", "9999")) == []
    test.close()
    again = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    (page,) = SaleTotals(again).pending("", "2024-05-14")
    assert [(total.key, total.amount) for total in page] == [("w", 1)]
    assert list(SaleTotals(again).pending("", "2024-05-13")) == []
    again.close()


def test_every_query_is_answered_by_an_index(ledger):
    book, queries = SaleTotals(ledger), []
    event.listen(ledger.connection, "before_cursor_execute", lambda *args: queries.append((args[2], args[3])))
    book.load(["a"], ["w"], ["k"])
    list(book.pending("", "2024-05-14"))
    plans = [
        row[3]
        for statement, parameters in list(queries)
        for row in ledger.connection.exec_driver_sql(f"explain query plan {statement}", parameters)
    ]
    searched = [plan for plan in plans if plan.startswith(("SEARCH", "SCAN")) and "VIRTUAL" not in plan]
    used = [
        "PRIMARY KEY (store=? AND key=?",
        *(f"INDEX contributions_by_alias_{number} (alias_{number}=?" for number in range(1, ALIASES + 1)),
        "PRIMARY KEY (store=? AND key=?",
        "INDEX sale_totals_by_pending (store=? AND ",
    ]
    assert all(how in plan for how, plan in zip(used, searched, strict=True)), searched


def test_only_totals_of_the_given_source_system_are_pending(ledger):
    """Two source systems can share a ledger, and each is sent by runs of its own."""
    book = SaleTotals(ledger)
    book.load([], [], [])
    for key in ("sovrn\x1fa", "Sovrn\x1fb", "sovrn2\x1fc"):
        book.put(Contribution(key, key, Decimal(1)), b"{}", "2024-05-14")
    book.save()
    assert [[total.key for total in page] for page in book.pending("sovrn\x1f", "9999")] == [["sovrn\x1fa"]]
