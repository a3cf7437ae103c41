"""airbyte-serverless reads each source: a strict reader that stops at the first error it is told."""

from __future__ import annotations

import json
import re

import pytest

from integration_tests.hosts import EXAMPLES, run, tool
from integration_tests.hosts_cases import NOWHERE, SOURCES, WECANTRACK

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]


@pytest.fixture
def read(simulator, tmp_path):
    def read(case, **changes):
        config = tmp_path / "source.json"
        config.write_text(json.dumps(case.config(simulator, **changes)))
        python = tool("serverless", "python")
        script = EXAMPLES / "serverless" / "read.py"
        more = ["--config", config, "--stream", case.stream, "--folder", tmp_path / "output"]
        return run([python, script, case.source, *more], tmp_path)

    return read


def count(done) -> int:
    assert done.code == 0, done.text
    assert "NOT JSON" not in done.text
    (found,) = re.findall(r"^([0-9]+) records read$", done.text, re.MULTILINE)
    return int(found)


@pytest.mark.parametrize("case", SOURCES, ids=lambda case: case.source)
def test_a_source_is_read_and_the_second_run_reads_only_what_is_new(simulator, read, case):
    case.prepare(simulator)
    first = count(read(case))
    assert first == case.visible(simulator) > 50
    assert count(read(case)) < first / 2


@pytest.mark.parametrize("fault", ["wrong key", "no network"])
def test_a_source_that_cannot_work_ends_the_run_and_says_why(read, fault):
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
