"""Copying a ledger: every table, verified, all or nothing."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from builders.destination import make_row
from destination_wicked_reports import ledger as package
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import LedgerError
from destination_wicked_reports.ledger import copying
from destination_wicked_reports.ledger.copying import copy_ledger
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.ledger.tables import TABLES
from sqlalchemy import MetaData


def config(path):
    return Config.parse({"api_key": "k", "ledger": {"type": "sqlite", "path": str(path)}})


def test_every_table_that_a_module_declares_is_copied():
    modules = [
        importlib.import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__)
    ]
    declared = [value for module in modules for value in vars(module).values() if isinstance(value, MetaData)]
    assert {table for metadata in declared for table in metadata.sorted_tables} == set(TABLES)


def test_a_snapshot_is_copied_while_a_run_is_on(tmp_path):
    running = Ledger.sqlite(tmp_path / "old.sqlite", "live")
    batch = Batch("orders", [make_row()])
    running.begin(batch)
    contents = copy_ledger(config(tmp_path / "old.sqlite"), config(tmp_path / "new.sqlite"))
    running.commit(batch, batch.rows)
    assert contents["outbox"].rows == 1
    assert contents["sent"].rows == 0
    copied = Ledger.sqlite(tmp_path / "new.sqlite", "live")
    assert copied.id == running.id
    assert [row.key for batch in copied.unfinished() for row in batch.rows] == [make_row().key]
    copied.close()
    running.close()


def test_a_target_that_stores_something_else_gets_nothing(tmp_path, monkeypatch):
    source = Ledger.sqlite(tmp_path / "old.sqlite", "live")
    batch = Batch("orders", [make_row(number=1), make_row(number=2)])
    source.begin(batch)
    source.commit(batch, batch.rows)
    source.close()
    read, calls = copying._read, []

    def lose_a_row(connection, table, conditions=()):
        calls.append(table.name)
        for chunk in read(connection, table, conditions):
            yield chunk[1:] if calls.count("sent") == 2 and table.name == "sent" else chunk

    monkeypatch.setattr(copying, "_read", lose_a_row)
    with pytest.raises(LedgerError, match="did not store the table sent"):
        copy_ledger(config(tmp_path / "old.sqlite"), config(tmp_path / "new.sqlite"))
    monkeypatch.undo()
    target = Ledger.sqlite(tmp_path / "new.sqlite", "live")
    assert target.size() == 0
    target.close()
