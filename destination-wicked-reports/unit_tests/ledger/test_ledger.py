"""The ledger: what was sent, what is under way, whose it is."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from builders.destination import make_row
from destination_wicked_reports.errors import LedgerBusyError, LedgerError
from destination_wicked_reports.ledger import schema
from destination_wicked_reports.ledger.history import History
from destination_wicked_reports.ledger.ledger import HELD, Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.model import OrderState

STATE = OrderState(Decimal("10.10"), Decimal("10.10"), Decimal("0"), "approved", 1, 1, "EUR")


def sent(ledger: Ledger, *rows, status: str = "accepted") -> None:
    batch = Batch(rows[0].endpoint, list(rows))
    ledger.mark(batch)
    ledger.settle(batch, list(rows), status)


def test_what_was_settled_is_known_by_key_and_content(ledger):
    row = make_row()
    sent(ledger, row)
    assert ledger.known("orders", [row.key, "other"]) == {row.key: row.digest}
    assert ledger.known("contacts", [row.key]) == {}


def test_ten_thousand_keys_are_asked_for_at_once(ledger):
    rows = [make_row(number=n) for n in range(10_000)]
    sent(ledger, *rows)
    assert len(ledger.known("orders", [row.key for row in rows])) == 10_000


def test_an_order_is_remembered_to_the_cent(ledger):
    sent(ledger, make_row(order_key="o1", order=STATE))
    assert ledger.orders(["o1", "o2"]) == {"o1": STATE}


def test_the_last_row_of_an_order_says_what_is_remembered(ledger):
    later = OrderState(Decimal(10), Decimal(10), Decimal(4), "declined", 2, 1, "EUR")
    sent(ledger, make_row(number=1, order_key="o1", order=STATE), make_row(number=2, order_key="o1", order=later))
    assert ledger.orders(["o1"])["o1"] == later


def test_what_is_remembered_of_an_order_never_goes_back(ledger):
    """The order of a revived sale leaves before the refund of its former one: orders go before payments."""
    refunded = OrderState(Decimal(10), Decimal(10), Decimal(10), "REFUNDED", 2, 1, "EUR")
    revived = OrderState(Decimal(9), Decimal(9), Decimal(0), "APPROVED", 3, 2, "EUR")
    order = make_row(number=1, order_key="o", order=revived)
    payment = make_row("order_payments", 2, order_key="o", order=refunded)
    book = OrderBook(ledger)
    book.queue(order)
    book.queue(payment)
    assert book.get("o") == revived
    sent(ledger, order)
    sent(ledger, payment)
    assert ledger.orders(["o"])["o"] == revived
    together = [make_row(number=n, order_key="p", order=state) for n, state in ((3, revived), (4, refunded))]
    sent(ledger, *together)
    assert ledger.orders(["p"])["p"] == revived


def test_a_marked_batch_is_found_again_byte_for_byte(tmp_path):
    path = tmp_path / "ledger.sqlite"
    first = Ledger.sqlite(path, "live")
    rows = [make_row(number=1, name="ü€"), make_row(number=2, order_key="o", order=STATE)]
    first.mark(Batch("orders", rows))
    first.close()
    second = Ledger.sqlite(path, "live")
    (found,) = second.unfinished()
    assert [(r.key, r.body, r.digest, r.order_key, r.order) for r in found.rows] == [
        (r.key, r.body, r.digest, r.order_key, r.order) for r in rows
    ]
    second.settle(found, [])
    assert second.unfinished() == []
    second.close()


def test_halves_stand_in_for_the_batch_they_were_cut_from(ledger):
    rows = [make_row(number=n) for n in (1, 2)]
    whole = Batch("orders", rows)
    ledger.mark(whole)
    ledger.mark(Batch("orders", rows[:1]), Batch("orders", rows[1:]), instead_of=whole)
    assert [[row.key for row in batch.rows] for batch in ledger.unfinished()] == [[rows[0].key], [rows[1].key]]


def test_the_test_store_and_the_live_store_do_not_know_each_other(tmp_path):
    path = tmp_path / "ledger.sqlite"
    test = Ledger.sqlite(path, "test")
    sent(test, make_row(order_key="o", order=STATE))
    test.mark(Batch("orders", [make_row(number=2)]))
    test.close()
    live = Ledger.sqlite(path, "live")
    assert live.known("orders", [make_row().key]) == {}
    assert live.orders(["o"]) == {}
    assert live.unfinished() == []
    live.close()


def test_held_rows_count_as_sent(ledger):
    row = make_row("order_payments")
    sent(ledger, row, status=HELD)
    assert ledger.known("order_payments", [row.key]) == {row.key: row.digest}
    assert [total["status"] for total in History(ledger.connection, "live").totals()] == ["held"]


def test_a_ledger_belongs_to_the_key_that_filled_it(ledger):
    ledger.adopt("mistyped-key")
    assert ledger.belongs_to("key-1"), "nothing was sent with the other key"
    ledger.adopt("key-1")
    ledger.adopt("key-1")
    sent(ledger, make_row())
    assert ledger.belongs_to("key-1")
    assert not ledger.belongs_to("key-2")


def test_only_its_owner_may_read_the_file(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger.sqlite(path, "live").close()
    assert path.stat().st_mode & 0o077 == 0


def test_the_key_itself_is_not_in_the_file(tmp_path):
    opened = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    opened.adopt("very-secret-key")
    opened.close()
    assert all(b"very-secret-key" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database, but somebody's notes" * 100)
    with pytest.raises(LedgerError, match="Nothing was changed"):
        Ledger.sqlite(path, "live")
    assert path.read_bytes() == b"not a database, but somebody's notes" * 100


def test_a_ledger_of_a_newer_release_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setattr(schema, "VERSION", 99)
    Ledger.sqlite(path, "live").close()
    monkeypatch.undo()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger.sqlite(path, "live")
    assert path.read_bytes() == before


VERSION_1 = """
CREATE TABLE ledger (name VARCHAR NOT NULL, value VARCHAR NOT NULL, PRIMARY KEY (name));
CREATE TABLE sent (store VARCHAR NOT NULL, endpoint VARCHAR NOT NULL, "key" VARCHAR NOT NULL, digest BLOB NOT NULL,
  status VARCHAR NOT NULL, stream VARCHAR NOT NULL, sent_at BIGINT NOT NULL, PRIMARY KEY (store, endpoint, "key"))
  WITHOUT ROWID;
