"""The ledger: what was sent, what is in flight, whose it is."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from builders.destination import make_row, sale
from destination_wicked_reports.errors import LedgerBusyError, LedgerError
from destination_wicked_reports.ledger import schema
from destination_wicked_reports.ledger.file_lock import is_locked
from destination_wicked_reports.ledger.history import History
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.ledger.reserve import RESERVE_BYTES
from destination_wicked_reports.model import IN_DOUBT, SalePayment
from sqlalchemy.exc import DBAPIError

STATE = sale(
    "10.10", contact_id="U1", contact_email="a@example.com", aliases=("a1", "a2"), ordered_at="2026-01-01 10:00:00"
)


def sent(ledger: Ledger, *rows, status: str = "accepted") -> None:
    batch = Batch(rows[0].endpoint, list(rows))
    ledger.begin(batch)
    ledger.commit(batch, list(rows), status)


def test_committed_rows_are_known_by_key_and_content(ledger):
    row = make_row()
    sent(ledger, row)
    assert ledger.known("orders", [row.key, "other"]) == {row.key: row.digest}
    assert ledger.known("contacts", [row.key]) == {}


def test_a_ledger_keeps_the_random_id_that_it_was_created_with(tmp_path):
    ids = []
    for name in ("a", "a", "b"):
        with contextlib.closing(Ledger.sqlite(tmp_path / name, "live")) as opened:
            ids.append(opened.id)
    assert ids[0] == ids[1] != ids[2]
    assert all(len(each) == 32 for each in ids)


def test_a_ledger_is_new_until_something_was_sent_to_its_store(tmp_path):
    def is_new(store: str, *rows) -> bool:
        with contextlib.closing(Ledger.sqlite(tmp_path / "ledger.sqlite", store)) as opened:
            opened.claim("key")
            if rows:
                sent(opened, *rows)
            return opened.is_new

    assert is_new("live"), "claimed by a run that sent nothing"
    assert is_new("live", make_row()), "new when this run began"
    assert not is_new("live")
    assert is_new("test")


def test_ten_thousand_keys_are_looked_up_in_one_query(ledger):
    rows = [make_row(number=n) for n in range(10_000)]
    sent(ledger, *rows)
    assert len(ledger.known("orders", [row.key for row in rows])) == 10_000


def test_a_sales_state_is_stored_exactly(ledger):
    sent(ledger, make_row(sale_key="o1", sale=STATE))
    assert ledger.sales(["o1", "o2"]) == {"o1": STATE}


def test_the_last_row_of_a_sale_determines_its_state(ledger):
    later = sale("10.10", 2, refunded="4.00")
    sent(ledger, make_row(number=1, sale_key="o1", sale=STATE), make_row(number=2, sale_key="o1", sale=later))
    assert ledger.sales(["o1"])["o1"] == later


def test_a_sales_state_never_goes_back(ledger):
    refunded, further = sale(version=2, refunded="4.00"), sale(version=3)
    sent(ledger, make_row(number=1, sale_key="o", sale=further))
    sent(ledger, make_row("order_payments", 2, sale_key="o", sale=refunded))
    assert ledger.sales(["o"])["o"] == further
    together = [make_row(number=n, sale_key="p", sale=state) for n, state in ((3, further), (4, refunded))]
    sent(ledger, *together)
    assert ledger.sales(["p"])["p"] == further


def test_a_sale_is_found_by_each_of_its_aliases_and_in_its_own_store_only(tmp_path):
    path, payments = tmp_path / "ledger.sqlite", (SalePayment(1, "APPROVED", Decimal("10.10")),)
    live = Ledger.sqlite(path, "live")
    sent(live, make_row(sale_key="o1", sale=STATE, payments=payments))
    sent(live, make_row(number=2, sale_key="o2", sale=sale(aliases=("a2",)), payments=payments))
    assert live.sales_by_alias(["a1", "a9"]) == {"o1": STATE}
    assert live.sales_by_alias(["a2"]).keys() == {"o1", "o2"}
    live.close()
    test = Ledger.sqlite(path, "test")
    assert test.sales_by_alias(["a1"]) == {}
    test.close()


def test_a_begun_batch_is_found_again_byte_for_byte(tmp_path):
    path = tmp_path / "ledger.sqlite"
    first = Ledger.sqlite(path, "live")
    rows = [make_row(number=1, name="ü€"), make_row(number=2, sale_key="o", sale=STATE)]
    first.begin(Batch("orders", rows))
    first.close()
    second = Ledger.sqlite(path, "live")
    (found,) = second.unfinished()
    assert [(r.key, r.body, r.digest, r.sale_key, r.sale, r.payments) for r in found.rows] == [
        (r.key, r.body, r.digest, r.sale_key, r.sale, r.payments) for r in rows
    ]
    second.commit(found, [])
    assert second.unfinished() == []
    second.close()


def test_bisected_batches_replace_the_batch_they_were_cut_from(ledger):
    rows = [make_row(number=n) for n in (1, 2)]
    whole = Batch("orders", rows)
    ledger.begin(whole)
    ledger.begin(Batch("orders", rows[:1]), Batch("orders", rows[1:]), replaces=whole)
    assert [[row.key for row in batch.rows] for batch in ledger.unfinished()] == [[rows[0].key], [rows[1].key]]


def test_the_test_store_and_the_live_store_are_separate(tmp_path):
    path = tmp_path / "ledger.sqlite"
    test = Ledger.sqlite(path, "test")
    sent(test, make_row(sale_key="o", sale=STATE))
    test.begin(Batch("orders", [make_row(number=2)]))
    test.close()
    live = Ledger.sqlite(path, "live")
    assert live.known("orders", [make_row().key]) == {}
    assert live.sales(["o"]) == {}
    assert live.unfinished() == []
    live.close()


def test_rows_in_doubt_count_as_sent(ledger):
    row = make_row("order_payments")
    sent(ledger, row, status=IN_DOUBT)
    assert ledger.known("order_payments", [row.key]) == {row.key: row.digest}
    assert [total["status"] for total in History(ledger.connection, "live").totals()] == ["in_doubt"]


def test_a_ledger_belongs_to_the_key_that_filled_it(ledger):
    ledger.claim("mistyped-key")
    assert ledger.belongs_to("key-1"), "nothing was sent with the other key"
    ledger.claim("key-1")
    ledger.claim("key-1")
    sent(ledger, make_row())
    assert ledger.belongs_to("key-1")
    assert not ledger.belongs_to("key-2")


def test_only_the_owner_can_read_the_file(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger.sqlite(path, "live").close()
    assert path.stat().st_mode & 0o077 == 0


def test_the_key_itself_is_not_in_the_file(tmp_path):
    opened = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    opened.claim("very-secret-key")
    opened.close()
    assert all(b"very-secret-key" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_file_that_is_no_ledger_is_refused_and_left_unchanged(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database, but somebody's notes" * 100)
    with pytest.raises(LedgerError, match="Nothing was changed"):
        Ledger.sqlite(path, "live")
    assert path.read_bytes() == b"not a database, but somebody's notes" * 100


# -- schema versions --------------------------------------------------------------------------------------------------


def add_column(connection) -> None:
    connection.exec_driver_sql("ALTER TABLE outbox ADD COLUMN attempts INTEGER DEFAULT 0 NOT NULL")


def fail(connection) -> None:
    connection.exec_driver_sql("THIS IS NOT SQL")


def schema_of(path: Path) -> tuple[list[str], str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        columns = [column[1] for column in connection.execute("PRAGMA table_info(outbox)")]
        (version,) = connection.execute("SELECT value FROM ledger WHERE name = 'schema_version'").fetchone()
    return columns, version


def test_a_ledger_of_a_newer_release_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setattr(schema, "MIGRATIONS", [add_column] * 98)
    Ledger.sqlite(path, "live").close()
    monkeypatch.undo()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="schema version 99"):
        Ledger.sqlite(path, "live")
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", ["0", "-1", "two", ""])
def test_a_ledger_of_an_unknown_version_is_refused(tmp_path, version):
    path = tmp_path / "ledger.sqlite"
    Ledger.sqlite(path, "live").close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger SET value = ? WHERE name = 'schema_version'", (version,))
    with pytest.raises(LedgerError, match="schema version"):
        Ledger.sqlite(path, "live")


def test_the_schema_starts_at_version_1(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger.sqlite(path, "live").close()
    assert schema_of(path)[1] == str(1 + len(schema.MIGRATIONS))


def test_a_migration_keeps_everything_and_runs_once(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    row = make_row(sale_key="shop/1", sale=STATE)
    first = Ledger.sqlite(path, "live")
    sent(first, row)
    first.begin(Batch("orders", [make_row(number=2)]))
    first.close()
    columns, version = schema_of(path)
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, add_column])
    for _ in range(2):
        opened = Ledger.sqlite(path, "live")
        assert opened.known("orders", [row.key]) == {row.key: row.digest}
        assert opened.sales(["shop/1"]) == {"shop/1": STATE}
        assert [(batch.outbox_id, batch.rows[0].key) for batch in opened.unfinished()] == [(1, make_row(number=2).key)]
        opened.close()
        assert schema_of(path) == ([*columns, "attempts"], str(int(version) + 1))
    opened = Ledger.sqlite(path, "live")
    sent(opened, make_row("contacts", 1, Email="a"))
    sent(opened, make_row("contacts", 1, Email="b"))
    assert len(History(opened.connection, "live").sendings("shop/1")) == 3
    opened.close()


def test_a_migration_that_fails_leaves_the_ledger_unchanged(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    Ledger.sqlite(path, "live").close()
    before = schema_of(path)
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, add_column, fail])
    with pytest.raises(LedgerError):
        Ledger.sqlite(path, "live")
    assert schema_of(path) == before


# -- sharing and surviving --------------------------------------------------------------------------------------------


def test_a_second_run_on_the_same_file_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    first = Ledger.sqlite(path, "live")
    with pytest.raises(LedgerBusyError, match="Another run is using"):
        Ledger.sqlite(path, "live", lock_wait=0)
    first.close()
    Ledger.sqlite(path, "live").close()


def test_a_run_waits_for_the_lock_and_takes_it_from_a_dead_run(tmp_path):
    path = tmp_path / "ledger.sqlite"
    first = Ledger.sqlite(path, "live")
    threading.Timer(0.2, first.close).start()
    second = Ledger.sqlite(path, "live", lock_wait=20)
    assert is_locked(path)
    second.close()
    assert not is_locked(path)
    path.with_name(path.name + "-lock").touch()  # what a killed run leaves
    Ledger.sqlite(path, "live", lock_wait=0).close()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_committed_rows_survive_a_kill(tmp_path):
    path = tmp_path / "ledger.sqlite"
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from builders.destination import make_row, sale\n"
        "from destination_wicked_reports.ledger.outbox import Batch\n"
        "from destination_wicked_reports.ledger.ledger import Ledger\n"
        "ledger = Ledger.sqlite(Path(sys.argv[1]), 'live')\n"
        "for number in (1, 2):\n"
        "    batch = Batch('orders', [make_row(number=number)]); ledger.begin(batch)\n"
        "    ledger.commit(batch, batch.rows) if number == 1 else os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, path, Path(__file__).parents[1]], check=False)
    opened = Ledger.sqlite(path, "live")
    assert list(opened.known("orders", [make_row(number=n).key for n in (1, 2)])) == [make_row(number=1).key]
    assert [row.key for batch in opened.unfinished() for row in batch.rows] == [make_row(number=2).key]
    opened.close()


def test_the_order_book_returns_the_queued_state_until_the_row_is_released(ledger):
    book, row = OrderBook(ledger), make_row(sale_key="o", sale=STATE)
    book.load(["o"])
    assert book.get("o") is None
    book.queue(row)
    book.load(["o"])
    assert book.get("o") == STATE
    book.release([row])
    book.load(["o"])
    assert book.get("o") is None, "the row was rejected, so the ledger has no state"


@pytest.mark.parametrize("name", ["sent", "letters"])
def test_a_foreign_database_is_not_used_as_a_ledger_and_not_changed(tmp_path, name):
    path = tmp_path / "mail.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(f"CREATE TABLE {name} (letter TEXT)")
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="is not a ledger of this connector"):
        Ledger.sqlite(path, "live")
    assert path.read_bytes() == before, "not even the journal mode"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_run_sets_disk_space_aside_and_gives_it_up_once(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.sqlite(path, "live")
    reserve = tmp_path / "ledger.sqlite-reserve"
    assert reserve.stat().st_size == RESERVE_BYTES
    assert reserve.stat().st_blocks * 512 >= RESERVE_BYTES, "the space is allocated"
    error = DBAPIError("statement", {}, Exception("disk full"))
    assert ledger._reserve.release(error)
    assert not reserve.exists()
    assert not ledger._reserve.release(error)
    with pytest.raises(DBAPIError):
        ledger.begin()
    ledger.close()
    Ledger.sqlite(path, "live").close()
    assert not reserve.exists()


def test_a_disk_without_room_for_the_reserve_is_refused_before_anything_is_sent(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("destination_wicked_reports.ledger.reserve._allocate", full)
    with pytest.raises(LedgerError, match=r"needs 8 MB of free disk space \(No space left on device\)"):
        Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    assert not (tmp_path / "ledger.sqlite-reserve").exists()
