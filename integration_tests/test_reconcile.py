"""`wicked-reports-reconcile` as users run it: compares orders that the destination sent with those the source reads."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from builders import affiliate as affiliate_builders
from builders import bigcommerce as bigcommerce_builders
from destination_wicked_reports.reconcile.cli import main

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator
from integration_tests.support.postgres import running_postgres
from integration_tests.support.processes import BIN, EMAIL, RUN_SECONDS, Workspace, catalog

Rows = dict[str, list[dict[str, Any]]]
STREAMS = ("contacts", "orders", "order_payments")
#: id, day and hour, total, payments
ORDERS = [
    ("A1", "2026-03-01 10:00:00", "100.10", "EUR", [("APPROVED", "100.10")]),
    ("A2", "2026-03-01 23:30:00", "50.00", "EUR", [("APPROVED", "50.00"), ("PARTIALLY REFUNDED", "12.34")]),
    ("A3", "2026-03-02 00:10:00", "19.99", "USD", [("APPROVED", "19.99"), ("REFUNDED", "19.99")]),
    ("A4", "2026-03-03 08:00:00", "0.07", "USD", []),
]


def record(stream: str, **data: Any) -> dict[str, Any]:
    return {"type": "RECORD", "record": {"stream": stream, "data": {"SourceSystem": "shop", **data}, "emitted_at": 0}}


def records() -> Iterator[dict[str, Any]]:
    person = {"CreateDate": "2026-02-01 00:00:00", "Email": "somebody@shop.example"}
    yield record("contacts", SourceID="c1", **person)
    for name, when, total, currency, payments in ORDERS:
        fields = {"CreateDate": when, "ContactID": "c1", "OrderTotal": total, "OrderCurrency": currency}
        yield record("orders", SourceID=name, **fields)
        for status, amount in payments:
            yield record("order_payments", OrderID=name, PaymentDate=when, Amount=amount, Status=status)


@dataclass
class Outcome:
    """Result of one comparison."""

    code: int
    lines: list[str]
    stderr: str

    @property
    def verdict(self) -> str:
        return self.lines[-1] if self.lines else ""

    @property
    def differences(self) -> list[list[str]]:
        """Return the cells of the table of differences."""
        return self.table("field")

    @property
    def ambiguous_orders(self) -> list[list[str]]:
        """Return the cells of the table of orders whose two nets differ."""
        return self.table("payments at Wicked")

    def table(self, head: str) -> list[list[str]]:
        """Return the cells of the table with this column."""
        starts = [place for place, line in enumerate(self.lines) if line.startswith("day") and head in line]
        rows = self.lines[starts[0] + 1 : self.lines.index("", starts[0])] if starts else []
        return [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]


@dataclass
class Account:
    """An account at the simulator, and the configuration and files of the connection that fills it."""

    simulator: SimulatorClient
    folder: Path
    destination: dict[str, Any]
    args: list[str] = field(default_factory=list)

    def file(self, name: str, content: Any) -> str:
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def source(self, **more: Any) -> str:
        own = {"api_key": self.simulator.wicked_key, "api_url": self.simulator.url, "start_date": "2026-01-01"}
        return self.file("source.json", {**own, **more})

    def command(self, *more: str) -> list[str]:
        return ["--destination-config", self.file("destination.json", self.destination), *self.args, *more]

    def reconcile(self, *more: str) -> Outcome:
        """Compare in this process; the orders of the outbound API are given as a file."""
        now = int(time.time() * 1000)
        rows = self.simulator.outbound.rows("orders")
        lines = [{"type": "RECORD", "record": {"stream": "orders", "data": row, "emitted_at": now}} for row in rows]
        reported = self.file("reported.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(self.command("--read", reported, *more))
        return self.outcome(code, out.getvalue(), err.getvalue())

    def reconcile_live(self, *more: str, source: str | None = None) -> Outcome:
        """Compare with the console script, which runs the source."""
        self.simulator.outbound.pace(0)
        script = [str(BIN / "wicked-reports-reconcile"), "--source-config", source or self.source()]
        done = subprocess.run(
            [*script, *self.command(*more)], capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
        return self.outcome(done.returncode, done.stdout, done.stderr)

    def outcome(self, code: int, stdout: str, stderr: str) -> Outcome:
        assert self.simulator.wicked_key not in stdout + stderr
        assert not EMAIL.search(stdout + stderr)
        return Outcome(code, stdout.splitlines(), stderr)

    def replace_rows(self, change: Callable[[Rows], None], rows: Rows) -> None:
        """Replace all rows at Wicked by these rows after a change."""
        rows = json.loads(json.dumps(rows))
        change(rows)
        self.simulator.reset("wicked")
        for endpoint, changed in rows.items():
            if changed:
                headers = {"apikey": self.simulator.wicked_key}
                url = f"{self.simulator.url}/{endpoint}"
                assert requests.post(url, json=changed, headers=headers, timeout=10).json()["records"] == len(changed)
        self.simulator.outbound.process()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Iterator[tuple[Account, Rows]]:
    """An account that the destination filled with native records, and its rows."""
    folder = tmp_path_factory.mktemp("account")
    with running_simulator(start="2026-04-01T12:00:00", frozen=True) as simulator:
        destination = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "ledger": {"type": "sqlite", "path": str(folder / "ledger.sqlite")},
        }
        account = Account(simulator, folder, destination)
        workspace = Workspace(folder)
        result = workspace.run(
            "destination-wicked-reports", "write", config=destination, catalog=catalog(*STREAMS), stdin=records()
        )
        assert result.code == 0, result.said
        sent = account.file("sent.jsonl", "".join(json.dumps(line) + "\n" for line in records()))
        account.args = ["--sent", sent, "--grace-hours", "0"]
        rows = {name: simulator.wicked_rows(name) for name in ("contacts", "orders", "orderpayments")}
        yield account, rows


@pytest.fixture
def account(written) -> Account:
    account, rows = written
    account.replace_rows(lambda _: None, rows)
    return account


@pytest.fixture
def rows(written) -> Rows:
    return written[1]


# -- equal ------------------------------------------------------------------------------------------------------------


def test_what_was_sent_and_read_back_is_equal_day_by_day(account):
    outcome = account.reconcile_live("--all-days")
    assert (outcome.code, outcome.verdict) == (0, "Equal to the cent."), outcome.stderr
    days = [
        " ".join(line.split()) for line in outcome.lines if line.startswith(("2026-", "total")) and "shop/" not in line
    ]
    assert days == [
        "2026-03-01 EUR 2 2 150.10 150.10 12.34 12.34 137.76 137.76 137.76 137.76",
        "2026-03-02 USD 1 1 19.99 19.99 19.99 19.99 0.00 0.00 0.00 0.00",
        "2026-03-03 USD 1 1 0.07 0.07 0.00 0.00 0.07 0.07 0.00 0.00",
        "total EUR 2 2 150.10 150.10 12.34 12.34 137.76 137.76 137.76 137.76",
        "total USD 2 2 20.06 20.06 19.99 19.99 0.07 0.07 0.00 0.00",
    ]
    assert outcome.ambiguous_orders == [["2026-03-03", "shop/A4", "USD", "0.07", "0.00", "+0.07", "no payments"]]
    assert any("is 0.07 USD more by orders than by payments: 1 order counts" in line for line in outcome.lines)


def test_days_follow_the_requested_zone(account):
    outcome = account.reconcile(
        "--all-days", "--zone", "America/New_York", "--from", "2026-03-01", "--to", "2026-03-01"
    )
    days = [" ".join(line.split()[:4]) for line in outcome.lines if line.startswith("2026-")]
    assert (outcome.code, days) == (0, ["2026-03-01 EUR 2 2", "2026-03-01 USD 1 1"])


def test_orders_of_other_systems_are_counted_and_left_out(account, rows):
    def add(found):
        found["orders"].append({**found["orders"][0], "SourceSystem": "stripe", "SourceID": "S1"})

    account.replace_rows(add, rows)
    outcome = account.reconcile()
    assert outcome.code == 0
    assert any("stripe 1" in line for line in outcome.lines)


def test_without_a_ledger_the_records_alone_are_compared(account, tmp_path):
    forgetful = {**account.destination, "ledger": {"type": "none"}}
    assert Account(account.simulator, tmp_path, forgetful, account.args).reconcile().verdict == "Equal to the cent."


# -- every kind of difference ------------------------------------------------------------------------------------------


def remove(endpoint, place):
    return lambda rows: rows[endpoint].pop(place)


def amend(endpoint, place, **fields):
    return lambda rows: rows[endpoint][place].update(fields)


def repeat(endpoint, place, **fields):
    return lambda rows: rows[endpoint].append({**rows[endpoint][place], **fields})


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (remove("orders", 1), [["2026-03-01", "shop/A2", "order", "50.00 EUR", "-"]]),
        (amend("orders", 0, OrderTotal=100), [["2026-03-01", "shop/A1", "OrderTotal", "100.10", "100.00"]]),
        (amend("orders", 0, OrderCurrency="USD"), [["2026-03-01", "shop/A1", "OrderCurrency", "EUR", "USD"]]),
        (
            amend("orders", 3, CreateDate="2026-03-04 08:00:00"),
            [["2026-03-03", "shop/A4", "CreateDate", "2026-03-03 08:00:00", "2026-03-04 08:00:00"]],
        ),
        (
            repeat("orders", 3, SourceID="A9"),
            [["2026-03-03", "shop/A9", "order", "-", "0.07 USD", "never sent from here"]],
        ),
        (remove("orderpayments", 2), [["2026-03-01", "shop/A2", "refunded", "12.34", "0.00"]]),
        (remove("orderpayments", 0), [["2026-03-01", "shop/A1", "approved", "100.10", "0.00"]]),
        (repeat("orderpayments", 0), [["2026-03-01", "shop/A1", "approved", "100.10", "200.20"]]),
        (
            repeat("orderpayments", 0, Status="FAILED"),
            [["2026-03-01", "shop/A1", "payments", "1 payments", "2 payments"]],
        ),
    ],
    ids=[
        "missing order",
        "changed amount",
        "other currency",
        "other day",
        "extra order",
        "refund missing",
        "payment missing",
        "payment doubled",
        "failed payment doubled",
    ],
)
def test_a_difference_is_listed(account, rows, change, found):
    account.replace_rows(change, rows)
    outcome = account.reconcile()
    assert outcome.code == 1, outcome.stderr
    assert outcome.differences == found
    assert outcome.verdict == "Differs: 1 order not as sent; see the list of differences."


def test_an_order_that_wicked_has_twice_is_listed(account, rows):
    account.simulator.switch("wicked.duplicates", "both_kept")
    try:
        account.replace_rows(repeat("orders", 3), rows)
        outcome = account.reconcile()
    finally:
        account.simulator.switch("wicked.duplicates", "first_kept")
    assert outcome.code == 1
    assert outcome.differences == [["2026-03-03", "shop/A4", "order", "once", "2 times"]]


def test_the_html_report_has_every_difference_and_loads_no_external_resource(account, rows, tmp_path):
    account.replace_rows(remove("orderpayments", 2), rows)
    page = tmp_path / "report.html"
    assert account.reconcile("--html", str(page)).code == 1
    text = page.read_text()
    assert "shop/A2" in text
    assert "12.34" in text
    assert text.count('<svg class="chart"') == 2
    assert not [word for word in ("http://", "https://", "<script", "<link", "@import", "url(") if word in text]
    assert not EMAIL.search(text)


# -- not yet processed -----------------------------------------------------------------------------------------------


def test_a_row_sent_just_now_may_be_not_yet_processed(account, rows):
    account.replace_rows(remove("orders", 1), rows)
    outcome = account.reconcile("--grace-hours", "24")
    assert outcome.code == 0
    assert outcome.differences == [["2026-03-01", "shop/A2", "order", "50.00 EUR", "-", "not yet processed"]]
    assert outcome.verdict == "Equal, except 1 order that Wicked Reports has not processed yet."


def test_an_account_that_reports_no_order_sent_just_now_gives_no_result(account):
    account.replace_rows(lambda rows: [found.clear() for found in rows.values()], {})
    outcome = account.reconcile("--grace-hours", "24")
    assert outcome.code == 2
    assert outcome.verdict.startswith(f"Cannot tell yet: Wicked Reports reports none of {len(ORDERS)} orders")


def test_a_report_without_a_folder_is_refused_before_anything_is_read(account, tmp_path):
    outcome = account.reconcile("--html", str(tmp_path / "nowhere" / "report.html"))
    assert outcome.code == 2
    assert "create it first" in outcome.stderr


def test_a_refund_sent_just_now_may_be_not_yet_processed_but_a_doubled_payment_differs(account, rows):
    account.replace_rows(remove("orderpayments", 2), rows)
    assert account.reconcile("--grace-hours", "24").code == 0
    account.replace_rows(repeat("orderpayments", 0), rows)
    assert account.reconcile("--grace-hours", "24").code == 1


# -- the ledger alone ------------------------------------------------------------------------------------------------


def test_without_amounts_the_result_is_unknown_and_the_message_names_the_option(account, rows):
    args, account.args = account.args, ["--grace-hours", "0"]
    try:
        outcome = account.reconcile()
        assert (outcome.code, "--sent" in outcome.verdict) == (2, True)
        account.replace_rows(remove("orders", 1), rows)
        outcome = account.reconcile()
    finally:
        account.args = args
    assert outcome.code == 1
    assert outcome.differences == [["undated", "shop/A2", "order", "sent", "-"]]


def test_a_record_that_was_never_sent_is_reported_as_such(account):
    more = [record("orders", SourceID="A5", CreateDate="2026-03-05 00:00:00", ContactID="c1", OrderTotal="5")]
    more += [record("order_payments", OrderID="A1", PaymentDate="2026-03-05 00:00:00", Amount="1", Status="APPROVED")]
    args, account.args = account.args, ["--grace-hours", "0"]
    try:
        later = account.file("later.jsonl", "".join(json.dumps(line) + "\n" for line in more))
        outcome = account.reconcile(*args, "--sent", args[1], later)
    finally:
        account.args = args
    assert outcome.code == 1
    found = [(row[1], row[2], "not sent" in row[-1]) for row in outcome.differences]
    assert found == [("shop/A1", "payments", True), ("shop/A5", "order", True)]


# -- the ledger's own amounts -----------------------------------------------------------------------------------------


def sale(**changes: Any) -> dict[str, Any]:
    data = affiliate_builders.transaction(**changes)
    return {"type": "RECORD", "record": {"stream": "transactions", "data": data, "emitted_at": 0}}


SALES = [
    sale(status="approved", validation_date="2024-05-15 00:00:00"),
    sale(status="declined", last_wct_update="2024-05-16 00:00:00", modified_date="2024-05-16 00:00:00"),
    sale(status="approved", commission_amount="8.00", last_wct_update="2024-05-17 00:00:00"),
    sale(transaction_id="T2", status="approved"),
    sale(transaction_id="T2", status="approved", commission_amount="7.99", last_wct_update="2024-05-18 00:00:00"),
    sale(transaction_id="T3", status="declined"),
]
SHOP = [
    bigcommerce_builders.customer(),
    bigcommerce_builders.order(),
    bigcommerce_builders.transaction(1),
    bigcommerce_builders.transaction(2, "refund", 30.0, reference_transaction_id=1),
    bigcommerce_builders.order(101, "20.0000", payment_status="declined"),
]
RULE = {"field": "sub_ids.*", "pattern": r"^(?P<contact_id>U\d+)-"}


@pytest.mark.parametrize(
    ("mapping", "streams", "lines", "nets", "lost"),
    [
        ({"type": "wecantrack", "contact_rules": [RULE]}, ["transactions"], SALES, "15.99", "wecantrack/wct-7-T1~2"),
        (
            {"type": "bigcommerce"},
            ["customers", "orders", "transactions"],
            [{"type": "RECORD", "record": {"stream": s, "data": d, "emitted_at": 0}} for s, d in SHOP],
            "70.00",
            "BigCommerce/100",
        ),
    ],
    ids=["a reinstated, a lowered and a declined sale", "a shop's orders"],
)
def test_affiliate_and_shop_orders_need_the_ledger_alone(
    simulator, workspace, tmp_path, mapping, streams, lines, nets, lost
):
    destination = {
        "api_key": simulator.wicked_key,
        "api_url": simulator.url,
        "mapping": mapping,
        "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
    }
    wrote = workspace.run(
        "destination-wicked-reports", "write", config=destination, catalog=catalog(*streams), stdin=lines
    )
    assert wrote.code == 0, wrote.said
    simulator.outbound.process()
    account = Account(simulator, tmp_path, destination, ["--grace-hours", "0"])
    outcome = account.reconcile()
    assert (outcome.verdict, outcome.code) == ("Equal to the cent.", 0)
    (total,) = [line.split() for line in outcome.lines if line.startswith("total")]
    assert total[-4:] == [nets] * 4
    assert "Both nets of what Wicked Reports reports are equal, order by order." in outcome.lines
    rows = {name: simulator.wicked_rows(name) for name in ("contacts", "orders", "orderpayments")}
    rows["orderpayments"] = [row for row in rows["orderpayments"] if not row.get("nested")]

    def order(rows):
        return next(order for order in rows["orders"] if lost == f"{order['SourceSystem']}/{order['SourceID']}")

    def add_failed_payment(rows):
        order(rows)["OrderPayments"].append({**order(rows)["OrderPayments"][0], "Status": "FAILED"})

    account.replace_rows(add_failed_payment, rows)
    (ambiguous,) = account.reconcile().ambiguous_orders
    assert (ambiguous[1], ambiguous[3], "FAILED" in ambiguous[-1]) == (lost, "0.00", True)
    account.replace_rows(lambda rows: rows["orders"].remove(order(rows)), rows)
    ((day, *found, _, _),) = account.reconcile().differences
    assert (day[:8], found) == ("2024-05-", [lost, "order"]), "the ledger has the date of a sale"


def test_a_ledger_in_postgresql_is_read_like_a_file(simulator, workspace, tmp_path):
    with running_postgres() as server:
        destination = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {"type": "wecantrack", "contact_rules": [RULE]},
            "ledger": {"type": "postgres", "url": server.database()},
        }
        wrote = workspace.run(
            "destination-wicked-reports", "write", config=destination, catalog=catalog("transactions"), stdin=SALES
        )
        assert wrote.code == 0, wrote.said
        simulator.outbound.process()
        outcome = Account(simulator, tmp_path, destination, ["--grace-hours", "0"]).reconcile()
    assert (outcome.verdict, outcome.code) == ("Equal to the cent.", 0)


# -- what cannot be compared ------------------------------------------------------------------------------------------


def test_a_wrong_key_is_reported_with_the_message_of_the_source(account):
    outcome = account.reconcile_live(source=account.source(api_key="another"))
    assert outcome.code == 2
    assert outcome.lines == []
    assert "does not accept the API key" in outcome.stderr


def test_a_ledger_of_another_account_is_refused(account, tmp_path):
    outcome = Account(account.simulator, tmp_path, {**account.destination, "api_key": "another"}).reconcile()
    assert outcome.code == 2
    assert "another API key" in outcome.stderr


def test_an_account_without_the_outbound_api_gets_a_remedy(account):
    account.simulator.key("wicked", "sim-inbound-only", "outbound_off")
    outcome = account.reconcile_live(source=account.source(api_key="sim-inbound-only"))
    assert outcome.code == 2
    assert "ask Wicked Reports' support" in outcome.stderr


def test_an_account_that_reports_nothing_lacks_every_order(account):
    account.replace_rows(lambda rows: [found.clear() for found in rows.values()], {})
    outcome = account.reconcile()
    assert (outcome.code, len(outcome.differences)) == (1, len(ORDERS))


def test_before_the_first_sync_there_is_nothing_to_compare(account, tmp_path):
    elsewhere = {**account.destination, "ledger": {"type": "sqlite", "path": str(tmp_path / "none.sqlite")}}
    outcome = Account(account.simulator, tmp_path, elsewhere).reconcile()
    assert outcome.code == 2
    assert "nothing was sent yet" in outcome.stderr


def test_test_mode_has_nothing_to_compare(account, tmp_path):
    outcome = Account(account.simulator, tmp_path, {**account.destination, "test_mode": True}).reconcile()
    assert outcome.code == 2
    assert "test_mode is on" in outcome.stderr


def test_an_incomplete_read_does_not_count_as_an_empty_account(account, tmp_path):
    command = [str(BIN / "source-wicked-reports"), "read", "--config", account.source()]
    command += ["--catalog", account.file("catalog.json", catalog("orders", mode="full_refresh"))]
    lines = subprocess.run(command, capture_output=True, check=True, timeout=RUN_SECONDS).stdout.splitlines(True)
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    whole.write_bytes(b"".join(lines))
    broken.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert account.reconcile_live("--read", str(whole)).code == 0
    outcome = account.reconcile_live("--read", str(broken))
    assert outcome.code == 2
    assert "is incomplete" in outcome.stderr


# -- hostile input ----------------------------------------------------------------------------------------------------


def reported_line(**changes: Any) -> str:
    data = {"id": 1, "sourceSystem": "shop", "sourceId": "B1", "amount": 1, "currency": "EUR"}
    data |= {"date": "2026-03-01T00:00:00Z", "payments": []}
    return json.dumps({"type": "RECORD", "record": {"stream": "orders", "emitted_at": 1, "data": {**data, **changes}}})


def run_with(account: Account, line: str, *more: str) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(account.command("--read", account.file("reported.jsonl", line + "\n"), *more))
    return account.outcome(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    "line",
    [
        reported_line().replace('"emitted_at": 1', '"emitted_at": 1e400'),
        reported_line().replace('"emitted_at": 1', f'"emitted_at": -{10**18}'),
        reported_line().replace('"emitted_at": 1', f'"emitted_at": {10**18}'),
        reported_line().replace('"emitted_at": 1', '"emitted_at": NaN'),
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"type": "RECORD"',
    ],
    ids=["1e400", "before 1970", "after 9999", "NaN", "nested lists", "nested objects", "cut off"],
)
def test_lines_that_no_source_writes_end_with_exit_code_2_and_a_sentence(account, line):
    outcome = run_with(account, line)
    assert (outcome.code, outcome.lines) == (2, [])
    assert "not the output of source-wicked-reports" in outcome.stderr


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00Z"])
def test_dates_at_the_end_of_time_are_compared(account, date, tmp_path):
    outcome = run_with(
        account, reported_line(date=date), "--zone", "America/New_York", "--html", str(tmp_path / "r.html")
    )
    assert outcome.code == 1
    assert "never sent from here" in "\n".join(outcome.lines)


def test_control_characters_and_halves_of_characters_never_reach_the_terminal(account, tmp_path):
    page = tmp_path / "report.html"
    evil = "B\x1b]0;title\x07\x9b31m\r\nEqual to the cent.\u202e\ud800"
    outcome = run_with(account, reported_line(sourceId=evil, currency="E\x1b[2J"), "--html", str(page))
    assert outcome.code == 1
    shown = "\n".join(outcome.lines)
    assert not set(shown.replace("\n", "")) & {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\ud800"}
    assert r"shop/B\x1b]0;title" in shown
    assert "\ud800" not in page.read_text(encoding="utf-8")


def test_an_unforeseen_failure_is_exit_code_2(account, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("destination_wicked_reports.reconcile.cli.compare", fail)
    outcome = account.reconcile()
    assert (outcome.code, outcome.lines) == (2, [])
    assert "The comparison failed (ZeroDivisionError)" in outcome.stderr


# -- every day --------------------------------------------------------------------------------------------------------


def cheaper(by: str) -> Callable[[Rows], None]:
    """Return a change that takes an amount off the first order."""

    def change(rows: Rows) -> None:
        rows["orders"][0]["OrderTotal"] = str(Decimal(rows["orders"][0]["OrderTotal"]) - Decimal(by))

    return change


def test_by_default_the_totals_and_the_days_that_differ_are_shown(account, rows):
    outcome = account.reconcile()
    assert [line.split()[:2] for line in outcome.lines if line.startswith(("2026-", "total"))][:2] == [
        ["total", "EUR"],
        ["total", "USD"],
    ]
    assert "3 days are equal: --all-days lists all." in outcome.lines
    account.replace_rows(cheaper("3.00"), rows)
    outcome = account.reconcile()
    assert any(line.startswith("2026-03-01") and line.endswith("differs") for line in outcome.lines)
    assert "2 days are equal: --all-days lists all." in outcome.lines


@pytest.mark.parametrize(("by", "tolerance", "code"), [("3.00", "3%", 0), ("3.00", "2", 1), ("5.00", "3 %", 1)])
def test_a_tolerance_accepts_a_small_difference_of_the_whole(account, rows, by, tolerance, code):
    account.replace_rows(cheaper(by), rows)
    outcome = account.reconcile("--tolerance", tolerance)
    assert outcome.code == code
    assert outcome.verdict.startswith("Within the tolerance of 3%: 1 order not as sent" if code == 0 else "Differs: 1 ")
    assert outcome.differences


def test_a_program_reads_the_report_as_json(account, rows):
    account.replace_rows(cheaper("3.00"), rows)
    outcome = account.reconcile("--json")
    (line,) = outcome.lines
    report = json.loads(line)
    assert (report["code"], report["equal_days"], outcome.code) == (1, 2, 1)
    assert [(day["day"], day["result"]) for day in report["days"]] == [("2026-03-01", "differs")]
    assert report["totals"][0]["sent"]["net_by_orders"] == "137.76"
    assert report["totals"][0]["reported"]["net_by_orders"] == "134.76"
    assert report["differences"][0]["field"] == "OrderTotal"
    assert len(json.loads(account.reconcile("--json", "--all-days").lines[0])["days"]) == 3


def test_only_the_days_that_are_compared_are_read(account):
    since = account.simulator.stats()["requests"]["total"]
    outcome = account.reconcile_live("--all-days", "--from", "2026-03-02", "--to", "2026-03-02")
    assert (outcome.code, outcome.verdict) == (0, "Equal to the cent."), outcome.stderr
    asked = [one["query"] for one in account.simulator.requests(since=since) if "orders" in one["path"]]
    days = {day for query in asked for name, day in query if name in ("from", "to")}
    assert min(days) >= "2026-02-26", "the source asks for days more at either end"
    assert max(days) <= "2026-03-05"


@pytest.mark.parametrize("options", [("--days", "0"), ("--days", "3", "--from", "2026-03-01"), ("--tolerance", "lots")])
def test_options_that_make_no_sense_are_exit_code_2(account, options):
    with pytest.raises(SystemExit) as stopped, contextlib.redirect_stderr(io.StringIO()):
        main(account.command(*options))
    assert stopped.value.code == 2


def test_orders_sent_before_a_rename_are_compared_under_their_former_name(simulator, workspace, tmp_path):
    def write(system: str, amount: str, day: str, accept: str = "") -> dict[str, Any]:
        destination = {
            "api_key": simulator.wicked_key,
            "api_url": simulator.url,
            "mapping": {"type": "wecantrack", "without_contact": "synthetic", "source_system": system},
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
            "accept_change": accept,
        }
        data = affiliate_builders.transaction(commission_amount=amount, last_wct_update=f"2024-06-{day} 10:00:00")
        line = {"type": "RECORD", "record": {"stream": "transactions", "data": data, "emitted_at": 0}}
        wrote = workspace.run(
            "destination-wicked-reports", "write", config=destination, catalog=catalog("transactions"), stdin=[line]
        )
        assert wrote.code == 0, wrote.said
        return destination

    write("first", "10.00", "01")
    destination = write("second", "12.00", "02", "source_system: first -> second")
    destination = write("second", "11.00", "03")
    simulator.outbound.process()
    outcome = Account(simulator, tmp_path, destination, ["--grace-hours", "0"]).reconcile()
    assert (outcome.verdict, outcome.code) == ("Equal to the cent.", 0)
    assert any(line.startswith("Orders of first, second,") for line in outcome.lines)
