"""The base class of the sources. wecantrack's source is the example."""

from source_wecantrack import SourceWecantrack

from integration_tests.support.source_fixtures import LOGGER

from .conftest import SUBJECT


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
