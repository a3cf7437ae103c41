"""A run may be killed at every durable step: run again, it sends every order and refund once, and both nets are right.

The steps are numbered as they happen: before and after each commit of the ledger, each request, and each STATE that is
written. For each of them a forked process runs the destination, is killed there, and is run again. The input of the
second run begins after the last STATE that was written, as with every orchestrator.
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
from builders.destination import ScriptedServer
from builders.messages import state
from destination_wicked_reports.destination import DestinationWickedReports
from destination_wicked_reports.protocol.messages import Output
from sqlalchemy.engine import default

ALLOWED_CODES = (0, 1)
KILLED = 9
CATALOG = ConfiguredAirbyteCatalogSerializer.load(
    {
        "streams": [
            {
                "stream": {"name": "transactions", "json_schema": {}, "supported_sync_modes": ["incremental"]},
                "sync_mode": "incremental",
                "destination_sync_mode": "append",
            }
        ]
    }
)


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
    record = {"stream": "transactions", "emitted_at": 1, "data": {**data, **changes}}
    return orjson.dumps({"type": "RECORD", "record": record})


def returned(number: int, amount: str, at: int) -> bytes:
    """A return of a sale, as a row of its own."""
    return sale(number, amount, "approved", at, transaction_id=f"R{number}")


def checkpoint(number: int) -> bytes:
    return state(number, "transactions")


#: Name -> the input, and what the sales are worth in the end.
LIVES: dict[str, tuple[list[bytes], str]] = {
    "a rise, a fall within it, a decline and a reinstatement in one run": (
        [
            sale(1, "19.99", "pending", 1),
            sale(1, "24.10", "pending", 2),
            sale(1, "22.00", "approved", 3),
            sale(1, "22.00", "declined", 4),
            sale(1, "22.00", "approved", 5),
            checkpoint(1),
        ],
        "22.00",
    ),
    "changes of two sales with a STATE after each, and a return": (
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
        ],
        "14.00",
    ),
    "another currency": (
        [
            sale(1, "10.00", "approved", 1),
            checkpoint(1),
            sale(1, "9.00", "approved", 2, currency_id="EUR"),
            sale(1, "7.00", "approved", 3, currency_id="EUR"),
            checkpoint(2),
        ],
        "7.00",
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


def run(config: dict[str, Any], lines: list[bytes], folder: Path, last: float) -> int:
    """Run the destination in a forked process, killed at step `last`; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        steps = Steps(last, folder / "steps")
        default.DefaultDialect.do_commit = steps.around("commit", default.DefaultDialect.do_commit)
        requests.adapters.HTTPAdapter.send = steps.around("request", requests.adapters.HTTPAdapter.send)
        destination = DestinationWickedReports(output=CountedOutput(folder / "output", steps))
        destination.deliver(config, CATALOG, iter([lines]))
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
            back = [p for p in self.payments if p["OrderID"] == name]
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


@pytest.mark.parametrize("name", LIVES)
def test_a_run_killed_at_any_durable_step_is_completed_by_the_next(name, server, tmp_path):
    lines, worth = LIVES[name]

    def config(folder: Path) -> dict[str, Any]:
        folder.mkdir()
        return {
            "api_key": "k",
            "api_url": server.url,
            "mapping": {"type": "wecantrack", "contact_rules": [BY_USER.model_dump()]},
            "ledger": {"type": "sqlite", "path": str(folder / "ledger.sqlite")},
            "rejected_records_path": str(folder / "rejected.jsonl"),
            "max_requests_in_flight": 1,
        }

    whole = tmp_path / "whole"
    assert run(config(whole), lines, whole, float("inf")) == 0
    assert list(Wicked(server).nets()) == [Decimal(worth)] * 2
    steps = (whole / "steps").read_text().splitlines()
    assert len(steps) > 20
    for last, step in enumerate(steps, 1):
        server.requests.clear()
        folder = tmp_path / str(last)
        settings = config(folder)
        assert run(settings, lines, folder, last) == KILLED, step
        rest = after_states(lines, states_written(folder))
        assert run(settings, rest, folder, float("inf")) in ALLOWED_CODES
        wicked = Wicked(server)
        rejected = folder / "rejected.jsonl"
        for line in rejected.read_bytes().splitlines() if rejected.exists() else ():
            dead_letter = orjson.loads(line)
            assert dead_letter["outcome"] == "in_doubt"
            if dead_letter["row"] not in wicked.payments:  # what `replay --in-doubt` sends
                wicked.payments.append(dead_letter["row"])
        assert list(wicked.nets()) == [Decimal(worth)] * 2, (last, step)
        assert states_written(folder) == states_written(whole)
