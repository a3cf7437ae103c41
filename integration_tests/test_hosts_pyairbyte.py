"""PyAirbyte runs the connectors as its users do: into DuckDB, and from there or directly into Wicked Reports."""

from __future__ import annotations

import json
import os
import re

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
    posts,
    spoil,
)
from integration_tests.hosts.environments import BIN, EXAMPLES, finish, kill, run, start, tool, wait_for

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]


class PyAirbyte:
    """The example scripts and `pyab`, run in one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.python = tool("pyairbyte", "python")
        # as in an activated environment, because the smoke test starts its own source by name
        path = os.pathsep.join([str(BIN), str(self.python.parent), os.environ["PATH"]])
        self.variables = {"AIRBYTE_LOGGING_ROOT": str(folder / "logs"), "AIRBYTE_TEMP_DIR": str(folder), "PATH": path}

    def file(self, name, content):
        path = self.folder / name
        path.write_text(json.dumps(content))
        return path

    def to_duckdb(self, case, config, *more):
        return [
            *(self.python, EXAMPLES / "pyairbyte" / "to_duckdb.py", case.source),
            *("--config", self.file("source.json", config)),
            *("--stream", case.stream, "--database", self.folder / "read.duckdb", *more),
        ]

    def to_wicked(self, case, config, wicked, *more):
        return [
            *(self.python, EXAMPLES / "pyairbyte" / "to_wicked.py", case.source),
            *("--config", self.file("source.json", config)),
            *("--destination-config", self.file("destination.json", wicked)),
            *("--database", self.folder / "sync.duckdb", *more),
        ]

    def pyab(self, *arguments):
        return self.run([tool("pyairbyte", "pyab"), *arguments])

    def run(self, command):
        return run(command, self.folder, **self.variables)

    def start(self, command):
        return start(command, self.folder, **self.variables)


@pytest.fixture
def pyairbyte(tmp_path):
    return PyAirbyte(tmp_path)


def number(text: str, after: str) -> int:
    return int(re.findall(rf"^{after}".replace("N", "([0-9]+)"), text, re.MULTILINE)[-1])


@pytest.mark.parametrize("case", SOURCES, ids=lambda case: case.source)
def test_a_source_is_read_into_duckdb_and_the_second_run_reads_only_what_is_new(simulator, pyairbyte, case):
    case.prepare(simulator)
    first = pyairbyte.run(pyairbyte.to_duckdb(case, case.config(simulator)))
    assert first.code == 0, first.text
    assert number(first.text, f"{case.stream}: N rows") == number(first.text, "N records read") > 50
    assert number(first.text, f"{case.stream}: N rows") == case.visible(simulator)
    again = pyairbyte.run(pyairbyte.to_duckdb(case, case.config(simulator)))
    assert again.code == 0, again.text
    assert number(again.text, f"{case.stream}: N rows") == case.visible(simulator)
    assert number(again.text, "N records read") < number(first.text, "N records read") / 2


@pytest.mark.parametrize(
    ("case", "way"),
    [(WECANTRACK, ["--cache"]), (SOVRN, [])],
    ids=["wecantrack from the cache", "sovrn straight"],
)
def test_after_two_syncs_wicked_stores_what_it_must(simulator, pyairbyte, tmp_path, case, way):
    case.prepare(simulator)
    for end in (FIRST, SECOND):
        simulator.set_clock(end, frozen=True)
        command = pyairbyte.to_wicked(case, case.config(simulator, end), destination(simulator, case, tmp_path), *way)
        before = len(simulator.wicked_rows("orders"))
        done = pyairbyte.run(command)
        refused = "rejected: OrderID: return without a known sale" in done.text
        assert done.code == (2 if refused else 0), done.text
        assert number(done.text, "orders: N sent") == len(simulator.wicked_rows("orders")) - before
    assert simulator.held(orders=True) == case.truth(simulator, [FIRST, SECOND])
    assert len(simulator.held(orders=True)) > 50


@pytest.mark.parametrize("on_rejected_record", ["skip", "fail_at_end"])
def test_it_ends_with_what_was_sent_skipped_rejected_and_in_doubt(simulator, pyairbyte, tmp_path, on_rejected_record):
    spoil(simulator)
    wicked = destination(simulator, WECANTRACK, tmp_path, on_rejected_record=on_rejected_record)
    done = pyairbyte.run(pyairbyte.to_wicked(WECANTRACK, WECANTRACK.config(simulator), wicked))
    assert done.code == 2, done.text
    assert_result(done.text)


def test_a_source_that_fails_in_the_middle_is_no_success_although_what_arrived_was_sent(simulator, pyairbyte, tmp_path):
    WECANTRACK.prepare(simulator)
    simulator.fault("status_401", "/api/v3/transactions", nth=4, times=0)
    wicked = destination(simulator, WECANTRACK, tmp_path)
    done = pyairbyte.run(pyairbyte.to_wicked(WECANTRACK, WECANTRACK.config(simulator, page_size=20), wicked))
    assert done.code == 1, done.text
    assert "does not accept the API key" in words(done.text)


def test_after_a_kill_the_next_run_completes(simulator, pyairbyte, tmp_path):
    WECANTRACK.prepare(simulator)
    wicked = destination(simulator, WECANTRACK, tmp_path, max_requests_in_flight=1)
    command = pyairbyte.to_wicked(WECANTRACK, WECANTRACK.config(simulator), wicked)
    simulator.fault("slow", method="POST", seconds=0.3, times=0)
    process = pyairbyte.start(command)
    wait_for(lambda: simulator.wicked_rows("orders"), process)
    kill(process)
    assert finish(process).code == -9
    assert 0 < len(simulator.held(orders=True)) < len(simulator.transactions())
    simulator.clear_faults()
    done = pyairbyte.run(command)
    assert done.code == 0, done.text
    assert simulator.held(orders=True) == WECANTRACK.truth(simulator, [FIRST])


@pytest.mark.parametrize("fault", ["wrong key", "no network"])
def test_a_failing_source_ends_the_run_with_its_reason(simulator, pyairbyte, fault):
    changes = {"api_key": "wrong"} if fault == "wrong key" else {"api_url": NOWHERE}
    done = pyairbyte.run(pyairbyte.to_duckdb(WECANTRACK, WECANTRACK.config(simulator, **changes)))
    assert done.code != 0
    assert ("does not accept the API key" if fault == "wrong key" else "could not be reached") in words(done.text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"api_key": "wrong"}, "refused the API key"), ({"api_url": NOWHERE}, "cannot be reached")],
    ids=["wrong key", "no network"],
)
def test_a_failing_destination_ends_the_run_with_its_reason_and_sends_nothing(
    simulator, pyairbyte, tmp_path, changes, said
):
    wicked = destination(simulator, WECANTRACK, tmp_path, **changes)
    done = pyairbyte.run(pyairbyte.to_wicked(WECANTRACK, WECANTRACK.config(simulator), wicked))
    assert done.code != 0
    assert said in words(done.text)
    assert posts(simulator) == 0


def words(text: str) -> str:
    """Return a text without a console's line breaks and frames."""
    return re.sub(r"[\s│]+", " ", text)


