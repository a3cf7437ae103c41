"""A run may be killed at every durable step: run again, it sends every order and refund once, and both nets are right.

The steps are numbered as they happen: before and after each commit of the ledger, each request, and each STATE that is
written. For each of them a forked process runs the destination, is killed there, and is run again. The input of the
second run begins after the last STATE that was written, as with every orchestrator.

`make test` kills at every step of one life and at one of several steps of the others, `make campaign` at every step of
all, with either ledger.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests.adapters
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from builders.affiliate import BY_USER, transaction
from builders.bigcommerce import UNPAID, StreamRecord, guest_order
from builders.bigcommerce import transaction as shop_transaction
from builders.destination import ScriptedServer
from builders.messages import state
from builders.sovrn import BY_CUID, click, taken_back
from builders.sovrn import transaction as sovrn_transaction
from destination_wicked_reports.destination import DestinationWickedReports
from destination_wicked_reports.protocol.messages import Output
from sqlalchemy.engine import default

from integration_tests.support.postgres import Server, running_postgres

ALLOWED_CODES = (0, 1)
KILLED = 9


def catalog(*streams: str) -> Any:
    return ConfiguredAirbyteCatalogSerializer.load(
        {
            "streams": [
                {
                    "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["incremental"]},
                    "sync_mode": "incremental",
                    "destination_sync_mode": "append",
                }
                for name in streams
            ]
        }
    )


def line(stream: str, data: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": "RECORD", "record": {"stream": stream, "emitted_at": 1, "data": data}})


def sale(number: int, amount: str, status: str, at: int, **changes: Any) -> bytes:
    """One version of a sale, changed in minute `at`."""
    when = f"2024-07-01 10:{at:02}:00"
    click = f"WCT24051413531{number}e7x4d"
    data = transaction(
        transaction_id=f"T{number}",
        reference=click,
        sub_ids={"clickRef": f"U42-{click}"},
        commission_amount=amount,
        status=status,
        validation_date=when if status == "approved" else None,
        last_wct_update=when,
    )
    return line("transactions", {**data, **changes})


def returned(number: int, amount: str, at: int) -> bytes:
    """A return of a sale, as a row of its own."""
    return sale(number, amount, "approved", at, transaction_id=f"R{number}")


def checkpoint(number: int, stream: str = "transactions") -> bytes:
    return state(number, stream)


def sovrn(make: Callable[..., dict[str, Any]], name: str, amount: str, day: int, **changes: Any) -> bytes:
    """One version of a row of Sovrn, changed on a day of June."""
    ids = {"revenue_id": name, "commission_id": name, "update_date": f"2024-06-{day:02}"}
    return line("transactions", make(amount, **{**ids, **changes}))


def cpc(number: int, amount: str) -> bytes:
    return line("transactions", click(number, amount))


def shown(*records: StreamRecord) -> list[bytes]:
    return [line(stream, data) for stream, data in records]


def changed(minute: int) -> dict[str, str]:
    return {"date_modified": f"2024-06-01T10:{minute:02}:00+00:00"}


WECANTRACK = {"type": "wecantrack", "contact_rules": [BY_USER.model_dump()]}
SOVRN = {"type": "sovrn", "contact_rules": [BY_CUID.model_dump()], "without_contact": "synthetic", "cpc": "rollup"}
SHOP = {"type": "bigcommerce"}
#: Name -> the mapping, the input of each run, and what the sales are worth in the end.
LIVES: dict[str, tuple[dict[str, Any], list[list[bytes]], str]] = {
    "a rise, a fall within it, a decline and a reinstatement in one run": (
        WECANTRACK,
        [
            [
                sale(1, "19.99", "pending", 1),
                sale(1, "24.10", "pending", 2),
                sale(1, "22.00", "approved", 3),
                sale(1, "22.00", "declined", 4),
                sale(1, "22.00", "approved", 5),
                checkpoint(1),
            ]
        ],
        "22.00",
    ),
    "changes of two sales with a STATE after each, and a return": (
        WECANTRACK,
        [
            [
                sale(1, "10.00", "approved", 1),
                checkpoint(1),
                sale(2, "5.00", "approved", 2),
                sale(1, "12.00", "approved", 3),
                checkpoint(2),
                returned(1, "-4.00", 4),
                sale(2, "5.00", "declined", 5),
                checkpoint(3),
                sale(2, "6.00", "approved", 6),
                checkpoint(4),
            ]
        ],
        "14.00",
    ),
    "another currency": (
        WECANTRACK,
        [
            [
                sale(1, "10.00", "approved", 1),
                checkpoint(1),
                sale(1, "9.00", "approved", 2, currency_id="EUR"),
                sale(1, "7.00", "approved", 3, currency_id="EUR"),
                checkpoint(2),
            ]
        ],
        "7.00",
    ),
    "Sovrn: two sales, returns before and after, a CPC group": (
        SOVRN,
        [
            [
                sovrn(sovrn_transaction, "S1", "10.00", 1),
                checkpoint(1),
                sovrn(taken_back, "R1", "-4.00", 2),
                sovrn(taken_back, "R2", "-1.50", 2, click_id="k2"),
                cpc(7, "0.0260"),
                checkpoint(2),
                sovrn(sovrn_transaction, "S2", "5.00", 3, click_id="k2"),
                sovrn(sovrn_transaction, "S1", "12.00", 3),
                cpc(8, "0.0100"),
                checkpoint(3),
                sovrn(taken_back, "R1", "-12.00", 4),
                sovrn(taken_back, "R1", "-3.00", 5),
                checkpoint(4),
            ]
        ],
        "12.54",
    ),
    "a shop: a deposit, its payment, a refund, a raised total": (
        SHOP,
        [
            [
                *shown(guest_order(100, **UNPAID), guest_order(200, "50.0000"), shop_transaction(1, amount=60.0)),
                checkpoint(1, "orders"),
            ],
            [
                *shown(shop_transaction(2, amount=40.0)),
                checkpoint(1),
                *shown(guest_order(200, "55.0000", **changed(1)), guest_order(300, "20.0000")),
                checkpoint(2, "orders"),
            ],
            [
                *shown(guest_order(100, refunded_amount="30.0000", **changed(2))),
                *shown(guest_order(200, "40.0000", **changed(2))),
                checkpoint(3, "orders"),
                *shown(shop_transaction(3, "refund", 30.0), shop_transaction(4, "refund", 20.0, order_id="300")),
                checkpoint(2),
            ],
        ],
        "110.00",
    ),
}


class Steps:
    """Counts the durable steps of this process, and kills it at one of them."""

    def __init__(self, last: float, log: Path) -> None:
        self._numbers = itertools.count(1)
        self._last = last
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        with self._lock:
            os.write(self._log, f"{name}\n".encode())
            if next(self._numbers) >= self._last:
                os._exit(KILLED)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self(f"before {name}")
            result = function(*args, **kwargs)
            self(f"after {name}")
            return result

        return counted


class CountedOutput(Output):
    """Writes messages to a file; a STATE is a durable step."""

    def __init__(self, path: Path, steps: Steps) -> None:
        super().__init__(path.open("ab"))
        self._emit = steps.around("STATE", super().emit)

    def emit(self, message: Any) -> None:
        self._emit(message) if isinstance(message, bytes) and b'"STATE"' in message else super().emit(message)


def run(config: dict[str, Any], streams: Any, lines: list[bytes], folder: Path, last: float) -> int:
    """Run the destination in a forked process, killed at step `last` of all runs; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        log = folder / "steps"
        done = len(log.read_bytes().splitlines()) if log.exists() else 0
        steps = Steps(last - done, log)
        default.DefaultDialect.do_commit = steps.around("commit", default.DefaultDialect.do_commit)
        requests.adapters.HTTPAdapter.send = steps.around("request", requests.adapters.HTTPAdapter.send)
        destination = DestinationWickedReports(output=CountedOutput(folder / "output", steps))
        destination.deliver(config, streams, iter([lines]))
        code = 0
    finally:
        os._exit(code)


