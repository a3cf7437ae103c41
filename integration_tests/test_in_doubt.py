"""`ledger in-doubt --ask` as users run it: lost responses, what Wicked has of them, replay, and both nets."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from builders import affiliate
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.ledger.opening import open_ledger

from integration_tests.simulator.client import SimulatorClient
from integration_tests.support.processes import EMAIL, RUN_SECONDS, Workspace, catalog

NAME = "destination-wicked-reports"
ARRIVED, LOST = "store_then_close", "close_before_answer"


def record(stream: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 0}}


def sale(name: str, amount: str, day: str, status: str = "approved") -> dict[str, Any]:
    """Return a sale as the network has it on a day of June."""
    when = f"2024-06-{day} 00:00:00"
    changes = {"status": status, "commission_amount": amount, "last_wct_update": when, "modified_date": when}
    return record("transactions", affiliate.transaction(transaction_id=name, **changes))


class Connection:
    """One connection of the destination, and its commands."""

    def __init__(self, workspace: Workspace, simulator: SimulatorClient, **config: Any) -> None:
        self.workspace, self.simulator = workspace, simulator
        self.config = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "ledger": {"type": "sqlite", "path": str(workspace.folder / "ledger.sqlite")},
            "rejected_records_path": str(workspace.folder / "rejected.jsonl"),
            **config,
        }

    def write(self, *lines: dict[str, Any], fault: str = "", code: int = 0, path: str = "/orderpayments") -> str:
        if fault:
            self.simulator.fault(fault, path)
        asked = catalog(*dict.fromkeys(line["record"]["stream"] for line in lines))
        result = self.workspace.run(NAME, "write", config=self.config, catalog=asked, stdin=lines)
        assert result.code == code, result.said
        return result.said

    def command(self, *words: Any) -> subprocess.CompletedProcess[str]:
        path = self.workspace.file("command.json", self.config)
        line = [self.workspace.command(NAME, words[0])[0], *map(str, words), "--config", str(path)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        assert self.simulator.wicked_key not in done.stdout + done.stderr
        assert not EMAIL.search(done.stdout + done.stderr)
        return done

    def ask(self, *options: Any) -> subprocess.CompletedProcess[str]:
        return self.command("ledger", "in-doubt", "--ask", "--grace-hours", "0", *options)

    def verdicts(self, *options: Any) -> dict[str, str]:
        """Return the verdict on each row in doubt, by its key."""
        done = self.ask("--json", *options)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {row["key"]: row["wicked"] for row in rows}


@pytest.fixture
def connect(workspace, simulator) -> Callable[..., Connection]:
    simulator.outbound.pace(0)
    return lambda **config: Connection(workspace, simulator, **config)


@pytest.fixture
def sales(connect):
    """A connection with three sales of which a refund arrived, one was lost, and one is in order."""

    def make(**config: Any) -> Connection:
        made: Connection = connect(mapping={"type": "wecantrack", "without_contact": "synthetic"}, **config)
        made.write(sale("T1", "10.00", "01"), sale("T2", "8.00", "01"), sale("T3", "6.00", "01"))
        made.write(sale("T1", "7.00", "02"), fault=ARRIVED, code=1)
        made.write(sale("T2", "5.00", "02"), fault=LOST, code=1)
        made.write(sale("T3", "4.00", "02"))
        made.simulator.outbound.process()
        return made

    return make


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_wicked_lacks_is_replayed_what_it_has_is_settled_and_both_nets_are_right(sales, kind, server, tmp_path):
    ledger = {"ledger": {"type": "postgres", "url": server.database()}} if kind == "postgres" else {}
    connection = sales(**ledger)
    since = connection.simulator.stats()["requests"]["total"]
    assert connection.verdicts() == {"wecantrack/wct-7-T1#2": "shown", "wecantrack/wct-7-T2#2": "missing"}
    asked = [one for one in connection.simulator.requests(since=since) if one["path"] != "/_sim/stats"]
    days = {day for one in asked for name, day in one["query"] if name in ("from", "to")}
    assert {one["method"] for one in asked} == {"GET"}
    assert max(days) <= "2024-05-20", "the day of the sales, and not the days since"
    assert min(days) >= "2024-05-01"

    missing = tmp_path / "missing.jsonl"
    done = connection.ask("--write", missing, "--settle")
    assert done.returncode == 0, done.stderr
    assert "1 shown, 1 missing, 0 unknown." in done.stdout
    assert [json.loads(line)["key"] for line in missing.read_text().splitlines()] == ["wecantrack\x1fwct-7-T2#2"]
    assert list(connection.verdicts()) == ["wecantrack/wct-7-T2#2"], "the other one is settled"
    replayed = connection.command("replay", "--rejects", missing, "--in-doubt")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert connection.command("ledger", "in-doubt").stdout == "No row is in doubt.\n"
    assert "Open:" not in connection.command("ledger", "status").stdout

    said = connection.write(sale("T1", "7.00", "02"), sale("T2", "5.00", "02"), sale("T3", "4.00", "02"))
    assert "in doubt." not in said
    held = connection.simulator.held(orders=True)
    nets = {name: (order["net_by_orders"], order["net_by_payments"]) for name, order in held.items()}
    assert nets == {"wct-7-T1": ("7.00",) * 2, "wct-7-T2": ("5.00",) * 2, "wct-7-T3": ("4.00",) * 2}
    connection.simulator.outbound.process()
    assert connection.verdicts() == {}


def test_what_was_sent_recently_is_never_missing(sales):
    done = sales().command("ledger", "in-doubt", "--ask", "--json")
    rows = {row["key"]: (row["wicked"], row["why"]) for row in map(json.loads, done.stdout.splitlines())}
    assert rows["wecantrack/wct-7-T1#2"] == ("shown", "")
    assert rows["wecantrack/wct-7-T2#2"][0] == "unknown"
    assert "too recently" in rows["wecantrack/wct-7-T2#2"][1]
    assert "ask again after a day" in done.stderr


def test_an_account_in_another_time_zone_needs_the_sources_configuration(sales, tmp_path):
    connection = sales()
    connection.simulator.switch("outbound.naive_dates", "utc")
    rows = {row["key"]: row for row in map(json.loads, connection.ask("--json").stdout.splitlines())}
    assert rows["wecantrack/wct-7-T1#2"]["wicked"] == "unknown"
    assert "account_time_zone" in rows["wecantrack/wct-7-T1#2"]["why"]
    source = tmp_path / "source.json"
    content = {name: connection.config[name] for name in ("api_key", "api_url")}
    source.write_text(json.dumps({**content, "start_date": "2026-01-01", "account_time_zone": "UTC"}))
    assert connection.verdicts("--source-config", source)["wecantrack/wct-7-T1#2"] == "shown"
    source.write_text(json.dumps({**content, "api_key": "another", "start_date": "2026-01-01"}))
    refused = connection.ask("--source-config", source)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "another API key" in refused.stderr


def test_equal_payments_of_an_order_of_another_month_are_counted_and_a_click_is_unknown(connect, tmp_path):
    connection = connect(batch_rows=1, max_requests_in_flight=1)
    person = {"SourceSystem": "shop", "SourceID": "c1", "CreateDate": "2026-01-01 00:00:00", "Email": "a@shop.example"}
    order = {"SourceSystem": "shop", "SourceID": "o1", "CreateDate": "2026-01-05 10:00:00", "ContactID": "c1"}
    connection.write(record("contacts", person), record("orders", {**order, "OrderTotal": "20"}))
    paid = {"PaymentDate": "2026-03-20 10:00:00", "Amount": "10.00", "Status": "APPROVED"}
    connection.simulator.fault(LOST, "/orderpayments", nth=2)
    connection.write(
        record("orders", {**order, "OrderTotal": "20", "OrderPayments": [paid, paid]}), fault=ARRIVED, code=1
    )
    click = {"Email": "a@shop.example", "Date_Time": "2026-03-01 10:00:00", "Timezone": "UTC"}
    connection.write(record("clicks", {**click, "ConversionType": "NEW_LEAD"}), fault=LOST, code=1, path="/clicks")
    connection.simulator.outbound.process()
    assert sorted(connection.verdicts().values()) == ["missing", "shown", "unknown"]

    missing = tmp_path / "missing.jsonl"
    done = connection.ask("--write", missing, "--settle")
    assert "1 shown, 1 missing, 1 unknown." in done.stdout
    assert "Unknown rows were neither written nor settled." in done.stdout
    assert connection.command("replay", "--rejects", missing, "--in-doubt").returncode == 0
    assert [row["Amount"] for row in connection.simulator.wicked_rows("orderpayments")] == [10, 10]
    assert list(connection.verdicts().values()) == ["unknown"]
    left = connection.ask("--write", tmp_path / "none.jsonl")
    assert "none.jsonl was not written" in left.stdout
    assert not (tmp_path / "none.jsonl").exists()


def test_rows_are_looked_up_during_a_run_but_not_settled(sales):
    connection = sales()
    running = open_ledger(Config.parse(connection.config))
    try:
        running.acquire(["wecantrack\x1f"])
        assert connection.verdicts()["wecantrack/wct-7-T1#2"] == "shown"
        refused = connection.ask("--settle")
        assert refused.returncode == 1
        assert "another run" in refused.stderr.lower()
    finally:
        running.close()
    assert connection.verdicts()["wecantrack/wct-7-T1#2"] == "shown"


def test_what_stands_in_the_way_is_a_sentence_and_exit_code_1(sales, tmp_path):
    connection = sales()
    reachable = connection.config
    for changes, sentence in (
        ({"test_mode": True}, "test_mode is on"),
        ({"api_key": "another"}, "another API key"),
        ({"ledger": {"type": "sqlite", "path": str(tmp_path / "none.sqlite")}}, "nothing was sent yet"),
        ({"api_url": f"{connection.simulator.url}/nowhere"}, "not found at this address"),
    ):
        connection.config = {**reachable, **changes}
        done = connection.ask()
        assert (done.returncode, done.stdout) == (1, ""), changes
        assert sentence in done.stderr
    connection.config = reachable
    connection.simulator.key("wicked", connection.simulator.wicked_key, "outbound_off")
    done = connection.ask()
    assert (done.returncode, done.stdout) == (1, "")
    assert "ask Wicked Reports' support to enable it" in done.stderr
    assert connection.command("ledger", "in-doubt", "--settle").returncode == 1


def test_without_a_row_in_doubt_wicked_is_not_asked(connect):
    connection = connect(mapping={"type": "wecantrack", "without_contact": "synthetic"})
    connection.write(sale("T1", "10.00", "01"))
    connection.simulator.key("wicked", connection.simulator.wicked_key, "outbound_off")
    done = connection.ask()
    assert (done.returncode, done.stdout) == (0, "No row is in doubt.\n")
