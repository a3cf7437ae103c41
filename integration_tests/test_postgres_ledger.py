"""The ledger in PostgreSQL: created, shared, lost, taken over, migrated; no secret leaks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from urllib.parse import quote

import psycopg
import pytest
from builders.destination import make_row, sale
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import LedgerBusyError, LedgerError
from destination_wicked_reports.ledger import schema
from destination_wicked_reports.ledger.history import open_history
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_documents import OrderDocuments
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.ledger.schema import current_version
from destination_wicked_reports.model import IN_DOUBT, Contribution, Document, SalePayment

from integration_tests.support.postgres import PASSWORD, ask

STATE = sale("10.10", aliases=("a1", "a2"), source_updated_at="2026-03-01 10:00:00")


@pytest.fixture
def opened(server):
    """Open ledgers in one new database, and close them at the end."""
    url, ledgers = server.database(), []

    def make(store: str = "live", lock_wait: float = 10, schema: str = "wicked_reports") -> Ledger:
        ledgers.append(Ledger.postgresql(url, schema, store, lock_wait))
        return ledgers[-1]

    make.url = url
    yield make
    for ledger in ledgers:
        ledger.close()


def sent(ledger, *rows, status="accepted"):
    ledger.acquire(row.key for row in rows)
    batch = Batch(rows[0].endpoint, list(rows))
    ledger.begin(batch)
    ledger.commit(batch, list(rows), status)


# -- the same behavior as in a file ------------------------------------------------------------------------------------


def test_committed_rows_are_known_by_key_and_content_and_orders_exactly(opened):
    ledger = opened()
    rows = [make_row(number=n, sale_key=f"shop\x1fo{n}", sale=STATE) for n in range(3000)]
    sent(ledger, *rows)
    assert ledger.known("orders", [row.key for row in rows] + ["shop\x1fnone"]) == {row.key: row.digest for row in rows}
    assert ledger.known("contacts", [rows[0].key]) == {}
    assert ledger.sales(["shop\x1fo1", "shop\x1fnone"]) == {"shop\x1fo1": STATE}


def test_a_sales_state_never_goes_back(opened):
    ledger = opened()
    later = STATE._replace(version=2, open_orders=())
    sent(ledger, make_row(number=1, sale_key="shop\x1fo", sale=later))
    sent(ledger, make_row(number=2, sale_key="shop\x1fo", sale=STATE))
    assert ledger.sales(["shop\x1fo"])["shop\x1fo"] == later


def test_a_sale_is_found_by_each_of_its_aliases(opened):
    ledger, payments = opened(), (SalePayment(1, "APPROVED", Decimal("10.10")),)
    rows = [make_row(number=n, sale_key=f"shop\x1fo{n}", sale=STATE, payments=payments) for n in (1, 2)]
    sent(ledger, *rows)
    sent(ledger, *rows)
    assert ledger.sales_by_alias(["a2", "none"]) == {"shop\x1fo1": STATE, "shop\x1fo2": STATE}


def test_sale_totals_and_documents_are_stored_in_the_same_database(opened):
    ledger = opened()
    book = SaleTotals(ledger)
    book.load(["p"], ["w"], ["alias"])
    book.put(Contribution("p", "w", Decimal("0.00000000000000000001"), ("alias",)), b'{"a":1}', "2026-03-01")
    book.put(Contribution("q", "w", Decimal("1E+3"), ("alias",)))
    book.save()
    book.load([], [], ["alias"])
    assert [each.key for each in book.related("alias")] == ["p", "q"]
    assert book.total("w").amount == Decimal("1000.00000000000000000001")
    assert [[total.key for total in page] for page in book.pending("", "2026-03-01")] == [["w"]]
    documents = OrderDocuments(ledger)
    documents.load(["d"])
    documents.put(Document("d", b"{}", "2026"))
    documents.save()
    assert [[document.key for document in page] for page in documents.pending("")] == [["d"]]


def test_the_history_of_a_row_can_be_read_during_a_run(opened):
    ledger = opened()
    for content in ("a", "b"):
        sent(ledger, make_row("contacts", 7, Email=content))
    sent(ledger, make_row("order_payments", 1), status=IN_DOUBT)
    config = Config.parse({"api_key": "k", "ledger": {"type": "postgres", "url": opened.url}})
    with open_history(config) as history:
        assert [sending["endpoint"] for sending in history.sendings("shop/7")] == ["contacts", "contacts"]
        assert [(total["endpoint"], total["status"]) for total in history.totals()] == [
            ("contacts", "accepted"),
            ("order_payments", "in_doubt"),
        ]


def test_reading_creates_nothing_and_cannot_write(server):
    url = server.database()
    config = Config.parse({"api_key": "k", "ledger": {"type": "postgres", "url": url}})
    with pytest.raises(LedgerError, match="is empty"), open_history(config):
        pass
    assert ask(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'wicked_reports'") == [(0,)]


def test_the_users_own_tables_are_not_touched(server):
    url = server.database()
    ask(url, "CREATE TABLE orders (mine text)")
    Ledger.postgresql(url, "wicked_reports", "live").close()
    assert ask(url, "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public'") == [("mine",)]


def test_two_accounts_have_a_schema_each(opened):
    first, second = opened(), opened(schema="other_account")
    first.claim("key-1")
    sent(first, make_row())
    sent(second, make_row())
    assert first.belongs_to("key-1")
    assert not first.belongs_to("key-2")
    assert not second.belongs_to("key-1")


# -- sharing ----------------------------------------------------------------------------------------------------------


def test_two_source_systems_run_in_parallel(opened):
    first, second = opened(), opened()
    first.acquire(["wecantrack\x1f1"])
    second.acquire(["sovrn\x1f1"])
    sent(second, replace(make_row(), key="sovrn\x1f1"))
    sent(first, replace(make_row(), key="wecantrack\x1f1"))


def test_one_run_at_a_time_has_a_source_system(opened, caplog):
    first, second = opened(), opened(lock_wait=0.05)
    first.acquire(["shop\x1f1"])
    with caplog.at_level("INFO"), pytest.raises(LedgerBusyError, match=r"source system shop.*run the sync again"):
        second.acquire(["shop\x1f2"])
    assert "Waiting for another run (process" in caplog.text
    first.close()
    assert second.acquire(["shop\x1f2"])


def test_two_runs_that_wait_for_each_other_do_not_wait_forever(opened):
    import threading

    first, second = opened(lock_wait=30), opened(lock_wait=30)
    first.acquire(["a\x1f1"])
    second.acquire(["b\x1f1"])
    ended = []

    def wait(ledger, key):
        try:
            ledger.acquire([key])
            ended.append("acquired")
        except LedgerBusyError:
            ended.append("gave up")
            ledger.close()

    threads = [threading.Thread(target=wait, args=pair) for pair in ((first, "b\x1f1"), (second, "a\x1f1"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(ended) == ["acquired", "gave up"]


def test_the_next_run_finds_the_requests_of_a_dead_run_and_none_of_a_live_one(opened):
    dead, live, heir = opened(), opened(), opened()
    for ledger, system in ((dead, "shop"), (live, "other")):
        row = replace(make_row(sale_key=f"{system}\x1f1", sale=STATE), key=f"{system}\x1f1")
        ledger.acquire([row.key])
        ledger.begin(Batch("orders", [row]))
    dead.close()
    assert heir.acquire(["shop\x1f9"])
    (found,) = heir.unfinished()
    assert [(row.key, row.sale) for row in found.rows] == [("shop\x1f1", STATE)]
    assert heir.unfinished() == [], "this run has claimed them"
    heir.commit(found, found.rows)
    assert heir.sales(["shop\x1f1"]) == {"shop\x1f1": STATE}


def test_a_request_over_two_source_systems_is_resolved_by_one_run(opened):
    dead, heir = opened(), opened()
    rows = [replace(make_row(number=n), key=key) for n, key in enumerate(("a\x1f1", "b\x1f1"))]
    dead.acquire(row.key for row in rows)
    dead.begin(Batch("orders", rows))
    dead.close()
    assert heir.acquire(["a\x1f1"])
    third = opened(lock_wait=0.05)
    with pytest.raises(LedgerBusyError):
        third.acquire(["b\x1f1"])
    assert len(heir.unfinished()) == 1


def test_a_run_whose_lease_was_lost_and_taken_over_sends_nothing_more(opened):
    """A pooler in transaction mode, or a dropped connection, releases the session's lock."""
    first, second = opened(), opened()
    rows = [make_row(number=n) for n in (1, 2)]
    first.acquire(row.key for row in rows)
    in_flight = Batch("orders", rows[:1])
    first.begin(in_flight)
    with first.connection.begin():
        first.connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
    second.acquire([rows[0].key])
    assert len(second.unfinished()) == 1
    with pytest.raises(LedgerBusyError, match="taken over by another run"):
        first.begin(Batch("orders", rows[1:]))
    with pytest.raises(LedgerBusyError, match="taken over by another run"):
        first.commit(in_flight, in_flight.rows)
    assert second.known("orders", [row.key for row in rows]) == {}


