"""source-wicked-reports as a process: it reads everything once, including what the destination wrote."""

from __future__ import annotations

import pytest

from integration_tests.support.processes import catalog

STREAMS = ("contacts", "orders", "clicks")


def config_for(simulator, **more):
    return {
        "api_key": simulator.wicked_key,
        "api_url": simulator.url,
        "start_date": "2026-01-01",
        "end_date": "2026-03-31",
        **more,
    }


def keys(result, stream):
    rows = [record["data"] for record in result.of("RECORD") if record["stream"] == stream]
    return [row.get("click_key") or row["id"] for row in rows]


@pytest.mark.parametrize(("to", "zone"), [("inclusive", "utc"), ("exclusive", "eastern")])
def test_everything_visible_is_read_once(to, zone, simulator, workspace):
    simulator.outbound.seed(start="2026-01-01", days=90, contacts=200, orders=3000, clicks=5000, twins=40)
    simulator.switch("outbound.to", to)
    simulator.switch("outbound.day_zone", zone)
    result = workspace.run("source-wicked-reports", "read", config=config_for(simulator), catalog=catalog(*STREAMS))
    assert result.code == 0, result.said
    for stream in STREAMS:
        found = keys(result, stream)
        assert len(found) == len(set(found)) == len(simulator.outbound.rows(stream))
    assert sorted(keys(result, "orders")) == sorted(row["id"] for row in simulator.outbound.rows("orders"))
    assert simulator.outbound.pace()["busiest_minute"] <= 120


def test_what_the_destination_wrote_is_read_back(simulator, workspace, tmp_path):
    written = catalog("contacts", "orders", "clicks")
    order = {"SourceSystem": "shop", "SourceID": "o1", "CreateDate": "2026-03-02 10:00:00", "ContactID": "c1"}
    records = [
        (
            "contacts",
            {"SourceSystem": "shop", "SourceID": "c1", "CreateDate": "2026-03-01 10:00:00", "Email": "a@b.example"},
        ),
        ("orders", {**order, "OrderTotal": "79.95"}),
    ]
    stdin = [
        {"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 0}} for stream, data in records
    ]
    destination = {
        "api_key": simulator.wicked_key,
        "api_url": simulator.url,
        "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
    }
    wrote = workspace.run("destination-wicked-reports", "write", config=destination, catalog=written, stdin=stdin)
    assert wrote.code == 0, wrote.said
    read = {"config": config_for(simulator), "catalog": catalog("contacts", "orders")}
    early = workspace.run("source-wicked-reports", "read", **read)
    assert early.records == []
    simulator.outbound.process()
    result = workspace.run("source-wicked-reports", "read", **read, state=early.states)
    assert result.code == 0, result.said
    contact, found = result.records
    assert (contact["sourceId"], contact["email"]) == ("c1", "a@b.example")
    assert (found["sourceId"], found["sourceSystem"], found["amount"]) == ("o1", "shop", 79.95)


def test_check_says_whom_to_ask_if_the_api_is_not_enabled(simulator, workspace):
    simulator.key("wicked", simulator.wicked_key, "outbound_off")
    (status,) = workspace.run("source-wicked-reports", "check", config=config_for(simulator)).of("CONNECTION_STATUS")
    assert status["status"] == "FAILED"
    assert "ask Wicked Reports' support" in status["message"]
