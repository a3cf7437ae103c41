"""The preview of records: expressions, money, rejects, and terminal safety."""

from __future__ import annotations

import json

import orjson
import pytest
from builders.destination import COMPLETE
from destination_wicked_reports.commands.preview import preview, print_preview
from destination_wicked_reports.config.spec import Config

CUSTOM = {
    "type": "custom",
    "streams": [
        {
            "stream": "deals",
            "endpoint": "orders",
            "filter": "won",
            "fields": {
                "SourceSystem": "'crm'",
                "SourceID": "id",
                "CreateDate": "utc(at)",
                "ContactEmail": "email",
                "OrderTotal": "money(total)",
                "OrderCurrency": "'EUR'",
            },
        }
    ],
}


@pytest.fixture
def show(tmp_path):
    def run(mapping, stream, records, **options):
        catalog = tmp_path / "catalog.json"
        configured = {
            "stream": {"name": stream, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
        catalog.write_text(json.dumps({"streams": [configured]}))
        ledger = {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")}
        config = Config.parse({"api_key": "k", "mapping": mapping, "ledger": ledger, "api_url": "http://127.0.0.1:9"})
        lines = [
            orjson.dumps({"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 1}})
            for data in records
        ]
        return preview(config, catalog, [lines], **options)

    return run


DEAL = {"id": "d1", "won": True, "at": "2026-03-05T10:00:00Z", "email": "a@b.example", "total": "12.50"}


def test_expressions_are_shown_with_their_values_and_errors(show):
    result = show(CUSTOM, "deals", [DEAL, {**DEAL, "id": "d2", "total": "a lot"}])
    values = {(each["record"], each["field"]): each["value"] for each in result.expressions}
    assert str(values[1, "OrderTotal"]) == "12.50"
    assert values[1, "SourceID"] == "d1"
    assert values[2, "OrderTotal"].startswith("(error: ")
    summary = result.to_json()
    assert summary["rows"]["orders"] == {"new": 1, "unchanged": 0, "changed": 0, "rejected": 1, "in_doubt": 0}
    assert summary["rejected"][0]["field"] == "OrderTotal"
    assert summary["money"] == [{"currency": "EUR", "month": "2026-03", "gross": "12.50", "net": "12.50"}]


def test_a_refund_lowers_the_net_but_not_the_gross(show):
    payment = {**COMPLETE["order_payments"], "Status": "REFUNDED", "Amount": "3.10"}
    result = show({"type": "native"}, "order_payments", [payment])
    assert result.to_json()["money"] == [{"currency": "", "month": "2024-05", "gross": "0.00", "net": "-3.10"}]


def test_neither_the_ledger_nor_a_dead_letter_file_is_made(show, tmp_path):
    show(CUSTOM, "deals", [{**DEAL, "total": "a lot"}])
    assert [path.name for path in tmp_path.iterdir()] == ["catalog.json"]


def test_a_value_with_control_characters_never_reaches_the_terminal(show, capsys):
    print_preview(show(CUSTOM, "deals", [{**DEAL, "id": "d\x1b[31m1", "email": "a\x07@b.example"}]))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_only_the_first_rows_are_kept_in_memory(show):
    result = show(CUSTOM, "deals", [{**DEAL, "id": f"d{number}"} for number in range(2500)])
    assert len(result.rows["orders"]) == 3
    assert result.to_json()["rows"]["orders"]["new"] == 2500