def test_a_run_whose_lease_was_taken_over_overwrites_nothing_of_its_successor(opened):
    first, second = opened(), opened()
    first.acquire(["shop\x1f1"])
    stale, sums = OrderDocuments(first), SaleTotals(first)
    stale.load(["shop\x1f1"])
    sums.load(["shop\x1f1"], [], [])
    with first.connection.begin():
        first.connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
    second.acquire(["shop\x1f1"])
    fresh = OrderDocuments(second)
    fresh.put(Document("shop\x1f1", b'{"news":1}', "2026"))
    fresh.save()
    stale.put(Document("shop\x1f1", b"{}"))
    with pytest.raises(LedgerBusyError, match="taken over by another run"):
        stale.save()
    sums.put(Contribution("shop\x1f1", "shop\x1f1", Decimal(1)), b"{}")
    with pytest.raises(LedgerBusyError, match="taken over by another run"):
        sums.save()
    assert [[document.facts for document in page] for page in fresh.pending("shop\x1f")] == [[b'{"news":1}']]
    assert list(SaleTotals(second).pending("", "9999")) == []


def test_rows_cannot_be_begun_without_a_lease(opened):
    with pytest.raises(LedgerError, match="report this"):
        opened().begin(Batch("orders", [make_row()]))


# -- migrations -------------------------------------------------------------------------------------------------------

COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
    "WHERE table_schema = 'wicked_reports' ORDER BY table_name, column_name"
)


def add_column(connection):
    connection.exec_driver_sql("ALTER TABLE outbox ADD COLUMN attempts INTEGER DEFAULT 0 NOT NULL")


def fail(connection):
    connection.exec_driver_sql("THIS IS NOT SQL")


def version_of(url):
    return ask(url, "SELECT value FROM wicked_reports.ledger WHERE name = 'schema_version'")


def test_a_migration_keeps_everything_and_runs_once(opened, monkeypatch):
    first = opened()
    row, in_flight = make_row(sale_key="shop\x1fo", sale=STATE), make_row(number=2)
    first.claim("key-1")
    sent(first, row)
    first.begin(Batch("orders", [in_flight]))
    totals = SaleTotals(first)
    totals.load(["p"], ["w"], [])
    totals.put(Contribution("p", "w", Decimal("4.05"), ("alias",)), b'{"a":1}', "2026-03-01")
    totals.save()
    first.close()
    columns = ask(opened.url, COLUMNS)
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, add_column])
    for _ in range(2):  # the second time there is nothing to do
        ledger = opened()
        assert version_of(opened.url) == [(str(current_version()),)]
        assert set(ask(opened.url, COLUMNS)) - set(columns) == {("outbox", "attempts", "integer", "NO", "0")}
        assert ledger.belongs_to("key-1")
        assert ledger.known("orders", [row.key]) == {row.key: row.digest}
        assert ledger.sales(["shop\x1fo"]) == {"shop\x1fo": STATE}
        assert ledger.acquire([in_flight.key])
        assert [(found.key, found.body) for batch in ledger.unfinished() for found in batch.rows] == [
            (in_flight.key, in_flight.body)
        ]
        totals = SaleTotals(ledger)
        totals.load(["p"], [], ["alias"])
        assert totals.contribution("p") == Contribution("p", "w", Decimal("4.05"), ("alias",))
        ledger.close()


