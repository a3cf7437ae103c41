"""Every command of every connector against the simulator, with and without Python's warnings.

The pytest plugin in integration_tests/protocol validates their output as in every test: warnings may go to standard
error, but must not corrupt a message. `make pythons` runs this file on every supported version of Python.
"""

from __future__ import annotations

import pytest

from integration_tests.support.processes import catalog

SOURCES = {
    "source-wecantrack": ("transactions", {}),
    "source-sovrn": ("transactions", {"end_date": "2026-03-31", "request_interval_seconds": 0}),
    "source-wicked-reports": ("orders", {}),
}
DESTINATION = "destination-wicked-reports"


@pytest.fixture(params=["", "once"])
def _warnings(request, monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", request.param)


@pytest.fixture
def filled(simulator):
    simulator.generate(seed=2, transactions=60, days=5)
    simulator.sovrn.generate(transactions=60, days=5, later_days=0)
    simulator.sovrn.pace(0)
    simulator.outbound.seed(start="2026-03-25", days=5, contacts=10, orders=20, clicks=20)
    return simulator


@pytest.fixture
def config(filled, tmp_path):
    common = {"api_url": filled.url, "start_date": "2026-03-25"}
    return {
        "source-wecantrack": {**common, "api_key": filled.wecantrack_key},
        "source-sovrn": {**common, "secret_key": filled.sovrn_key},
        "source-wicked-reports": {**common, "api_key": filled.wicked_key},
        DESTINATION: {
            "api_url": filled.url,
            "api_key": filled.wicked_key,
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
            "rejected_records_path": str(tmp_path / "rejected.jsonl"),
        },
    }


@pytest.mark.usefixtures("_warnings")
@pytest.mark.parametrize("connector", [*SOURCES, DESTINATION])
def test_spec_check_and_discover_print_their_message(connector, config, workspace):
    kind = "DESTINATION_CATALOG" if connector == DESTINATION else "CATALOG"
    for command, answer in (("spec", "SPEC"), ("check", "CONNECTION_STATUS"), ("discover", kind)):
        files = {} if command == "spec" else {"config": config[connector]}
        result = workspace.run(connector, command, **files)
        assert result.code == 0, result.said
        (message,) = result.of(answer)
        assert "MemoryMonitor" not in result.said
        assert "Overriding config keys" not in result.said
        assert message.get("status", "SUCCEEDED") == "SUCCEEDED"


@pytest.mark.usefixtures("_warnings")
@pytest.mark.parametrize("connector", SOURCES)
def test_read_emits_records_and_states(connector, config, workspace):
    stream, settings = SOURCES[connector]
    result = workspace.run(connector, "read", config={**config[connector], **settings}, catalog=catalog(stream))
    assert result.code == 0, result.said
    assert result.records
    assert result.states


@pytest.mark.usefixtures("_warnings")
def test_write_sends_rows_and_returns_the_state(config, workspace, filled):
    row = {"SourceSystem": "shop", "SourceID": "c-1", "CreateDate": "2026-04-01 10:00:00", "Email": "buyer@example.com"}
    state = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "contacts"}, "stream_state": {"n": 1}}, "id": 7}
    messages = [
        {"type": "RECORD", "record": {"stream": "contacts", "data": row, "emitted_at": 1_790_000_000_000}},
        {"type": "STATE", "state": state},
    ]
    result = workspace.run(
        DESTINATION, "write", config=config[DESTINATION], catalog=catalog("contacts"), stdin=messages
    )
    assert result.code == 0, result.said
    assert [state["id"] for state in result.states] == [7]
    assert "c-1" in {row["SourceID"] for row in filled.wicked_rows("contacts")}
