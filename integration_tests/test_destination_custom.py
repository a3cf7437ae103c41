"""The mapping `custom` and the command `discover`, as processes, against the simulator."""

from __future__ import annotations

import json
from decimal import Decimal

from integration_tests.support.processes import catalog

NAME = "destination-wicked-reports"
MAPPING = {
    "type": "custom",
    "streams": [
        {
            "stream": "invoices",
            "endpoint": "orders",
            "filter": "status == 'paid'",
            "fields": {
                "SourceSystem": "'billing'",
                "SourceID": "id",
                "CreateDate": "utc(created, 'America/New_York')",
                "ContactEmail": "lower(customer.email)",
                "OrderTotal": "money(total)",
            },
        },
        {
            "stream": "invoices",
            "endpoint": "order_payments",
            "for_each": "payments",
            "fields": {
                "SourceSystem": "'billing'",
                "OrderID": "record.id",
                "PaymentDate": "utc(item.paid, 'seconds')",
                "Amount": "money(item.amount)",
            },
        },
    ],
}


def config(simulator, tmp_path, mapping, **extra):
    return {
        "api_key": simulator.wicked_key,
        "api_url": simulator.url,
        "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
        "rejected_records_path": str(tmp_path / "rejected.jsonl"),
        "mapping": mapping,
        **extra,
    }


def invoice(number: int, **changes):
    data = {
        "id": number,
        "status": "paid",
        "created": "2026-03-01 10:00:00",
        "customer": {"email": f"Buyer{number}@Example.com"},
        "total": "$1,020.50",
        "payments": [{"paid": 1772377200, "amount": "1,000"}, {"paid": 1772377200, "amount": "20.50"}],
        **changes,
    }
    return {"type": "RECORD", "record": {"stream": "invoices", "emitted_at": 1, "data": data}}


def test_any_stream_becomes_orders_and_payments_once(workspace, simulator, tmp_path):
    settings = config(simulator, tmp_path, MAPPING)
    deep: list = []
    for _ in range(300):
        deep = [deep]
    broken = invoice(3, customer={"email": deep}, payments=[])
    lines = [invoice(1), invoice(2, status="draft", payments=[]), broken]
    for _ in range(2):
        result = workspace.run(NAME, "write", config=settings, catalog=catalog("invoices"), stdin=lines)
        assert [error["failure_type"] for error in result.errors] == ["config_error"]
    (order,) = simulator.wicked_rows("orders")
    assert (order["CreateDate"], order["ContactEmail"]) == ("2026-03-01 15:00:00", "buyer1@example.com")
    assert sorted(Decimal(row["Amount"]) for row in simulator.wicked_rows("orderpayments")) == [Decimal("20.5"), 1000]
    letters = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [(letter["form"], letter["row"]["id"]) for letter in letters] == [("record", 3)]


def test_check_names_the_field_of_a_mistake_in_the_mapping(workspace, simulator, tmp_path):
    first, second = MAPPING["streams"]
    wrong = {**MAPPING, "streams": [first, {**second, "fields": {**second["fields"], "Amount": "mony(item.amount)"}}]}
    result = workspace.run(NAME, "check", config=config(simulator, tmp_path, wrong))
    (status,) = result.of("CONNECTION_STATUS")
    assert status["status"] == "FAILED"
    assert "mapping.streams[1].fields.Amount: unknown function mony(); did you mean money()?" in status["message"]
    assert simulator.requests() == []


def test_discover_prints_the_seven_objects_as_one_line(workspace, simulator, tmp_path):
    result = workspace.run(NAME, "discover", config=config(simulator, tmp_path, {"type": "native"}))
    assert result.code == 0
    (found,) = result.of("DESTINATION_CATALOG")
    modes: dict[str, list[str]] = {}
    for operation in found["operations"]:
        modes.setdefault(operation["object_name"], []).append(operation["sync_mode"])
    assert {name for name, offered in modes.items() if "append_dedup" in offered} == {
        "products",
        "contacts",
        "orders",
        "order_items",
    }
    assert len(modes) == 7
    assert simulator.requests() == []


def test_discover_lists_no_objects_if_the_mapping_decides(workspace, simulator, tmp_path):
    result = workspace.run(NAME, "discover", config=config(simulator, tmp_path, MAPPING))
    assert result.code == 0
    assert [m["destination_catalog"] for m in result.messages if m["type"] == "DESTINATION_CATALOG"] == [
        {"operations": []}
    ]
    assert any("chooses the objects itself" in line for line in result.logs)


def test_ledger_and_dead_letter_file_must_be_different_files(workspace, simulator, tmp_path):
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        settings = config(simulator, tmp_path, MAPPING, rejected_records_path=str(tmp_path / name))
        (status,) = workspace.run(NAME, "check", config=settings).of("CONNECTION_STATUS")
        assert status["status"] == "FAILED"
        assert "Choose another rejected_records_path" in status["message"]
        result = workspace.run(NAME, "write", config=settings, catalog=catalog("invoices"), stdin=[invoice(1)])
        assert result.code == 1
        assert simulator.wicked_rows("orders") == []
