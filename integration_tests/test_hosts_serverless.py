"""airbyte-serverless reads each source, and pipes it into Wicked Reports; it stops at the first error."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from integration_tests.hosts.cases import (
    FIRST,
    NOWHERE,
    SECOND,
    SOURCES,
    SOVRN,
    WECANTRACK,
    assert_result,
    destination,
    spoil,
)
from integration_tests.hosts.environments import BIN, EXAMPLES, finish, kill, run, start, tool, wait_for

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]


@pytest.fixture
def command(simulator, tmp_path):
    def command(case, **changes):
        config = tmp_path / "source.json"
        config.write_text(json.dumps(case.config(simulator, **changes)))
        python = tool("serverless", "python")
        script = EXAMPLES / "serverless" / "read.py"
        return [python, script, case.source, "--config", config, "--stream", case.stream, "--folder", tmp_path]

    return command


@pytest.fixture
def write(simulator, tmp_path):
    """Return the command that sends to Wicked Reports."""

    def command(case, end=FIRST, source=(), **changes):
        files = {
            "source": case.config(simulator, end, **dict(source)),
            "wicked": destination(simulator, case, tmp_path, **changes),
        }
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        script = EXAMPLES / "serverless" / "to_wicked.py"
        options = ["--config", tmp_path / "source.json", "--destination-config", tmp_path / "wicked.json"]
        return [tool("serverless", "python"), script, case.source, *options, "--folder", tmp_path]

    return command


@pytest.fixture
def read(command, tmp_path):
    return lambda case, **changes: run(command(case, **changes), tmp_path)


def count(done) -> int:
    assert done.code == 0, done.text
    assert "NOT JSON" not in done.text
    (found,) = re.findall(r"^([0-9]+) records read$", done.text, re.MULTILINE)
    return int(found)


def transactions(lines) -> set[str]:
    return {json.loads(line)["transaction_id"] for line in lines.open()}


@pytest.mark.parametrize("case", SOURCES, ids=lambda case: case.source)
def test_a_source_is_read_and_the_second_run_reads_only_what_is_new(simulator, read, case):
    case.prepare(simulator)
    first = count(read(case))
    assert first == case.visible(simulator) > 50
    assert count(read(case)) < first / 2


def test_after_a_kill_the_next_run_completes_with_every_line_whole(simulator, command, read, tmp_path):
    WECANTRACK.prepare(simulator)
    simulator.fault("slow", "/api/v3/transactions", seconds=0.2, times=0)
    lines = tmp_path / "transactions.jsonl"
    process = start(command(WECANTRACK, page_size=20), tmp_path)
    wait_for(lambda: lines.exists() and lines.stat().st_size, process)
    kill(process)
    assert finish(process).code == -9
    assert 0 < len(lines.read_bytes().splitlines()) < WECANTRACK.visible(simulator)
    with lines.open("a") as file:  # a kill can leave an incomplete record
        file.write('{"transaction_id": "T')
    simulator.clear_faults()
    count(read(WECANTRACK))
    assert transactions(lines) == {row["transaction_id"] for row in simulator.transactions()}


KILLED_IN_A_WRITE = """
import os, pathlib, signal