def states_written(folder: Path) -> int:
    path = folder / "output"
    return sum(b'"STATE"' in line for line in path.read_bytes().splitlines()) if path.exists() else 0


def after_states(lines: list[bytes], written: int) -> list[bytes]:
    """Return the input from behind this many STATEs."""
    places = [place for place, line in enumerate(lines, 1) if b'"STATE"' in line]
    return lines[places[written - 1] :] if written else lines


class Wicked:
    """What arrived: orders, their payments, and both nets of them (docs/vendors/wicked-reports.md 10.1)."""

    def __init__(self, server: ScriptedServer) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.payments: list[dict[str, Any]] = []
        for _, path, _, body in server.requests:
            for row in orjson.loads(body) if path in ("/orders", "/orderpayments") else ():
                if path == "/orderpayments":
                    self.payments.append(row)
                else:
                    assert self.orders.setdefault(row["SourceID"], row) == row, "an order was sent again with changes"

    def nets(self) -> Iterator[Decimal]:
        by_orders = by_payments = Decimal(0)
        for name, order in self.orders.items():
            total = Decimal(str(order["OrderTotal"]))
            back = [*order["OrderPayments"][1:], *(p for p in self.payments if p["OrderID"] == name)]
            amount = sum((Decimal(str(payment["Amount"])) for payment in back), Decimal(0))
            by_payments += total - amount
            by_orders += Decimal(0) if "REFUNDED" in [payment["Status"] for payment in back] else total - amount
        yield by_orders
        yield by_payments


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    running = ScriptedServer()
    yield running
    running.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running_postgres() as running:
        yield running