CREATE TABLE orders (store VARCHAR NOT NULL, "key" VARCHAR NOT NULL, total VARCHAR NOT NULL, approved VARCHAR NOT NULL,
  refunded VARCHAR NOT NULL, status VARCHAR NOT NULL, payments INTEGER NOT NULL, revision INTEGER NOT NULL,
  currency VARCHAR NOT NULL, changed VARCHAR NOT NULL, PRIMARY KEY (store, "key")) WITHOUT ROWID;
CREATE TABLE outbox (id INTEGER NOT NULL, store VARCHAR NOT NULL, endpoint VARCHAR NOT NULL, body BLOB NOT NULL,
  rows BLOB NOT NULL, marked_at BIGINT NOT NULL, PRIMARY KEY (id));
INSERT INTO ledger VALUES ('schema_version', '1');
INSERT INTO sent VALUES ('live', 'orders', 'shop/1', x'00ff', 'accepted', 'orders', 1780300800);
INSERT INTO orders VALUES ('live', 'shop/1', '10.10', '10.10', '0', 'approved', 1, 1, 'EUR', '');
INSERT INTO outbox VALUES (7, 'live', 'orders', x'5b7b7d5d', CAST('[["k","00","orders",null,null,2]]' AS BLOB), 0);
"""


def first_version(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)


def test_a_ledger_of_the_first_release_goes_on_with_all_it_knew(tmp_path):
    path = tmp_path / "ledger.sqlite"
    first_version(path)
    for _ in range(2):
        opened = Ledger.sqlite(path, "live")
        assert opened.known("orders", ["shop/1"]) == {"shop/1": b"\x00\xff"}
        assert opened.orders(["shop/1"]) == {"shop/1": STATE}
        assert [(batch.mark, batch.rows[0].key, batch.rows[0].body) for batch in opened.unfinished()] == [
            (7, "k", b"{}")
        ]
        opened.close()
    opened = Ledger.sqlite(path, "live")
    sent(opened, make_row("contacts", 1, Email="a"))
    sent(opened, make_row("contacts", 1, Email="b"))
    assert len(History(opened.connection, "live").of("shop/1")) == 3
    opened.close()


def test_a_migration_that_fails_leaves_the_ledger_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    first_version(path)

    def break_off(connection):
        connection.exec_driver_sql("THIS IS NO STATEMENT")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, break_off])
    with pytest.raises(LedgerError):
        Ledger.sqlite(path, "live")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = [column[1] for column in connection.execute("PRAGMA table_info(outbox)")]
        version = connection.execute("SELECT value FROM ledger").fetchone()
    assert (tables, version) == ({"ledger", "sent", "orders", "outbox"}, ("1",))
    assert "run" not in columns


def test_a_second_run_on_the_same_file_is_told_so(tmp_path):
    path = tmp_path / "ledger.sqlite"
    first = Ledger.sqlite(path, "live")
    with pytest.raises(LedgerBusyError, match="Another run is using"):
        Ledger.sqlite(path, "live", patience=0)
    first.close()
    Ledger.sqlite(path, "live").close()


def test_what_was_settled_survives_a_kill(tmp_path):
    path = tmp_path / "ledger.sqlite"
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from builders.destination import make_row\n"
        "from destination_wicked_reports.ledger.outbox import Batch\n"
        "from destination_wicked_reports.ledger.ledger import Ledger\n"
        "ledger = Ledger.sqlite(Path(sys.argv[1]), 'live')\n"
        "for number in (1, 2):\n"
        "    batch = Batch('orders', [make_row(number=number)]); ledger.mark(batch)\n"
        "    ledger.settle(batch, batch.rows) if number == 1 else os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, path, Path(__file__).parents[1]], check=False)
    opened = Ledger.sqlite(path, "live")
    assert list(opened.known("orders", [make_row(number=n).key for n in (1, 2)])) == [make_row(number=1).key]
    assert [row.key for batch in opened.unfinished() for row in batch.rows] == [make_row(number=2).key]
    opened.close()


def test_the_book_answers_with_what_is_on_its_way_until_it_is_settled(ledger):
    book, row = OrderBook(ledger), make_row(order_key="o", order=STATE)
    book.load(["o"])
    assert book.get("o") is None
    book.queue(row)
    book.load(["o"])
    assert book.get("o") == STATE
    book.settle([row])
    book.load(["o"])
    assert book.get("o") is None, "the ledger never heard of it: the row was rejected"


def test_a_file_of_somebody_elses_is_not_taken_for_a_ledger(tmp_path):
    path = tmp_path / "mail.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE sent (letter TEXT)")
    with pytest.raises(LedgerError, match="is no ledger of this connector"):
        Ledger.sqlite(path, "live")
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("sent",)]
