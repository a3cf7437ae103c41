"""Who bought, end to end: addresses by a lookup in Wicked Reports, where ids of Wicked, the CRM and others collide.

Contacts appear a day late, commissions change while their orders wait, and runs are killed. No order may ever belong
to another person, and both nets must be right.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from integration_tests.simulator.client import SimulatorClient
from integration_tests.simulator.server import running_simulator
from integration_tests.support.postgres import ask, running_postgres
from integration_tests.support.processes import RUN_SECONDS, Workspace, catalog

FIRST = datetime(2026, 4, 1, 12, tzinfo=timezone.utc)
CRM = "crm"
PATTERN = r"^(?P<contact_id>[^!]+)!"
IDENTITY = f"sub_ids.*:{PATTERN}"
DAY = 86_400
WAIT_DAYS = 3
ONE_RULE = [{"field": "sub_ids.*", "pattern": PATTERN}]


class Account:
    """A random account: contacts of several systems whose ids collide, and commissions of some of them."""

    def __init__(self, simulator: SimulatorClient, seed: int) -> None:
        self.simulator, self.rng = simulator, random.Random(seed)
        self.late: list[dict[str, str]] = []
        self.day = 0
        self.sales: dict[str, dict[str, Any]] = {}
        self.emails = 0

    def contact(self, system: str, source_id: str) -> dict[str, str]:
        self.emails += 1
        email = f"buyer{self.emails}@example.com"
        return {"SourceSystem": system, "SourceID": source_id, "CreateDate": "2026-03-01 10:00:00", "Email": email}

    def post(self, contacts: list[dict[str, str]]) -> None:
        if contacts:
            headers = {"apikey": self.simulator.wicked_key}
            answer = requests.post(f"{self.simulator.url}/contacts", json=contacts, headers=headers, timeout=10)
            assert answer.status_code == 200, answer.text
        self.simulator.outbound.process()

    def fill(self) -> None:
        """Post the contacts of the first day; a third of those of the CRM comes a day late."""
        rng = self.rng
        self.post([self.contact("shop", f"S{number}") for number in range(4)])
        wicked_ids = [row["id"] for row in self.simulator.outbound.rows("contacts")]
        ids = [f"U{number}" for number in range(8)] + wicked_ids[:2] + ["a/b c", "S1"]
        of_others = [self.contact("shop", source_id) for source_id in rng.sample(ids, 3)]
        of_crm = [self.contact(CRM, source_id) for source_id in ids]
        rng.shuffle(of_crm)
        self.late = of_crm[:4]
        now = [*of_crm[4:], *of_others]
        rng.shuffle(now)
        self.post(now)
        self.ids = [*ids, "nobody"]

    def buy(self, number: int) -> None:
        for _ in range(number):
            name = f"T{len(self.sales)}"
            self.sales[name] = {
                "transaction_id": name,
                "user_network_account_id": 101,
                "commission_amount": f"{self.rng.randint(500, 5000) / 100:.2f}",
                "currency_id": "EUR",
                "status": self.rng.choice(["pending", "approved"]),
                "order_date": "2026-03-30 10:00:00",
                "validation_date": None,
                "reference": f"WCT2603301000{len(self.sales):02}abcde",
                "sub_ids": {"clickRef": f"{self.rng.choice(self.ids)}!x"},
            }
            self.change(self.sales[name])
        self.simulator.set_clock(self.now, frozen=True)

    def change(self, row: dict[str, Any]) -> None:
        at = FIRST + timedelta(days=self.day, seconds=self.rng.randrange(3600))
        self.simulator.upsert([row], at=at.isoformat())

    def live(self) -> None:
        """Let a day pass: late contacts appear, and commissions rise, fall, are declined or taken back."""
        self.day += 1
        self.simulator.set_clock((FIRST + timedelta(days=self.day, hours=1)).isoformat(), frozen=True)
        self.post(self.late)
        self.late = []
        for name, row in list(self.sales.items()):
            kind = self.rng.randrange(7)
            if kind == 0:
                row["commission_amount"] = f"{self.rng.randint(500, 5000) / 100:.2f}"
            elif kind == 1:
                row["status"] = "declined"
            elif kind == 2:
                row["status"] = "approved"
            elif kind == 3 and f"R{name}" not in self.sales and not name.startswith("R"):
                amount = f"-{Decimal(row['commission_amount']) / 4:.2f}"
                row = {**row, "transaction_id": f"R{name}", "commission_amount": amount, "status": "approved"}
                self.sales[f"R{name}"] = row
            else:
                continue
            self.change(row)

    @property
    def now(self) -> str:
        return (FIRST + timedelta(days=self.day, hours=1)).isoformat()

    def answers(self, contact_id: str) -> str:
        """Return the address that the API answers for an id of the CRM, "" if it answers somebody else or nobody."""
        url = f"{self.simulator.url}/contacts/{requests.utils.quote(contact_id, safe='')}"
        answer = requests.get(url, headers={"apikey": self.simulator.wicked_key}, timeout=10)
        found = answer.json().get("result", {})
        return found["email"] if (found.get("sourceId"), found.get("sourceSystem")) == (contact_id, CRM) else ""


class Runs:
    """Runs of the destination with one ledger; the input is every transaction there is."""

    def __init__(self, account: Account, workspace: Workspace, ledger: dict[str, Any], **mapping: Any) -> None:
        self.account, self.workspace = account, workspace
        self.config = {
            "api_key": account.simulator.wicked_key,
            "api_url": account.simulator.url,
            "mapping": {
                "type": "wecantrack",
                "contact_rules": ONE_RULE,
                "contact_lookup": {"type": "wicked", "requests_per_minute": 100_000},
                "contact_source_system": CRM,
                "contact_lookup_wait_days": WAIT_DAYS,
                **mapping,
            },
            "ledger": ledger,
            "rejected_records_path": str(workspace.folder / "rejected.jsonl"),
            "on_rejected_record": "skip",
            "batch_rows": 5,
        }

    def start(self, *, records: bool = True) -> subprocess.Popen[bytes]:
        """Start one run."""
        lines = [
            json.dumps({"type": "RECORD", "record": {"stream": "transactions", "emitted_at": 1, "data": row}})
            for row in (self.account.simulator.transactions() if records else ())
        ]
        descriptor = {"name": "transactions"}
        state = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": {"day": 1}}}
        lines.append(json.dumps({"type": "STATE", "state": state}))
        source = self.workspace.folder / "input.jsonl"
        source.write_text("".join(f"{line}\n" for line in lines))
        command = self.workspace.command(
            "destination-wicked-reports", "write", config=self.config, catalog=catalog("transactions")
        )
        with source.open("rb") as stdin:
            pipe = subprocess.PIPE
            return subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe)

    def run(self, *, kill_after: int = 0, records: bool = True) -> Any:
        """Run once, to its end or killed after so many requests."""
        process = self.start(records=records)
        if kill_after:
            wanted, deadline = self._requests() + kill_after, time.monotonic() + RUN_SECONDS
            while self._requests() < wanted and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.kill()
        stdout, stderr = process.communicate(timeout=RUN_SECONDS)
        return self.workspace.keep(process.returncode, stdout, stderr)

    def _requests(self) -> int:
        return sum(self.account.simulator.stats()["requests"]["by_path"].values())


def days_pass(connection: Any, days: int = 1) -> None:
    """Make everything that the ledger knows about contacts older."""
    waiting = connection.execute("SELECT key, pending FROM sale_totals WHERE pending LIKE '1______________'").fetchall()
    for key, pending in waiting:
        since = datetime.strptime(pending, "1%Y%m%d%H%M%S").replace(tzinfo=timezone.utc) - timedelta(days=days)
        connection.execute(f"UPDATE sale_totals SET pending = '1{since:%Y%m%d%H%M%S}' WHERE key = '{key}'")
    connection.execute(f"UPDATE contact_answers SET answered_at = answered_at - {days * DAY}")
    connection.commit()


def sale_nets(orders: dict[str, dict[str, Any]]) -> Counter[str]:
    """Return the net of each sale that has one, under the selected reading."""
    nets: Counter[str] = Counter()
    for name, order in orders.items():
        nets[name.partition("~")[0]] += Decimal(order["net"])  # type: ignore[assignment]
    return +nets


def refunds_in_doubt(simulator: SimulatorClient, runs: Runs) -> Counter[str]:
    """Return what a user would resend after a kill, by sale: the refunds in doubt that Wicked does not have."""

    def name_of(payment: dict[str, Any]) -> tuple[str, str, Decimal]:
        return payment["OrderID"], payment["PaymentDate"], Decimal(str(payment["Amount"]))

    path = Path(runs.config["rejected_records_path"])
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    in_doubt = Counter(name_of(line["row"]) for line in lines if line["outcome"] == "in_doubt")
    missing: Counter[str] = Counter()
    for order, _, amount in in_doubt - Counter(map(name_of, simulator.wicked_rows("orderpayments"))):
        missing[order.partition("~")[0]] += amount  # type: ignore[assignment]
    return missing


def live_and_check(account: Account, runs: Runs, connect: Any, *, kills: bool) -> None:
    account.fill()
    account.buy(14)
    instants = []
    for day in range(WAIT_DAYS + 3):
        if day:
            account.live()
            with contextlib.closing(connect()) as connection:
                days_pass(connection)
            if day == 2:
                account.buy(4)
        instants.append(account.now)
        account.simulator.set_clock(account.now, frozen=True)
        for _ in range(2 if kills else 0):
            runs.run(kill_after=account.rng.randint(1, 12))
        result = runs.run()
        assert result.code == 0, result.said
        assert len(result.states) == 1
        persons = account.simulator.persons(CRM, IDENTITY)
        assert {row["has"] for row in persons.values() if row["has"] not in ("", row["should"])} == set()
    with contextlib.closing(connect()) as connection:
        days_pass(connection, WAIT_DAYS)  # a sale that was declined for a while waits anew
    result = runs.run(records=False)
    assert result.code == 0
    persons = account.simulator.persons(CRM, IDENTITY)
    contact_of = {name: row["sub_ids"]["clickRef"].partition("!")[0] for name, row in account.sales.items()}
    for name, person in persons.items():
        asked = contact_of[name.removeprefix("wct-101-").partition("~")[0]]
        assert person["has"] == account.answers(asked), "an address that the API answers was not sent"
    truth = account.simulator.truth(instants, orders=True, identity=[IDENTITY])
    for reading in ("orders", "payments"):
        account.simulator.switch("wicked.net", reading)
        held = sale_nets(account.simulator.held(orders=True))
        held.subtract(refunds_in_doubt(account.simulator, runs))
        assert +held == sale_nets(truth)
    if not kills:  # an order whose response was lost is sent again, byte for byte
        assert account.simulator.held()["duplicate_orders"] == []
    alone = [name for name, person in persons.items() if not person["has"]]
    assert alone, "some order has an id that is not found"
    assert len(alone) < len(persons)


@pytest.fixture
def simulator() -> Any:
    with running_simulator(start=FIRST.isoformat(), frozen=True) as client:
        client.throttle(100_000)
        client.outbound.pace(0)
        client.generate(transactions=0)
        yield client


@pytest.mark.parametrize("seed", [1, 2])
def test_no_order_ever_belongs_to_another_person(simulator, workspace, tmp_path, seed):
    path = tmp_path / "ledger.sqlite"
    runs = Runs(Account(simulator, seed), workspace, {"type": "sqlite", "path": str(path)})
    live_and_check(runs.account, runs, lambda: sqlite3.connect(path), kills=seed == 2)


def test_orders_wait_in_postgresql_too(simulator, workspace):
    with running_postgres() as server:
        # a collation that ignores punctuation at first, unlike SQLite's
        locale = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' TEMPLATE template0"
        ask(server.url("postgres"), f"CREATE DATABASE sorted {locale}")
        url = server.url("sorted")

        def connect() -> psycopg.Connection[Any]:
            return psycopg.connect(url, options="-c search_path=wicked_reports")

        runs = Runs(Account(simulator, 6), workspace, {"type": "postgres", "url": url})
        live_and_check(runs.account, runs, connect, kills=False)


@pytest.mark.parametrize("keep", ["hash", "memory"])
def test_no_address_is_at_rest(simulator, workspace, tmp_path, keep):
    path = tmp_path / "ledger.sqlite"
    lookup = {"type": "wicked", "requests_per_minute": 100_000, "keep": keep}
    account = Account(simulator, 3)
    runs = Runs(account, workspace, {"type": "sqlite", "path": str(path)}, contact_lookup=lookup)
    account.fill()
    account.ids = [one for one in account.ids if account.answers(one)]
    account.buy(3)
    assert runs.run().code == 0
    persons = simulator.persons(CRM, IDENTITY)
    assert len(persons) == 3
    assert all(person["has"] for person in persons.values())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert "@example.com" not in "\n".join(connection.iterdump())


def test_an_account_without_the_outbound_api(simulator, workspace, tmp_path):
    simulator.key("wicked", simulator.wicked_key, "outbound_off")
    account = Account(simulator, 4)
    account.ids = ["U1"]
    account.buy(1)
    runs = Runs(account, workspace, {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")})
    checked = workspace.run("destination-wicked-reports", "check", config=runs.config)
    (status,) = checked.of("CONNECTION_STATUS")
    assert status["status"] == "FAILED"
    assert "needs Wicked Reports' Outbound API" in status["message"]
    written = runs.run()
    assert written.code == 1
    assert len(written.states) == 1, "the order waits in the ledger, so no STATE has to wait"
    (error,) = written.errors
    assert error["failure_type"] == "config_error"
    assert "needs Wicked Reports' Outbound API" in error["message"]
    simulator.key("wicked", simulator.wicked_key, "accepted")
    account.post([account.contact(CRM, "U1")])
    assert runs.run(records=False).code == 0
    (person,) = simulator.persons(CRM, IDENTITY).values()
    assert person["has"] == person["should"] != ""


def test_check_warns_of_rules_that_find_only_ids(simulator, workspace, tmp_path):
    runs = Runs(Account(simulator, 5), workspace, {"type": "sqlite", "path": str(tmp_path / "l.sqlite")})
    mapping = {"type": "wecantrack", "contact_rules": ONE_RULE}
    for lookup, warned in (({"type": "none"}, True), ({"type": "file", "path": str(tmp_path / "c.csv")}, False)):
        (tmp_path / "c.csv").write_text("id,email\n1,a@example.com\n")
        config = {**runs.config, "mapping": {**mapping, "contact_lookup": lookup}}
        (status,) = workspace.run("destination-wicked-reports", "check", config=config).of("CONNECTION_STATUS")
        assert status["status"] == "SUCCEEDED"
        assert ("find ids, but no email addresses" in status["message"]) is warned
    (tmp_path / "c.csv").write_text("id,email\n1,a@example.com\n1,b@example.com\n")
    (status,) = workspace.run("destination-wicked-reports", "check", config=config).of("CONNECTION_STATUS")
    assert status["status"] == "FAILED"
    assert "different email addresses, for example in lines 2 and 3" in status["message"]


def test_a_run_that_waits_for_the_rate_limit_says_how_long_and_ends_at_once(simulator, workspace, tmp_path):
    account = Account(simulator, 7)
    account.post([account.contact(CRM, f"U{number}") for number in range(3)])
    for number in range(3):
        account.ids = [f"U{number}"]
        account.buy(1)
    slow = {"type": "wicked", "requests_per_minute": 1}
    path = tmp_path / "ledger.sqlite"
    runs = Runs(account, workspace, {"type": "sqlite", "path": str(path)}, contact_lookup=slow)
    process = runs.start()
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if b"Waiting" in line:
            break
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    rest, stderr = process.communicate(timeout=RUN_SECONDS)
    assert time.monotonic() - begun < 30
    result = workspace.keep(process.returncode, b"".join(lines) + rest, stderr)
    assert result.code == 128 + signal.SIGTERM
    assert any(
        "looking up contacts of orders in Wicked Reports, 2 of 3; at most 1 min left" in log for log in result.logs
    )
    assert len(result.states) == 1
    runs.config["mapping"]["contact_lookup"] = {"type": "wicked"}
    assert runs.run(records=False).code == 0
    asked = [row["path"] for row in simulator.requests() if row["path"].startswith("/contacts/")]
    assert sorted(asked) == ["/contacts/U0", "/contacts/U1", "/contacts/U2"], "an answer was kept"
    assert len(simulator.wicked_rows("orders")) == 3
