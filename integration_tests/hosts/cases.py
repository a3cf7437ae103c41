"""The test cases of all hosts: each source with its settings, its data and the expected result."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration_tests.hosts.environments import connectors
from integration_tests.simulator.client import SimulatorClient

FIRST, SECOND = "2026-04-01T12:00:00", "2026-04-16T12:00:00"
#: nothing listens here: port 9 is the discard service's, which only root can open
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Case:
    """One source: its settings, its data, and the number of distinct records of `stream` that are visible now."""

    source: str
    stream: str
    key_setting: str
    settings: Callable[[SimulatorClient], dict[str, Any]]
    prepare: Callable[[SimulatorClient], object]
    visible: Callable[[SimulatorClient], int]
    #: the destination's mapping for its records; None for source-wicked-reports
    mapping: dict[str, Any] | None = None
    truth: Callable[[SimulatorClient, list[str]], Any] | None = None

    def config(self, simulator: SimulatorClient, end: str = FIRST, **changes: Any) -> dict[str, Any]:
        """Return the source's settings for a read up to this instant."""
        return {"api_url": simulator.url, "end_date": end[:10], **self.settings(simulator), **changes}


def _wecantrack_world(simulator: SimulatorClient) -> None:
    simulator.generate(transactions=200, days=20, later_days=15)
    simulator.throttle(100_000)


def _sovrn_world(simulator: SimulatorClient) -> None:
    simulator.sovrn.generate(transactions=150, days=8, later_days=15, changing=0.7, late=0.0)
    simulator.sovrn.pace(0)


def _wicked_world(simulator: SimulatorClient) -> None:
    simulator.outbound.pace(0)
    simulator.outbound.seed(start="2026-01-10", days=80, contacts=20, orders=120, seconds=60)


WECANTRACK = Case(
    "source-wecantrack",
    "transactions",
    "api_key",
    lambda simulator: {"api_key": simulator.wecantrack_key, "start_date": "2026-03-11"},
    _wecantrack_world,
    lambda simulator: len(simulator.transactions()),
    {
        "type": "wecantrack",
        "contact_rules": [{"field": "sub_ids.*", "pattern": "(?P<contact_id>U[0-9]+)-"}],
        "without_contact": "synthetic",
    },
    lambda simulator, instants: simulator.truth(instants, orders=True),
)
SOVRN = Case(
    "source-sovrn",
    "transactions",
    "secret_key",
    lambda simulator: {
        "secret_key": simulator.sovrn_key,
        "start_date": "2026-03-24",
        "request_interval_seconds": 0,
    },
    _sovrn_world,
    lambda simulator: len(simulator.sovrn.transactions()),
    {
        "type": "sovrn",
        "contact_rules": [{"field": "cuid", "pattern": "^(?P<contact_id>U[0-9]+)_"}],
        "without_contact": "synthetic",
    },
    lambda simulator, instants: simulator.sovrn.truth(instants, orders=True),
)
WICKED = Case(
    "source-wicked-reports",
    "orders",
    "api_key",
    lambda simulator: {
        "api_key": simulator.wicked_key,
        "start_date": "2026-01-10",
        "requests_per_minute": 6000,
    },
    _wicked_world,
    lambda simulator: len(simulator.outbound.rows("orders")),
)
SOURCES = [case for case in (WECANTRACK, SOVRN, WICKED) if case.source in connectors("source")]


def destination(simulator: SimulatorClient, case: Case | None, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the destination's settings for this source's records (without a source, `mapping` is None).

    Requests are small, so that a kill can hit the middle of a run.
    """
    return {
        "api_key": simulator.wicked_key,
        "api_url": simulator.url,
        "mapping": case.mapping if case else None,
        "ledger": {"type": "sqlite", "path": str(folder / "ledger.sqlite")},
        "on_rejected_record": "skip",
        "batch_rows": 20,
        **changes,
    }


def spoil(simulator: SimulatorClient) -> None:
    """Prepare sales of which one has an invalid currency; Wicked Reports never answers a request with clicks."""
    _wecantrack_world(simulator)
    sale = next(each for each in simulator.transactions() if each["status"] == "approved")
    simulator.upsert([{**sale, "currency_id": "EURO"}])
    simulator.fault("store_then_close", "/clicks", method="POST", times=0)


def assert_result(text: str) -> None:
    """Check that the output of a run after `spoil` says what the destination did, and why not more."""
    assert re.search(r"orders: [0-9]+ sent, 0 unchanged, 0 changed, 1 rejected, 0 in doubt$", text, re.MULTILINE), text
    assert re.search(r"clicks: 0 sent, .* [1-9][0-9]* in doubt$", text, re.MULTILINE), text
    assert re.search(r"orders: 1 rejected: OrderCurrency: .*\(.+\)$", text, re.MULTILINE), text
    assert re.search(r"skipped [0-9]+ records?: ", text), text


def posts(simulator: SimulatorClient) -> int:
    """Return the number of requests that the inbound API has received."""
    by_path = simulator.stats()["requests"]["by_path"]
    return sum(count for path, count in by_path.items() if path.startswith("POST"))