# -- pyab ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", SOURCES, ids=lambda case: case.source)
def test_a_source_passes_pyab_validate(simulator, pyairbyte, case):
    case.prepare(simulator)
    config = pyairbyte.file("source.json", case.config(simulator))
    done = pyairbyte.pyab("validate", "--connector", case.source, "--config", config)
    assert done.code == 0, done.text


def test_the_destination_passes_pyab_validate(simulator, pyairbyte, tmp_path):
    config = pyairbyte.file("destination.json", destination(simulator, WECANTRACK, tmp_path))
    done = pyairbyte.pyab("validate", "--connector", "destination-wicked-reports", "--config", config)
    assert done.code == 0, done.text


def test_unknown_streams_are_refused_with_the_remedy_and_nothing_is_sent(simulator, pyairbyte, tmp_path):
    wicked = destination(simulator, WECANTRACK, tmp_path, mapping={"type": "native"})
    config = pyairbyte.file("destination.json", wicked)
    done = pyairbyte.pyab("destination-smoke-test", "--destination", "destination-wicked-reports", "--config", config)
    assert done.code != 0
    said = words(done.text) + "".join(words(log.read_text()) for log in tmp_path.glob("logs/**/*.log"))
    assert "is not supported by the mapping native: deselect it" in said
    assert "The connector failed" not in said
    assert posts(simulator) == 0
