"""The ledger in PostgreSQL behind PgBouncer, and what it leaves in a session or takes from one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest
from builders.destination import make_row, sale
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import LedgerBusyError, LedgerError
from destination_wicked_reports.ledger.history import open_history
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_documents import OrderDocuments
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.model import Document

from integration_tests.support.postgres import ask, running_pgbouncer
from integration_tests.support.processes import catalog

NAME = "destination-wicked-reports"
TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
REFUSED = "behind a connection pooler in transaction mode"


@contextlib.contextmanager
def opened(url: str, schema: str = "wicked_reports") -> Iterator[Ledger]:
    with contextlib.closing(Ledger.postgresql(url, schema, "live", 10)) as ledger:
        yield ledger


def send(ledger, *rows):
    ledger.acquire(row.key for row in rows)
    batch = Batch(rows[0].endpoint, list(rows))
    ledger.begin(batch)
    ledger.commit(batch, list(rows))


# -- the pooler -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"default_pool_size": 1}, {"server_round_robin": 1, "min_pool_size": 3}],
    ids=["default", "one session", "sessions take turns"],
)
def test_a_pooler_in_transaction_mode_is_refused_and_nothing_changed(server, settings):
    database = server.database()
    with running_pgbouncer(server, "transaction", **settings) as pooled:
        for _ in range(2):  # the first time, the pooler has no session yet
            with pytest.raises(LedgerError, match=REFUSED), opened(pooled(database)):
                pass
        config = Config.parse({"api_key": "k", "ledger": {"type": "postgres", "url": pooled(database)}})
        with pytest.raises(LedgerError, match=REFUSED), open_history(config):
            pass
    assert ask(database, TABLES) == [(0,)]


@pytest.mark.parametrize("size", [20, 1], ids=["default", "no session left"])
def test_a_pooler_in_session_mode_keeps_two_ledgers_apart(server, size, monkeypatch):
    monkeypatch.setattr("destination_wicked_reports.ledger.poolers.ANSWER_SECONDS", 0.5)
    database, row = server.database(), make_row()
    with running_pgbouncer(server, "session", default_pool_size=size) as pooled:
        for schema in ("a", "b"):
            with opened(pooled(database), schema) as ledger:
                send(ledger, row)
    with opened(database, "a") as ledger:
        assert ledger.known("orders", [row.key]) == {row.key: row.digest}
    assert ask(database, "SELECT count(*) FROM b.sent") == [(1,)]


def test_check_and_write_refuse_a_pooler_in_transaction_mode(workspace, simulator, server, tmp_path):
    with running_pgbouncer(server, "transaction") as pooled:
        config = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "ledger": {"type": "postgres", "url": pooled(server.database())},
            "rejected_records_path": str(tmp_path / "rejected.jsonl"),
        }
        (status,) = workspace.run(NAME, "check", config=config).of("CONNECTION_STATUS")
        result = workspace.run(NAME, "write", config=config, catalog=catalog("orders"), stdin=[])
    assert (status["status"], REFUSED in status["message"]) == ("FAILED", True)
    assert "the direct port of the database" in status["message"]
    assert (result.code, REFUSED in result.errors[0]["message"]) == (1, True)


# -- the session ------------------------------------------------------------------------------------------------------


def test_every_statement_names_its_schema(server):
    """With a search path that leads to another ledger: every table, statement and lock is of the own schema."""
    database = server.database()
    with opened(database, "other"):
        pass
    row = make_row(sale_key="shop\x1fo", sale=sale("10.10", aliases=("a1",)))
    with opened(database, "own") as ledger:
        ledger.connection.exec_driver_sql("SET search_path TO other")
        ledger.connection.commit()
        ledger.claim("key")
        for _ in range(2):
            send(ledger, row)
        totals, documents = SaleTotals(ledger), OrderDocuments(ledger)
        documents.put(Document("shop\x1fo", b"{}", "2026"))
        documents.save()
        assert ledger.known("orders", [row.key]) == {row.key: row.digest}
        assert ledger.sales_by_alias(["a1"]) == {"shop\x1fo": row.sale}
        assert ledger.unfinished() == []
        assert list(totals.pending("", "9999")) == []
        assert ledger.belongs_to("key")
        ledger.verify_location()
    for table in ("sent", "sales", "sale_aliases", "sale_events", "outbox", "leases"):
        assert ask(database, f"SELECT count(*) FROM other.{table}") == [(0,)], table
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'other'"
    assert not {("documents",), ("contributions",), ("sale_totals",)} & set(ask(database, tables))


def test_a_run_leaves_no_search_path_and_no_prepared_statement_in_its_session(server):
    with opened(server.database()) as ledger, ledger.connection.begin():
        for _ in range(10):
            ledger.connection.exec_driver_sql("SELECT 1")
        asked = "SELECT current_setting('search_path'), (SELECT count(*) FROM pg_prepared_statements)"
        assert ledger.connection.exec_driver_sql(asked).one() == ('"$user", public', 0)


def test_a_run_whose_transactions_move_to_another_session_sends_nothing_more(server):
    with opened(server.database()) as ledger:
        send(ledger, make_row(number=1))
        ledger._leases._session += 1
        with pytest.raises(LedgerBusyError, match="a pooler in transaction mode"):
            ledger.begin(Batch("orders", [make_row(number=1)]))


# -- a ledger that vanishes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    ["DROP SCHEMA {0} CASCADE", "ALTER SCHEMA {0} RENAME TO moved", "UPDATE {0}.ledger SET value = 'x'"],
    ids=["dropped", "renamed", "replaced"],
)
def test_a_schema_that_vanishes_during_a_run_keeps_its_states(server, change):
    database = server.database()
    with opened(database) as ledger:
        send(ledger, make_row())
        ledger.verify_location()
        with psycopg.connect(database, autocommit=True) as other:
            other.execute(change.format("wicked_reports").encode())
        with pytest.raises(LedgerError, match="removed or replaced during this run"):
            ledger.verify_location()
