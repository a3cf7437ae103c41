"""No key and nobody's data in a URL, a log line or a trace."""

import json

import pytest

from .conftest import fill
from .test_output import run_process

PERSON = "jane.doe@example.com"


def test_the_key_travels_in_the_header_only(sim, config, read):
    read(config, "transactions", "network_accounts", "networks", "websites", "clicks_aggregation")
    requests = sim.requests()
    assert len(requests) >= 5
    assert all(sim.wecantrack_key not in json.dumps([r["path"], r["query"]]) for r in requests)


def test_plain_http_to_this_machine_goes_past_every_proxy(sim, config, read, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert read(config).error is None


@pytest.mark.parametrize("fault", ["status_401", "close_before_answer"])
def test_no_key_in_any_output_of_a_failing_run(fault, sim, config, tmp_path):
    sim.fault(fault, times=0)
    code, out, err = run_process("read", {**config, "max_tries": 1}, tmp_path)
    assert code == 1
    assert sim.wecantrack_key not in out + err
    code, out, err = run_process("check", {**config, "max_tries": 1}, tmp_path)
    assert code == 0
    assert sim.wecantrack_key not in out + err


@pytest.mark.unjudged_output("its writer is broken, so no status can leave")
def test_no_persons_data_in_logs_when_the_connector_itself_fails(sim, config, tmp_path):
    fill(sim, days=1)
    sim.upsert(
        [{"transaction_id": "X", "user_network_account_id": 7, "sub_ids": {"email": PERSON}}], at="2026-01-01T12:00:00Z"
    )
    # a number that the writer cannot write: the bug's own text would quote it
    code, out, err = run_process("read", config, tmp_path, break_writer=True)
    assert code == 1
    assert PERSON not in out + err
    assert "unexpected RuntimeError" in out


def test_a_body_is_never_quoted(sim, config, tmp_path):
    sim.fault("status", "/api/v3/transactions", status=200, body=f"<html>{PERSON}</html>", times=0)
    code, out, err = run_process("read", {**config, "max_tries": 1}, tmp_path)
    assert code == 1
    assert PERSON not in out + err


@pytest.mark.parametrize("escape", [False, True])
def test_no_part_of_a_key_is_left_where_a_reason_is_cut(escape, sim, config, tmp_path):
    key = "Zq7/Xw2+Vb9/Kp4+Mt6/Rs3"
    said = json.dumps({"message": "x" * 180 + key}).replace("/", "\\/" if escape else "/")
    sim.fault("status", "*", status=422, body=said, times=0)
    for command in ("read", "check"):
        _, out, err = run_process(command, {**config, "api_key": key}, tmp_path)
        assert "xxxx****" in out
        assert key[:4] not in out + err
