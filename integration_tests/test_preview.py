"""`preview` says what `write` then does, sends nothing, and leaves ledger and dead-letter file as they are."""

from __future__ import annotations

import json
import subprocess

import pytest
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.ledger.reading import open_snapshot
from destination_wicked_reports.ledger.sql import has_table
from destination_wicked_reports.ledger.tables import TABLES
from sqlalchemy import select

from integration_tests.support.postgres import running_postgres
from integration_tests.support.processes import RUN_SECONDS, catalog

DESTINATION = "destination-wicked-reports"
RULES = [
    {"field": "sub_ids.*", "pattern": "^none-(?P<contact_id>.+)"},
    {"field": "sub_ids.*", "pattern": "^(?P<contact_id>U[0-9]+)-"},
]


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request, tmp_path):
    if request.param == "sqlite":
        yield {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")}
        return
    with running_postgres() as server:
        yield {"type": "postgres", "url": server.database()}


@pytest.fixture
def config(simulator, ledger, tmp_path):
    return {
        "api_url": simulator.url,
        "api_key": simulator.wicked_key,
        "mapping": {"type": "wecantrack", "contact_rules": RULES},
        "ledger": ledger,
        "rejected_records_path": str(tmp_path / "rejected.jsonl"),
    }


@pytest.fixture
def read(simulator, workspace):
    """Read the source's transactions as lines."""
    simulator.throttle(100_000)
    simulator.generate(seed=3, transactions=80, days=20, later_days=20)
    source = {"api_key": simulator.wecantrack_key, "api_url": simulator.url, "start_date": "2026-03-02"}

    def lines() -> bytes:
        command = workspace.command("source-wecantrack", "read", config=source, catalog=catalog("transactions"))
        return subprocess.run(command, capture_output=True, check=True, timeout=RUN_SECONDS).stdout

    return lines


def show(workspace, config, stdin, *options):
    """Run `preview`; its output has rows, which `workspace` would take for a leak."""
    command = workspace.command(DESTINATION, "preview", config=config, catalog=catalog("transactions"))
    return subprocess.run([*command, *options], input=stdin, capture_output=True, timeout=RUN_SECONDS, check=False)


def tables(config):
    """Return the content of every table of the ledger."""
    with open_snapshot(Config.parse(config)) as snapshot:
        return {
            table.name: sorted(map(repr, snapshot.connection.execute(select(table)).all()))
            for table in TABLES
            if has_table(snapshot.connection, table)
        }


def requests_to_wicked(simulator):
    """Count the requests to every host but the source's."""
    by_path = simulator.stats()["requests"]["by_path"]
    return {path: count for path, count in by_path.items() if "wecantrack" not in path and "transactions" not in path}


def test_a_preview_of_changes_is_what_the_next_run_sends_and_touches_nothing(
    simulator, workspace, config, read, tmp_path
):
    first = read()
    assert workspace.run(DESTINATION, "write", config=config, catalog=catalog("transactions"), stdin=first).code == 0
    simulator.set_clock("2026-04-20T12:00:00", frozen=True)
    second = read()
    before, requests = tables(config), requests_to_wicked(simulator)
    bytes_before = {path: path.read_bytes() for path in tmp_path.glob("ledger.sqlite")}
    done = show(workspace, config, second, "--json")
    assert done.returncode == 0, done.stderr
    assert requests_to_wicked(simulator) == requests
    assert tables(config) == before
    assert {path: path.read_bytes() for path in tmp_path.glob("ledger.sqlite")} == bytes_before
    assert not (tmp_path / "rejected.jsonl").exists()
    *rows, last = [json.loads(line) for line in done.stdout.splitlines()]
    orders, refunds = simulator.wicked_rows("orders"), refunds_in(simulator.wicked_rows("orderpayments"))
    assert workspace.run(DESTINATION, "write", config=config, catalog=catalog("transactions"), stdin=second).code == 0
    previewed = {name: [row["row"] for row in rows if row["endpoint"] == name] for name in ("orders", "order_payments")}
    sent = simulator.wicked_rows("orders")[len(orders) :]
    assert [row["SourceID"] for row in previewed["orders"]] == [row["SourceID"] for row in sent]
    assert len(sent) == last["summary"]["rows"]["orders"]["new"] > 0
    refunded = len(refunds_in(simulator.wicked_rows("orderpayments"))) - len(refunds)
    assert len(previewed["order_payments"]) == refunded == last["summary"]["rows"]["order_payments"]["new"] > 0


def refunds_in(payments):
    return [payment for payment in payments if "REFUNDED" in payment["Status"]]


def test_the_text_shows_rows_money_rules_and_what_none_matched(workspace, config, read):
    done = show(workspace, config, read())
    text = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "nothing was sent" in text
    assert "INFO Reading stream transactions" in done.stderr.decode().splitlines()
    assert "orders: the first 3 of" in text
    assert "currency" in text
    assert "gross" in text
    lines = text.splitlines()
    rules = lines.index("Contact rules: the first that matches a record is used")
    assert lines[rules + 2].endswith("(0 %)")
    assert not lines[rules + 3].endswith("(0 %)")
    assert "No rule matched" in text
    assert "no contact rule matched" in text


def test_it_stops_after_so_many_records(workspace, config, read):
    done = show(workspace, config, read(), "--records", "7", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["records"]["received"] == 7


def test_a_ledger_of_another_account_stops_the_preview_as_it_stops_a_run(workspace, config, read):
    lines = read()
    assert workspace.run(DESTINATION, "write", config=config, catalog=catalog("transactions"), stdin=lines).code == 0
    done = show(workspace, {**config, "api_key": "another"}, lines)
    assert done.returncode == 2
    assert "was filled with another API key" in done.stderr.decode()
