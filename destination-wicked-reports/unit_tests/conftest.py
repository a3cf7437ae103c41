"""Fixtures for the destination's unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from builders.destination import ScriptedServer
from destination_wicked_reports.delivery.dead_letters import DeadLetterFile
from destination_wicked_reports.ledger.ledger import Ledger


@pytest.fixture(autouse=True)
def closed_ledgers(monkeypatch) -> Iterator[None]:
    """Close every ledger in memory at the end of its test.

    On Python 3.13.0, a connection that is left to the garbage collector can make a commit of another one fail with
    "SQL statements in progress".
    """
    opened: list[Ledger] = []
    open_ledger = Ledger.in_memory

    def open_and_keep(store: str) -> Ledger:
        opened.append(open_ledger(store))
        return opened[-1]

    monkeypatch.setattr(Ledger, "in_memory", open_and_keep)
    yield
    for one in opened:
        one.close()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger.in_memory("live")  # closed by `closed_ledgers`


@pytest.fixture
def sqlite_ledger(tmp_path) -> Iterator[Ledger]:
    opened = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
    yield opened
    opened.close()


@pytest.fixture
def dead_letters(tmp_path) -> Iterator[DeadLetterFile]:
    opened = DeadLetterFile(tmp_path / "rejected.jsonl")
    yield opened
    opened.close()


@pytest.fixture
def wicked() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def catalog_of() -> Callable[..., dict[str, Any]]:
    def make(*streams: str, mode: str = "append", **extra: Any) -> dict[str, Any]:
        return {
            "streams": [
                {
                    "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
                    "sync_mode": "full_refresh",
                    "destination_sync_mode": mode,
                    **extra,
                }
                for name in streams
            ]
        }

    return make
