"""Runs on one ledger in PostgreSQL, in parallel, killed, and disconnected: each row is in Wicked once."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from urllib.parse import quote

import pytest

from integration_tests.support.postgres import PASSWORD, ask
from integration_tests.support.processes import catalog, finish_pipe, start_pipe
from integration_tests.test_destination import order, payment, state

NAME = "destination-wicked-reports"
LIMIT_SECONDS = 120
ORDERS = 600
KILLS = 5


@pytest.fixture
def config(server, simulator, tmp_path, workspace):
    workspace.secrets.append(PASSWORD)
    ledger = {"type": "postgres", "url": server.database()}

    def make(name="rejected", **extra):
        return {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "ledger": ledger,
            "rejected_records_path": str(tmp_path / f"{name}.jsonl"),
            "on_rejected_record": "skip",
            **extra,
        }

    make.url = ledger["url"]
    return make


def everything() -> bytes:
    """The records of one connection: orders, then a payment for each, with a STATE after every hundred."""
    messages = []
    for number in range(1, ORDERS + 1):
        messages.append(order(number))
        if number % 100 == 0:
            messages.append(state(number))
    for number in range(1, ORDERS + 1):
        messages.append(payment(number))
        if number % 100 == 0:
            messages.append(state(number, "order_payments"))
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


class Writer:
    """One connection, which is killed and run again until it completes."""

    def __init__(self, workspace, name, config, records):
        self.workspace, self.records, self.process = workspace, records, None
        command = workspace.command(
            NAME,
            "write",
            config=workspace.file(f"{name}.config.json", config),
            catalog=workspace.file(f"{name}.catalog.json", catalog("orders", "order_payments")),
        )
        self._command = command
        self._out = workspace.folder / f"{name}.out"

    def start(self) -> None:
        with self.records.open("rb") as lines, self._out.open("ab") as out:
            self.process = subprocess.Popen(self._command, stdin=lines, stdout=out, stderr=out)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def finish(self) -> int:
        return self.process.wait(timeout=LIMIT_SECONDS)

    def said(self) -> str:
        return self._out.read_text()


def posts(simulator) -> int:
    by_path = simulator.stats()["requests"]["by_path"]
    return sum(count for path, count in by_path.items() if path.startswith("POST"))


def in_doubt(*paths) -> Counter:
    lines = [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]
    assert all(line["outcome"] == "in_doubt" for line in lines)
    return Counter(line["row"]["OrderID"] for line in lines if line["endpoint"] == "order_payments")


@pytest.mark.parametrize("seed", [pytest.param(1), *(pytest.param(n, marks=pytest.mark.campaign) for n in range(2, 8))])
def test_two_writers_of_the_same_rows_under_kill_9_send_each_once_and_lose_none(
    simulator, config, workspace, tmp_path, seed
):
    rng = random.Random(seed)
    simulator.switch("wicked.unknown_contact", "accept")
    simulator.fault("slow", method="POST", seconds=0.02, times=0)
    records = tmp_path / "records.jsonl"
    records.write_bytes(everything())
    names = ("first", "second")
    writers = [Writer(workspace, name, config(name, batch_rows=50), records) for name in names]
    for writer in writers:
        writer.start()
    for _ in range(KILLS):
        begun, deadline = posts(simulator), time.monotonic() + LIMIT_SECONDS
        wanted = rng.randint(1, 5)
        while posts(simulator) < begun + wanted and any(writer.process.poll() is None for writer in writers):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        victim = rng.choice(writers)
        victim.kill()
        victim.start()
    assert [writer.finish() for writer in writers] == [0, 0], "".join(writer.said()[-3000:] for writer in writers)
    stored = Counter(row["OrderID"] for row in simulator.wicked_rows("orderpayments"))
    unsure = in_doubt(*(tmp_path / f"{name}.jsonl" for name in names))
    numbers = {str(number) for number in range(1, ORDERS + 1)}
    assert Counter(row["SourceID"] for row in simulator.wicked_rows("orders")) == dict.fromkeys(numbers, 1)
    assert set(stored.values()) == {1}, "a payment that was sent twice"
    assert stored.keys() | unsure.keys() == numbers, "a payment that is neither in Wicked nor reported"
    assert ask(config.url, "SELECT count(*) FROM wicked_reports.outbox") == [(0,)]


def test_connections_of_two_source_systems_run_at_the_same_time(simulator, config, workspace):
    """One waits for its source while the other runs from start to end."""
    simulator.generate(seed=3, transactions=40, days=5)
    mapping = {"type": "wecantrack", "without_contact": "synthetic"}
    asked = catalog("transactions")
    waiting = subprocess.Popen(
        workspace.command(NAME, "write", config=config("other", mapping={**mapping, "type": "sovrn"}), catalog=asked),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        first_line = waiting.stdout.readline()  # logged once it has its lease
        source = {"api_key": simulator.wecantrack_key, "api_url": simulator.url, "start_date": "2026-03-25"}
        pipe = start_pipe(
            workspace.command("source-wecantrack", "read", config=source, catalog=asked),
            workspace.command(NAME, "write", config=config(mapping=mapping), catalog=asked),
        )
        result = finish_pipe(workspace, *pipe)
    finally:
        nothing_new = b'{"type": "LOG", "log": {"level": "INFO", "message": "Read 0 records"}}\n'
        rest, stderr = waiting.communicate(nothing_new, timeout=LIMIT_SECONDS)
    workspace.keep(waiting.returncode, first_line + rest, stderr)
    assert (result.source_code, result.destination.code, waiting.returncode) == (0, 0, 0), result.destination.said
    assert simulator.wicked_rows("orders")
    assert "Waiting for" not in result.destination.said


def test_a_connection_dropped_mid_run_fails_clearly_and_the_next_run_sends_the_rest(
    simulator, config, workspace, tmp_path
):
    simulator.switch("wicked.unknown_contact", "accept")
    asked = catalog("orders")
    command = workspace.command(NAME, "write", config=config(batch_rows=10), catalog=asked)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    messages = [json.dumps(order(number)).encode() + b"\n" for number in range(1, 41)]
    with subprocess.Popen(command, **pipes) as process:
        process.stdin.writelines(messages[:20])
        process.stdin.flush()
        deadline = time.monotonic() + LIMIT_SECONDS
        while len(simulator.wicked_rows("orders")) < 20 or ask(config.url, "SELECT 1 FROM wicked_reports.outbox"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        ask(
            config.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        stdout, stderr = process.communicate(b"".join(messages[20:]), timeout=LIMIT_SECONDS)
    result = workspace.keep(process.returncode, stdout, stderr)
    (error,) = result.errors
    assert (result.code, error["failure_type"]) == (1, "transient_error")
    assert "Acknowledged records are safe" in error["message"]
    again = workspace.run(NAME, "write", config=config(batch_rows=10), catalog=asked, stdin=b"".join(messages))
    assert again.code == 0, again.said
    assert Counter(row["SourceID"] for row in simulator.wicked_rows("orders")) == {str(n): 1 for n in range(1, 41)}
    assert not (tmp_path / "rejected.jsonl").exists()


def test_check_opens_the_ledger_and_prints_no_password(config, workspace):
    asked = config()
    result = workspace.run(NAME, "check", config=asked)
    assert result.of("CONNECTION_STATUS")[0]["status"] == "SUCCEEDED", result.said
    asked["ledger"]["url"] = asked["ledger"]["url"].replace("@/", "x@/")
    (status,) = workspace.run(NAME, "check", config=asked).of("CONNECTION_STATUS")
    assert status["status"] == "FAILED"
    assert "password authentication failed" in status["message"]
    asked["ledger"]["url"] = f"mysql://wicked:{quote(PASSWORD)}@/x"
    (status,) = workspace.run(NAME, "check", config=asked).of("CONNECTION_STATUS")
    assert "must be a PostgreSQL URL" in status["message"]


# -- replay and ledger -----------------------------------------------------------------------------------------


def command(*words, config, workspace):
    path = workspace.file("command.json", config)
    line = [workspace.command(NAME, words[0])[0], words[0], "--config", str(path), *words[1:]]
    return subprocess.run(line, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)


def ledger(job, *words, config, workspace):
    path = workspace.file("command.json", config)
    line = [workspace.command(NAME, "ledger")[0], "ledger", job, "--config", str(path), *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)


def test_a_payment_without_its_order_is_replayed_once_the_order_is_there(simulator, config, workspace, tmp_path):
    simulator.switch("wicked.unknown_order", "row_error")
    simulator.switch("wicked.unknown_contact", "accept")
    asked = catalog("orders", "order_payments")
    assert workspace.run(NAME, "write", config=config(), catalog=asked, stdin=[payment(1)]).code == 0
    assert workspace.run(NAME, "write", config=config(), catalog=asked, stdin=[order(1)]).code == 0
    file = tmp_path / "rejected.jsonl"
    (line,) = file.read_text().splitlines()
    file.write_text(json.dumps({**json.loads(line), "outcome": "fixed"}) + "\n")
    invalid = command("replay", "--rejects", str(file), config=config(), workspace=workspace)
    assert invalid.returncode == 1
    assert "line 1 has an `outcome`" in invalid.stderr
    file.write_text(line + "\n")
    done = command("replay", "--rejects", str(file), config=config(), workspace=workspace)
    assert (done.returncode, "order_payments: 1 sent" in done.stdout) == (0, True), done.stderr
    again = command("replay", "--rejects", str(file), config=config(), workspace=workspace)
    assert "order_payments: 0 sent, 1 unchanged" in again.stdout
    assert len(simulator.wicked_rows("orderpayments")) == 1
    table = ledger("status", "--by-day", config=config(), workspace=workspace).stdout.splitlines()
    assert table[0].split() == ["day", "stream", "endpoint", "status", "rows"]
    assert [line.split()[1:] for line in table[1:]] == [
        ["order_payments", "order_payments", "accepted", "1"],
        ["orders", "orders", "accepted", "1"],
    ]
    shown = ledger("search", "shop/1", "--json", config=config(), workspace=workspace)
    assert [json.loads(text)["endpoint"] for text in shown.stdout.splitlines()] == ["orders"]


def test_the_commands_report_errors_without_a_traceback(config, workspace, tmp_path):
    missing = command("replay", "--rejects", str(tmp_path / "none.jsonl"), config=config(), workspace=workspace)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    empty = ledger("status", config=config(), workspace=workspace)
    assert (empty.returncode, "is empty" in empty.stderr) == (1, True)