def test_a_contribution_is_replaced_and_moves_its_total_exactly(opened):
    totals = SaleTotals(opened())
    totals.load(["p"], ["w"], [])
    totals.put(Contribution("p", "w", Decimal("4.05"), ("alias",)), b'{"a":1}', "2026-03-01")
    totals.save()
    totals.load(["p"], [], ["alias"])
    totals.put(Contribution("p", "w", Decimal("3.95"), ("alias",), source_updated_at="2026-03-02"))
    totals.put(Contribution("q", "w", Decimal("0.05"), ("alias",)))
    totals.save()
    totals.load([], [], ["alias"])
    assert {each.key: each.source_updated_at for each in totals.related("alias")} == {"p": "2026-03-02", "q": ""}
    assert totals.total("w").amount == Decimal("4.00")


def test_a_migration_that_fails_leaves_the_ledger_unchanged(opened, monkeypatch):
    SaleTotals(opened())
    before, version = ask(opened.url, COLUMNS), version_of(opened.url)
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, add_column, fail])
    with pytest.raises(LedgerError):
        opened()
    assert (ask(opened.url, COLUMNS), version_of(opened.url)) == (before, version)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_newer_ledger_is_refused_and_left_unchanged(opened):
    opened().close()
    ask(opened.url, f"UPDATE wicked_reports.ledger SET value = '{current_version() + 1}' WHERE name = 'schema_version'")
    with pytest.raises(
        LedgerError,
        match=f"schema version {current_version() + 1}; this release supports versions up to {current_version()}",
    ):
        opened()
    assert ask(opened.url, "SELECT value FROM wicked_reports.ledger WHERE name = 'schema_version'") == [
        (str(current_version() + 1),)
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace(quote(PASSWORD, safe=""), "wrong-password"), "password authentication failed"),
        (lambda url: url.replace("host=", "host=/nowhere"), "No such file"),
        (lambda url: url.replace("/test_", "/none_"), "does not exist"),
    ],
)
def test_errors_about_the_server_do_not_quote_the_password(opened, change, words):
    with pytest.raises(LedgerError, match=words) as caught:
        Ledger.postgresql(change(opened.url), "wicked_reports", "live")
    assert "wrong-password" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert quote(PASSWORD, safe="") not in str(caught.value)


def test_a_user_without_privileges_learns_which_are_missing(opened):
    ask(opened.url, "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    url = opened.url.replace(f"wicked:{quote(PASSWORD, safe='')}@", "guest:guest@")
    with pytest.raises(LedgerError, match=r"permission denied.*privileges"):
        Ledger.postgresql(url, "wicked_reports", "live")
    ask(opened.url, "CREATE SCHEMA wicked_reports AUTHORIZATION guest")
    Ledger.postgresql(url, "wicked_reports", "live").close()


def test_a_failed_statement_quotes_no_row(opened):
    ledger = opened()
    ask(opened.url, "ALTER TABLE wicked_reports.sent ADD CHECK (key NOT LIKE '%jane%')")
    row = replace(make_row(), key="shop\x1fjane.doe")
    ledger.acquire([row.key])
    batch = Batch("orders", [row])
    ledger.begin(batch)
    from destination_wicked_reports.ledger.engines import reason
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(DBAPIError) as caught:
        ledger.commit(batch, [row])
    assert "jane" not in reason(caught.value)


def test_the_api_key_is_nowhere_in_the_database(opened):
    ledger = opened()
    ledger.claim("very-secret-key")
    with psycopg.connect(opened.url) as connection:
        rows = connection.execute("SELECT name || value FROM wicked_reports.ledger").fetchall()
    assert rows
    assert all("very-secret-key" not in text for (text,) in rows)


def test_ten_runs_can_create_the_same_ledger_at_once(server):
    from concurrent.futures import ThreadPoolExecutor

    url = server.database()

    def make(_: int) -> None:
        ledger = Ledger.postgresql(url, "wicked_reports", "live")
        SaleTotals(ledger)
        ledger.close()

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(make, range(10)))
    assert ask(url, "SELECT value FROM wicked_reports.ledger WHERE name = 'schema_version'") == [
        (str(current_version()),)
    ]
