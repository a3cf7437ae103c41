"""The base class of the sources. wecantrack's source is the example."""

import pytest
from source_wecantrack import SourceWecantrack

from integration_tests.support.source_fixtures import LOGGER

from .conftest import SUBJECT, fill

TRANSACTIONS, NETWORKS, WEBSITES = "/api/v3/transactions", "/api/v2/networks", "/api/v1/websites"


def test_a_source_built_without_arguments_uses_the_config_of_each_command(sim, config):
    source = SourceWecantrack()
    assert source.check(LOGGER, config).status.value == "SUCCEEDED"
    assert [stream.name for stream in source.discover(LOGGER, config).streams] == SUBJECT.streams


def test_an_unknown_stream_is_rejected_before_any_request(sim, config, read):
    error = read(config, "transactions", "orders").error
    assert error.failure_type.value == "config_error"
    assert error.message.startswith("The catalog selects orders, which this source does not have")
    assert sim.requests() == []


def test_plain_http_to_this_machine_bypasses_every_proxy(sim, config, read, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert read(config).error is None


def errors(outcome):
    traces = [m.trace.error for m in outcome.messages if m.type.value == "TRACE" and m.trace.error]
    return [(error.stream_descriptor.name, error.failure_type.value) for error in traces]


@pytest.mark.parametrize(
    ("fault", "kind"), [("status_403", "config_error"), ("html_200", "transient_error"), ("status_404", "config_error")]
)
def test_a_stream_that_fails_does_not_keep_the_others_from_being_read(fault, kind, sim, config, read):
    fill(sim)
    sim.fault(fault, WEBSITES, times=0)
    outcome = read(config, "websites", "transactions", "networks")
    assert len(outcome.rows("transactions")) == 15
    assert outcome.states("transactions")[-1] == {"last_wct_update": "2026-01-03T23:59:59"}
    last = dict(outcome.statuses())
    assert last == {"websites": "INCOMPLETE", "transactions": "COMPLETE", "networks": "COMPLETE"}
    assert errors(outcome) == [("websites", kind)]
    assert outcome.error.failure_type.value == kind
    assert outcome.error.message.startswith(
        "1 of 3 streams failed: websites. The others were read completely. websites: "
    )


def test_of_two_streams_that_fail_both_are_named(sim, config, read):
    fill(sim)
    sim.fault("html_200", WEBSITES, times=0)
    sim.fault("status_403", NETWORKS, times=0)
    outcome = read(config, "websites", "transactions", "networks")
    assert len(outcome.rows("transactions")) == 15
    assert errors(outcome) == [("websites", "transient_error"), ("networks", "config_error")]
    assert outcome.error.failure_type.value == "config_error"
    assert outcome.error.message.startswith("2 of 3 streams failed: websites, networks. The others")


def test_a_key_that_is_rejected_midway_stops_the_run(sim, config, read):
    fill(sim)
    sim.fault("status_403", WEBSITES, times=0)
    sim.fault("status_401", TRANSACTIONS, times=0)
    outcome = read(config, "websites", "transactions", "networks")
    assert dict(outcome.statuses()) == {"websites": "INCOMPLETE", "transactions": "INCOMPLETE"}
    assert outcome.error.message.startswith("wecantrack does not accept the API key")
    assert sim.requests(NETWORKS) == []


def test_an_error_of_the_system_has_a_sentence_and_fails_only_its_stream(sim, config, read, monkeypatch):
    fill(sim)

    def broken(*_):
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setattr("source_wecantrack.components.ArrayRetriever._rows", broken)
    outcome = read(config, "websites", "transactions")
    assert len(outcome.rows("transactions")) == 15
    assert "The operating system refused: Permission denied (/some/file)" in outcome.error.message
    assert "The operating system refused: Permission denied" in SUBJECT.check(config).message


def test_a_fault_of_the_connector_fails_only_its_stream_and_quotes_no_row(sim, config, read, monkeypatch):
    fill(sim)

    def broken(*_):
        raise KeyError("jane.doe@example.com")

    monkeypatch.setattr("source_wecantrack.components.ArrayRetriever._rows", broken)
    outcome = read(config, "websites", "transactions")
    assert len(outcome.rows("transactions")) == 15
    assert errors(outcome) == [("websites", "system_error")]
    assert "unexpected KeyError" in outcome.error.message
    assert "jane" not in outcome.error.message