def kill_at(stride: int, name: str, server: ScriptedServer, folder: Path, ledger: Callable[[Path], Any]) -> None:
    """Run a life whole, then with a kill at every step, or one of so many; check what Wicked has in the end."""
    mapping, runs, worth = LIVES[name]
    records = [orjson.loads(one)["record"] for lines in runs for one in lines if b'"RECORD"' in one]
    streams = catalog(*{record["stream"]: None for record in records})

    def config(place: Path) -> dict[str, Any]:
        place.mkdir()
        return {
            "api_key": "k",
            "api_url": server.url,
            "mapping": mapping,
            "ledger": ledger(place),
            "rejected_records_path": str(place / "rejected.jsonl"),
            "max_requests_in_flight": 1,
        }

    whole = folder / "whole"
    settings = config(whole)
    assert all(run(settings, streams, lines, whole, float("inf")) in ALLOWED_CODES for lines in runs)
    assert list(Wicked(server).nets()) == [Decimal(worth)] * 2
    names = (whole / "steps").read_text().splitlines()
    assert len(names) > 20
    for last in range(1, len(names) + 1, stride):
        step = names[last - 1]
        server.requests.clear()
        place = folder / str(last)
        settings, killed = config(place), False
        for lines in runs:
            before = states_written(place)
            code = run(settings, streams, lines, place, float("inf") if killed else last)
            if code == KILLED:
                killed = True
                rest = after_states(lines, states_written(place) - before)
                code = run(settings, streams, rest, place, float("inf"))
            assert code in ALLOWED_CODES, (last, step)
        assert killed, (last, step)
        wicked = Wicked(server)
        rejected = place / "rejected.jsonl"
        for dead_letter in map(orjson.loads, rejected.read_bytes().splitlines() if rejected.exists() else ()):
            in_doubt = dead_letter["outcome"] == "in_doubt" and dead_letter["endpoint"] == "order_payments"
            if in_doubt and dead_letter["row"] not in wicked.payments:
                wicked.payments.append(dead_letter["row"])  # what `replay --in-doubt` sends
        assert list(wicked.nets()) == [Decimal(worth)] * 2, (last, step)
        assert states_written(place) == states_written(whole)


def in_postgresql(server: Server) -> Callable[[Path], dict[str, Any]]:
    """Return ledgers in one new database, each in a schema of its own."""
    url = server.database()
    return lambda place: {"type": "postgres", "url": url, "schema": f"kill_{place.name}"}


def in_sqlite(place: Path) -> dict[str, Any]:
    return {"type": "sqlite", "path": str(place / "ledger.sqlite")}


@pytest.mark.parametrize("name", LIVES)
def test_a_run_killed_at_any_durable_step_is_completed_by_the_next(name, server, tmp_path):
    kill_at(1 if name == next(iter(LIVES)) else 4, name, server, tmp_path, in_sqlite)


@pytest.mark.parametrize("name", LIVES)
def test_so_it_is_with_a_ledger_in_postgresql(name, server, tmp_path, postgres):
    kill_at(15, name, server, tmp_path, in_postgresql(postgres))


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("name", LIVES)
def test_every_step_of_every_life_with_either_ledger(name, kind, server, tmp_path, postgres):
    kill_at(1, name, server, tmp_path, in_sqlite if kind == "sqlite" else in_postgresql(postgres))
