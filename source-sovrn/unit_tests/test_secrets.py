"""No key and nobody's data in a URL, a log line or a trace."""

import json

import pytest

from .conftest import TRANSACTIONS, fill, serve
from .test_output import run_process

PERSON = "jane.doe@example.com"


@pytest.fixture
def quick(config, sim):
    sim.sovrn.pace(0)
    return {**config, "request_interval_seconds": 0}


def test_the_key_travels_in_the_header_only(sim, config, read):
    read(config, "transactions", "campaigns", "merchants_by_date")
    requests = sim.requests()
    assert len(requests) >= 5
    assert all(sim.sovrn_key not in json.dumps([r["path"], r["query"]]) for r in requests)


@pytest.mark.parametrize("written", ["secret {}", " {} ", "{}\n"])
def test_a_key_that_was_copied_with_its_scheme_or_spaces_is_understood(written, sim, config, read):
    assert read({**config, "secret_key": written.format(sim.sovrn_key)}).error is None


@pytest.mark.parametrize("key", ["two words", "tab\there", "caf\u00e9", "line\nbreak", "  "])
def test_a_key_that_is_none_is_refused_without_being_quoted(key, sim, quick, tmp_path):
    code, out, err = run_process("read", {**quick, "secret_key": key}, tmp_path)
    assert code == 1
    assert "Secret Key" in out
    assert "unexpected" not in out
    assert not key.strip() or key not in out + err
    assert sim.requests() == []


def test_plain_http_to_this_machine_goes_past_every_proxy(sim, config, read, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert read(config).error is None


@pytest.mark.parametrize("fault", ["status_401", "status_403", "status_400", "close_before_answer"])
def test_no_key_in_any_output_of_a_failing_run(fault, sim, quick, tmp_path):
    sim.fault(fault, times=0)
    code, out, err = run_process("read", {**quick, "max_tries": 1}, tmp_path)
    assert code == 1
    assert sim.sovrn_key not in out + err
    code, out, err = run_process("check", quick, tmp_path)
    assert code == 0
    assert sim.sovrn_key not in out + err


@pytest.mark.unjudged_output("its writer is broken, so no status can leave")
def test_no_persons_data_in_logs_when_the_connector_itself_fails(sim, quick, tmp_path):
    fill(sim, days=1)
    sim.sovrn.upsert([{"revenueId": "1", "cuid": PERSON}], at="2026-01-01T12:00:00Z")
    code, out, err = run_process("read", quick, tmp_path, break_writer=True)
    assert code == 1
    assert PERSON not in out + err
    assert "unexpected RuntimeError" in out


def test_a_body_is_never_quoted(sim, quick, tmp_path):
    serve(sim, f'{{"transactions":[{{"cuid":"{PERSON}"}}]}}', times=0)
    code, out, err = run_process("read", {**quick, "max_tries": 1}, tmp_path)
    assert code == 1
    assert PERSON not in out + err


def test_a_redirect_is_not_followed(sim, config, read):
    sim.fault("redirect_302", TRANSACTIONS, times=0)
    outcome = read(config)
    assert "redirect" in outcome.error.message
    assert len(sim.requests()) == 1


def test_no_part_of_a_key_is_left_where_a_reason_is_cut(sim, quick, tmp_path):
    key = "Zq7/Xw2+Vb9/Kp4+Mt6/Rs3"
    sim.fault("status", "*", status=400, body=json.dumps({"error": {"message": "x" * 180 + key}}), times=0)
    for command in ("read", "check"):
        _, out, err = run_process(command, {**quick, "secret_key": f"secret {key}"}, tmp_path)
        assert "xxxx****" in out
        assert key[:4] not in out + err
