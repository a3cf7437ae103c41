"""airbyte-serverless reads each source; it stops at the first error."""

from __future__ import annotations

import json
import re

import pytest

from integration_tests.hosts.cases import NOWHERE, SOURCES, WECANTRACK
from integration_tests.hosts.environments import EXAMPLES, finish, kill, run, start, tool, wait_for

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


def test_every_source_is_set_up_by_abs_from_its_spec(tmp_path):
    for case in SOURCES:
        name = case.source.removeprefix("source-")
        command = [tool("serverless", "abs"), "create", name, "--source", case.source, "--destination", "print"]
        done = run(command, tmp_path)
        assert done.code == 0, done.text
        assert case.key_setting in (tmp_path / "connections" / f"{name}.yaml").read_text()
