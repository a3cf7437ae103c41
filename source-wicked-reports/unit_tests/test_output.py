"""The console script as a process: order of messages, kill and resume, no secrets or personal data in the output."""

import json

import pytest

from .conftest import LISTS, SELECTED, SUBJECT, fill


def run_process(command, config, folder, *streams, options=()):
    """Return exit code, messages and standard error of a command."""
    code, out, err = SUBJECT.run_process(command, config, folder, *streams, options=options)
    return code, [json.loads(line) for line in out.splitlines()], err


def test_records_come_before_the_state_that_covers_them(sim, config, tmp_path):
    fill(sim)
    code, messages, err = run_process("read", config, tmp_path)
    assert (code, err) == (0, "")
    kinds = [message["type"] for message in messages if message["type"] in ("RECORD", "STATE")]
    assert kinds[-1] == "STATE"
    counts = [m["state"]["sourceStats"]["recordCount"] for m in messages if m["type"] == "STATE"]
    assert sum(counts) == kinds.count("RECORD") == 60


def test_spec_check_and_discover_print_one_message_of_their_kind(sim, config, tmp_path):
    for command, kind in (("spec", "SPEC"), ("check", "CONNECTION_STATUS"), ("discover", "CATALOG")):
        code, messages, err = run_process(command, config, tmp_path)
        assert (code, err, [m["type"] for m in messages].count(kind)) == (0, "", 1)


def test_discover_describes_every_field_and_refers_to_nothing_outside(sim, config, tmp_path):
    _, messages, _ = run_process("discover", config, tmp_path)
    (catalog,) = [m["catalog"] for m in messages if m["type"] == "CATALOG"]
    assert {stream["name"] for stream in catalog["streams"]} == {*SUBJECT.streams} >= {*LISTS, *SELECTED}
    assert "$ref" not in json.dumps(catalog)
    rows = fill(sim)
    for stream in catalog["streams"]:
        assert len(stream["source_defined_primary_key"]) == 1
        assert stream["json_schema"]["additionalProperties"] is True
        assert all(field.get("description") for field in stream["json_schema"]["properties"].values())
        if stream["name"] in rows:
            assert rows[stream["name"]][0].keys() <= stream["json_schema"]["properties"].keys()


@pytest.mark.parametrize("wait", [0.05, 0.2, 0.5])
def test_a_run_that_is_killed_and_run_again_gives_the_same_set(wait, sim, config, tmp_path):
    rows = fill(sim, start="2025-06-01", days=200, orders=300)
    sim.set_clock("2026-02-01T12:00:00Z", frozen=False)
    sim.outbound.pace(0)
    sim.fault("slow", "/orders", seconds=0.03, times=0)
    config = {**config, "start_date": "2025-06-01", "page_size": 20, "requests_per_minute": 6000}
    messages = SUBJECT.killed_and_resumed(sim, config, tmp_path, "/orders", wait)
    assert {m["record"]["data"]["id"] for m in messages if m["type"] == "RECORD"} == {r["id"] for r in rows["orders"]}


@pytest.mark.parametrize("fault", ["status_401", "status_403", "status_400", "status_404", "error_200"])
def test_no_key_and_no_address_in_what_a_failing_run_says(fault, sim, config, tmp_path):
    fill(sim)
    sim.fault(fault, "*", times=0)
    config = {**config, "max_tries": 1, "contact_ids": ["buyer000001@example.com"]}
    for stream in ("orders", "selected_contact_clicks"):
        code, messages, err = run_process("read", config, tmp_path, stream)
        assert code == 1
        said = json.dumps([m for m in messages if m["type"] not in ("RECORD", "STATE")]) + err
        assert sim.wicked_key not in said
        assert "buyer000001" not in said


def test_the_key_travels_in_the_header_only(sim, config, read):
    fill(sim)
    read({**config, "contact_ids": ["c000001"]}, *LISTS, *SELECTED)
    assert len(sim.requests()) >= 6
    assert all(sim.wicked_key not in json.dumps([r["path"], r["query"]]) for r in sim.requests())


@pytest.mark.parametrize("around", ["{}", " {} "])
def test_no_part_of_a_key_is_left_where_a_reason_is_cut(around, sim, config, tmp_path):
    key = "Zq7/Xw2+Vb9/Kp4+Mt6/Rs3"
    sim.fault("status", "*", status=400, body=json.dumps({"message": "x" * 180 + key}), times=0)
    for command in ("read", "check"):
        _, messages, err = run_process(command, {**config, "api_key": around.format(key)}, tmp_path)
        said = json.dumps(messages) + err
        assert "xxxx****" in said
        assert key[:4] not in said


@pytest.mark.parametrize("end", [5, True, ["2026-01-01"]])
def test_an_end_that_is_not_text_is_refused_plainly(end, sim, config, tmp_path):
    code, messages, err = run_process("read", {**config, "end_date": end}, tmp_path)
    assert (code, err) == (1, "")
    assert "Invalid configuration: end_date must be" in json.dumps(messages)
