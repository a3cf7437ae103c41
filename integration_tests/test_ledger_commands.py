"""`ledger` as a process, with a real run before and during it, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import subprocess

import pytest
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.ledger.opening import open_ledger
from destination_wicked_reports.ledger.reading import open_snapshot
from destination_wicked_reports.ledger.sql import has_table
from destination_wicked_reports.ledger.tables import TABLES
from sqlalchemy import select

from integration_tests.support.processes import RUN_SECONDS, catalog

NAME = "destination-wicked-reports"


@pytest.fixture
def config(simulator, tmp_path, server):
    """Return configurations by kind of ledger."""
    simulator.throttle(100_000)

    def make(kind: str, name: str = "ledger") -> dict:
        path = str(tmp_path / f"{name}.sqlite")
        ledger = {"type": "sqlite", "path": path} if kind == "sqlite" else {"type": "postgres", "url": make.url}
        return {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {"type": "wecantrack", "without_contact": "synthetic"},
            "ledger": ledger,
            "rejected_records_path": str(tmp_path / "rejected.jsonl"),
        }

    make.url = server.database()
    return make


def ledger(workspace, config, job, *options):
    path = workspace.file("command.json", config)
    line = [workspace.command(NAME, "ledger")[0], "ledger", job, "--config", str(path), *map(str, options)]
    return subprocess.run(line, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)


def write(workspace, simulator, config):
    asked = catalog("transactions")
    source = {"api_key": simulator.wecantrack_key, "api_url": simulator.url, "start_date": "2026-03-02"}
    read = workspace.command("source-wecantrack", "read", config=source, catalog=asked)
    lines = subprocess.run(read, capture_output=True, check=True, timeout=RUN_SECONDS).stdout
    return workspace.run(NAME, "write", config=config, catalog=asked, stdin=lines)


def content(config):
    """Return every table, but for the runs and leases of the commands that were used."""
    with open_snapshot(Config.parse(config)) as snapshot:
        return {
            table.name: sorted(
                repr([bytes(each) if isinstance(each, bytes | memoryview) else each for each in row])
                for row in snapshot.connection.execute(select(table))
            )
            for table in TABLES
            if has_table(snapshot.connection, table) and table.name not in ("leases", "outbox")
        }


def test_a_ledger_moves_to_postgresql_and_back_and_nothing_is_sent_again(simulator, workspace, config, tmp_path):
    simulator.generate(seed=3, transactions=120, days=20)
    old, new, back = config("sqlite"), config("postgres"), config("sqlite", "back")
    assert write(workspace, simulator, old).code == 0
    before = content(old)
    for source, target in ((old, new), (new, back)):
        done = ledger(workspace, source, "copy", "--to", workspace.file("target.json", target))
        assert done.returncode == 0, done.stderr
        assert content(target) == before
    posts = len([each for each in simulator.requests() if each["method"] == "POST"])
    for target in (new, back):
        assert write(workspace, simulator, target).code == 0
    assert len([each for each in simulator.requests() if each["method"] == "POST"]) == posts


def test_the_numbers_of_postgresql_continue_after_a_copy(simulator, workspace, config):
    simulator.generate(seed=3, transactions=30, days=5)
    old, new = config("sqlite"), config("postgres")
    assert write(workspace, simulator, old).code == 0
    assert ledger(workspace, old, "copy", "--to", workspace.file("target.json", new)).returncode == 0
    simulator.set_clock("2026-05-16T12:00:00", frozen=True)
    simulator.generate(seed=4, transactions=30, days=5)
    assert write(workspace, simulator, new).code == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_runs_and_rows_are_readable_while_a_run_is_on_and_forget_refuses(simulator, workspace, config, kind):
    simulator.generate(seed=3, transactions=30, days=10)
    chosen = config(kind)
    assert write(workspace, simulator, chosen).code == 0
    running = open_ledger(Config.parse(chosen))
    try:
        running.acquire(["wecantrack\x1f"])
        for job, options in (("status", ()), ("search", ("wct",)), ("export", ()), ("in-doubt", ())):
            done = ledger(workspace, chosen, job, *options)
            assert (done.returncode, done.stderr.count("\n") <= 1) == (0, True), done.stderr
        refused = ledger(workspace, chosen, "forget", "--source-system", "wecantrack", "--yes")
        assert refused.returncode == 1
        assert "another run" in refused.stderr.lower()
    finally:
        running.close()
    (status,) = [json.loads(line) for line in ledger(workspace, chosen, "status", "--json").stdout.splitlines()]
    (run,) = status["runs"]
    assert (run["command"], run["state"], run["code"]) == ("write", "ended", 0)
    assert run["sent"] == sum(status["sent"].values())


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_forgotten_sale_is_sent_again_by_the_next_full_read(simulator, workspace, config, kind):
    simulator.generate(seed=3, transactions=30, days=10)
    chosen = config(kind)
    assert write(workspace, simulator, chosen).code == 0
    order = simulator.wicked_rows("orders")[0]["SourceID"]
    shown = ledger(workspace, chosen, "forget", "--sale", order)
    assert f"  wecantrack/{order}\n" in shown.stdout
    assert ledger(workspace, chosen, "forget", "--sale", order, "--yes").returncode == 0
    posts = simulator.stats()["requests"]["by_path"]
    assert write(workspace, simulator, chosen).code == 0
    again = simulator.stats()["requests"]["by_path"]
    assert again["POST /orders"] == posts["POST /orders"] + 1


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_killed_run_shows_as_not_ended(simulator, workspace, config, kind):
    chosen = {**config(kind), "mapping": {"type": "native"}}
    asked = workspace.command(NAME, "write", config=chosen, catalog=catalog("contacts"))
    process = subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    state = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "contacts"}, "stream_state": {"n": 1}}}
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"type": "STATE", "state": state}).encode() + b"\n")
    process.stdin.flush()
    assert any(b'"type":"STATE"' in line for line in process.stdout)
    (run,) = json.loads(ledger(workspace, chosen, "status", "--json").stdout)["runs"]
    assert run["state"] == "running"
    process.kill()
    process.communicate()
    (run,) = json.loads(ledger(workspace, chosen, "status", "--json").stdout)["runs"]
    assert (run["state"], run["code"]) == ("not ended", "")
