"""Airbyte sources run by Meltano: into files and into Wicked Reports, with state."""

from __future__ import annotations

import json
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
    spoil,
)
from integration_tests.hosts.environments import finish, kill, wait_for
from integration_tests.hosts.meltano import Project

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]


@pytest.fixture
def project(simulator, tmp_path):
    return Project(tmp_path, simulator)


@pytest.mark.parametrize("case", SOURCES, ids=lambda case: case.source)
def test_a_source_is_read_into_files_and_the_second_run_reads_only_what_is_new(simulator, project, case):
    case.prepare(simulator)
    tap = project.source(case)
    first = project.run(tap, "target-jsonl")
    assert first.code == 0, first.text
    read = project.lines(case.stream)
    assert len(read) == case.visible(simulator) > 50
    remembered = project.state(tap, "target-jsonl")["airbyte_state"]
    assert [state["stream"]["stream_descriptor"]["name"] for state in remembered] == [case.stream]
    again = project.run(tap, "target-jsonl")
    assert again.code == 0, again.text
    assert len(project.lines(case.stream)) - len(read) < len(read) / 2


@pytest.mark.parametrize("case", [WECANTRACK, SOVRN], ids=lambda case: case.source)
def test_after_two_runs_wicked_stores_what_it_must_and_the_second_starts_from_the_state(simulator, project, case):
    case.prepare(simulator)
    target = project.wicked(case)
    for end in (FIRST, SECOND):
        simulator.set_clock(end, frozen=True)
        tap = project.source(case, end)
        done = project.run(tap, target)
        assert done.code == 0, done.text
        (remembered,) = project.state(tap, target)["airbyte_state"]
        assert end[:10] in json.dumps(remembered)
    assert "No state was found" not in done.text
    assert simulator.held(orders=True) == case.truth(simulator, [FIRST, SECOND])
    assert len(simulator.held(orders=True)) > 50


def test_after_a_kill_no_state_is_kept_and_the_next_run_completes(simulator, project):
    WECANTRACK.prepare(simulator)
    tap, target = project.source(WECANTRACK), project.wicked(WECANTRACK, max_requests_in_flight=1)
    simulator.fault("slow", method="POST", seconds=0.3, times=0)
    process = project.start(tap, target)
    wait_for(lambda: simulator.wicked_rows("orders"), process)
    kill(process)
    assert finish(process).code == -9
    assert 0 < len(simulator.held(orders=True)) < len(simulator.transactions())
    assert project.state(tap, target) is None
    simulator.clear_faults()
    done = project.run("--force", tap, target)
    assert done.code == 0, done.text
    assert simulator.held(orders=True) == WECANTRACK.truth(simulator, [FIRST])


def test_a_source_that_fails_in_the_middle_keeps_no_state_beyond_what_arrived(simulator, project):
    """The wrapper writes states ahead of records, so a state that it left when it failed must not be used."""
    WECANTRACK.prepare(simulator)
    tap, target = project.source(WECANTRACK), project.wicked(WECANTRACK)
    simulator.fault("status_401", "/api/v3/transactions", nth=4, times=0)
    failed = project.run(tap, target)
    assert failed.code != 0
    assert "does not accept the API key" in failed.text
    assert "The tap ended before its sync was complete" in failed.text
    assert project.state(tap, target) is None
    simulator.clear_faults()
    done = project.run(tap, target)
    assert done.code == 0, done.text
    assert simulator.held(orders=True) == WECANTRACK.truth(simulator, [FIRST])


@pytest.mark.parametrize("fault", ["wrong key", "no network"])
def test_a_failing_source_ends_the_run_with_its_reason(simulator, project, fault):
    changes = {"api_key": "wrong"} if fault == "wrong key" else {"api_url": NOWHERE}
    failed = project.run(project.source(WECANTRACK, **changes), "target-jsonl")
    assert failed.code != 0
    assert ("does not accept the API key" if fault == "wrong key" else "could not be reached") in failed.text


@pytest.mark.parametrize("on_rejected_record", ["skip", "fail_at_end"])
def test_the_run_ends_with_what_was_sent_skipped_rejected_and_in_doubt(simulator, project, on_rejected_record):
    spoil(simulator)
    tap, target = project.source(WECANTRACK), project.wicked(WECANTRACK, on_rejected_record=on_rejected_record)
    done = project.run(tap, target)
    assert bool(done.code) is (on_rejected_record == "fail_at_end"), done.text
    assert_result(re.sub(r"\x1b\[[0-9;]*m", "", done.text))


def test_a_target_with_a_wrong_key_ends_the_run_with_its_reason_and_keeps_no_state(simulator, project):
    WECANTRACK.prepare(simulator)
    tap, target = project.source(WECANTRACK), project.wicked(WECANTRACK, api_key="wrong")
    failed = project.run(tap, target)
    assert failed.code != 0
    assert "API key" in failed.text
    assert project.state(tap, target) is None
