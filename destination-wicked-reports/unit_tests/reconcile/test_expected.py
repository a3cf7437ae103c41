"""The sent side of a sale from the ledger and the records: the runs decided how many orders it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders.affiliate import transaction
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.model import Record, Row
from destination_wicked_reports.reconcile.expected import NOT_SENT, Expected, expect
from destination_wicked_reports.reconcile.orders import to_cents

FIRST, SECOND = ("wecantrack", "wct-7-T1"), ("wecantrack", "wct-7-T1~2")
APPROVED = transaction(status="approved")
RAISED = {**APPROVED, "commission_amount": "12.00", "last_wct_update": "2024-05-15 00:00:00"}
MORE = {**APPROVED, "commission_amount": "15.00", "last_wct_update": "2024-05-16 00:00:00"}


def config(folder: Path, ledger: str = "sqlite") -> Config:
    rules = [{"field": "sub_ids.*", "pattern": "^(?P<contact_id>U[0-9]+)-"}]
    path = {"path": str(folder / "ledger.sqlite")} if ledger == "sqlite" else {}
    return Config.parse(
        {
            "api_key": "k",
            "mapping": {"type": "wecantrack", "contact_rules": rules},
            "ledger": {"type": ledger, **path},
        }
    )


@pytest.fixture
def send(tmp_path):
    """Send these transactions with one run each."""

    def sync(*records: dict[str, Any]) -> None:
        ledger = Ledger.sqlite(tmp_path / "ledger.sqlite", "live")
        ledger.claim("k")
        for data in records:
            normalizer, book = make_normalizer(config(tmp_path)), OrderBook(ledger)
            for row in normalizer.normalize([Record("transactions", data)], book):
                if isinstance(row, Row):
                    batch = Batch(row.endpoint, [row])
                    ledger.begin(batch)
                    ledger.commit(batch, [row])
        ledger.close()

    return sync


def expected(folder: Path, *records: dict[str, Any], ledger: str = "sqlite") -> Expected:
    """Return what was sent, given the records of these transactions."""
    lines = [
        {"type": "RECORD", "record": {"stream": "transactions", "data": data, "emitted_at": 0}} for data in records
    ]
    file = folder / "sent.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return expect(config(folder, ledger), [file] if records else [])


def test_every_order_of_a_sale_takes_the_date_of_its_record(send, tmp_path):
    send(APPROVED, RAISED)
    found = expected(tmp_path, APPROVED, RAISED)
    assert {name: (order.total, order.date) for name, order in found.orders.items()} == {
        FIRST: (to_cents(10), "2024-05-14 14:06:15"),
        SECOND: (to_cents(2), "2024-05-14 14:06:15"),
    }
    assert found.notes == []


def test_records_that_make_more_orders_than_the_runs_did_show_no_order_that_was_not_sent(send, tmp_path):
    send(APPROVED, MORE)
    found = expected(tmp_path, APPROVED, RAISED, MORE)
    assert [(order.total, order.notes) for order in found.orders.values()] == [(to_cents(10), []), (to_cents(5), [])]
    assert found.notes == []


def test_a_sale_whose_records_have_another_net_is_named(send, tmp_path):
    send(APPROVED)
    found = expected(tmp_path, APPROVED, RAISED)
    assert list(found.orders) == [FIRST]
    (note,) = found.notes
    assert note.startswith("Sales whose records have another net than was sent: 1, such as wecantrack/wct-7-T1. Give")


def test_a_sale_that_the_ledger_lacks_was_not_sent(send, tmp_path):
    send(APPROVED)
    found = expected(tmp_path, APPROVED, {**APPROVED, "transaction_id": "T2"})
    assert found.orders["wecantrack", "wct-7-T2"].notes == [NOT_SENT]


def test_without_a_ledger_the_records_have_every_order_of_a_sale(tmp_path):
    fallen = {**APPROVED, "commission_amount": "4.00", "last_wct_update": "2024-05-17 00:00:00"}
    found = expected(tmp_path, APPROVED, RAISED, fallen, ledger="none")
    assert [
        (order.total, order.payments.net, order.payments.net_of_order(order.total)) for order in found.orders.values()
    ] == [
        (to_cents(10), to_cents(4), to_cents(4)),
        (to_cents(2), to_cents(0), to_cents(0)),
    ]
