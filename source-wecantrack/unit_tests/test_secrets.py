"""URLs, logs and traces have no API key and no personal data."""

import json

import pytest

from .conftest import SUBJECT

PERSON = "jane.doe@example.com"


def test_the_key_travels_in_the_header_only(sim, config, read):
    read(config, "transactions", "network_accounts", "networks", "websites", "clicks_aggregation")
    requests = sim.requests()
    assert len(requests) >= 5
    assert all(sim.wecantrack_key not in json.dumps([r["path"], r["query"]]) for r in requests)


@pytest.mark.parametrize("fault", ["status_401", "close_before_answer"])
def test_no_key_in_any_output_of_a_failing_run(fault, sim, config, tmp_path):
    sim.fault(fault, times=0)
    code, out, err = SUBJECT.run_process("read", {**config, "max_tries": 1}, tmp_path)
    assert code == 1
    assert sim.wecantrack_key not in out + err
    code, out, err = SUBJECT.run_process("check", {**config, "max_tries": 1}, tmp_path)
    assert code == 0
    assert sim.wecantrack_key not in out + err


def test_a_body_is_never_quoted(sim, config, tmp_path):
    sim.fault("status", "/api/v3/transactions", status=200, body=f"<html>{PERSON}</html>", times=0)
    code, out, err = SUBJECT.run_process("read", {**config, "max_tries": 1}, tmp_path)
    assert code == 1
    assert PERSON not in out + err


@pytest.mark.parametrize("escape", [False, True])
def test_no_part_of_a_key_is_left_where_a_reason_is_cut(escape, sim, config, tmp_path):
    key = "Zq7/Xw2+Vb9/Kp4+Mt6/Rs3"
    said = json.dumps({"message": "x" * 180 + key}).replace("/", "\\/" if escape else "/")
    sim.fault("status", "*", status=422, body=said, times=0)
    for command in ("read", "check"):
        _, out, err = SUBJECT.run_process(command, {**config, "api_key": key}, tmp_path)
        assert "xxxx****" in out
        assert key[:4] not in out + err