def write_text(path, text, **_):
    with path.open("w") as file:
        file.write(text[: len(text) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

pathlib.Path.write_text = write_text
"""


def test_after_a_kill_while_writing_the_state_the_next_run_completes(simulator, command, read, tmp_path):
    WECANTRACK.prepare(simulator)
    (tmp_path / "sitecustomize.py").write_text(KILLED_IN_A_WRITE)
    assert run(command(WECANTRACK), tmp_path, PYTHONPATH=str(tmp_path)).code == -9
    count(read(WECANTRACK))
    found = transactions(tmp_path / "transactions.jsonl")
    assert found == {row["transaction_id"] for row in simulator.transactions()}


@pytest.mark.parametrize("fault", ["wrong key", "no network"])
def test_a_failing_source_ends_the_run_with_its_reason(read, fault):
    changes = {"api_key": "wrong"} if fault == "wrong key" else {"api_url": NOWHERE}
    failed = read(WECANTRACK, **changes)
    assert failed.code != 0
    assert ("does not accept the API key" if fault == "wrong key" else "could not be reached") in failed.text


def test_a_source_that_is_killed_is_not_reported_as_complete(simulator, read):
    """airbyte-serverless ignores a source's exit code."""
    WECANTRACK.prepare(simulator)
    killed = Path(__file__).parent / "hosts" / "killed_source.py"
    done = read(replace(WECANTRACK, source=f"{BIN / 'python'} {killed}"))
    assert done.code == 1
    assert "1 records read" in done.text
    assert "The source ended before it was complete" in done.text


# -- into Wicked Reports ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [WECANTRACK, SOVRN], ids=lambda case: case.source)
def test_after_two_syncs_wicked_stores_what_it_must(simulator, write, tmp_path, case):
    case.prepare(simulator)
    for end in (FIRST, SECOND):
        simulator.set_clock(end, frozen=True)
        before = len(simulator.wicked_rows("orders"))
        done = run(write(case, end), tmp_path)
        refused = "rejected: OrderID: return without a known sale" in done.text
        assert done.code == (2 if refused else 0), done.text
        sent = len(simulator.wicked_rows("orders")) - before
        assert re.search(rf"^orders: {sent} sent, ", done.text, re.MULTILINE), done.text
    assert simulator.held(orders=True) == case.truth(simulator, [FIRST, SECOND])
    assert len(simulator.held(orders=True)) > 50


@pytest.mark.parametrize("on_rejected_record", ["skip", "fail_at_end"])
def test_it_ends_with_what_was_sent_skipped_rejected_and_in_doubt(simulator, write, tmp_path, on_rejected_record):
    spoil(simulator)
    done = run(write(WECANTRACK, on_rejected_record=on_rejected_record), tmp_path)
    assert done.code == 2, done.text
    assert_result(done.text)


def test_after_a_kill_the_next_run_into_wicked_completes(simulator, write, tmp_path):
    WECANTRACK.prepare(simulator)
    simulator.fault("slow", method="POST", seconds=0.3, times=0)
    command = write(WECANTRACK, max_requests_in_flight=1)
    process = start(command, tmp_path)
    wait_for(lambda: simulator.wicked_rows("orders"), process)
    kill(process)
    assert finish(process).code == -9
    assert 0 < len(simulator.held(orders=True)) < len(simulator.transactions())
    simulator.clear_faults()
    done = run(command, tmp_path)
    assert done.code == 0, done.text
    assert simulator.held(orders=True) == WECANTRACK.truth(simulator, [FIRST])


def test_a_source_that_fails_in_the_middle_keeps_the_states_of_what_was_sent_and_is_no_success(
    simulator, write, tmp_path
):
    WECANTRACK.prepare(simulator)
    simulator.fault("status_401", "/api/v3/transactions", nth=4, times=0)
    command = write(WECANTRACK, source={"page_size": 20})
    done = run(command, tmp_path)
    assert done.code == 1, done.text
    assert "does not accept the API key" in done.text
    assert re.search(r"^orders: [1-9][0-9]* sent, ", done.text, re.MULTILINE)
    simulator.clear_faults()
    assert run(command, tmp_path).code == 0
    assert simulator.held(orders=True) == WECANTRACK.truth(simulator, [FIRST])


def test_a_destination_that_fails_ends_the_run_with_its_reason_and_keeps_no_state_past_a_record(
    simulator, write, tmp_path
):
    WECANTRACK.prepare(simulator)
    done = run(write(WECANTRACK, api_key="wrong"), tmp_path)
    assert done.code == 1, done.text
    assert "refused the API key" in done.text
    assert simulator.held(orders=True) == {}
    for kept in tmp_path.glob("*.state.json"):  # of days without a sale, which come first
        assert [state["sourceStats"]["recordCount"] for state in json.loads(kept.read_text())] == [0]
    assert run(write(WECANTRACK), tmp_path).code == 0
    assert simulator.held(orders=True) == WECANTRACK.truth(simulator, [FIRST])


def test_every_source_is_set_up_by_abs_from_its_spec(tmp_path):
    for case in SOURCES:
        name = case.source.removeprefix("source-")
        command = [tool("serverless", "abs"), "create", name, "--source", case.source, "--destination", "print"]
        done = run(command, tmp_path)
        assert done.code == 0, done.text
        assert case.key_setting in (tmp_path / "connections" / f"{name}.yaml").read_text()
