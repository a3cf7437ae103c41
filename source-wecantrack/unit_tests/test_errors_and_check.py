"""Error messages, `check`, and that the first failure ends the run."""

import socket

import pytest

from .conftest import SUBJECT

check = SUBJECT.check


def test_check_passes_without_a_transaction_and_with_two_requests(sim, config):
    assert check(config).status.value == "SUCCEEDED"
    requested = [(request["path"], dict(request["query"]).get("limit")) for request in sim.requests()]
    assert requested == [("/api/v2/network_accounts", None), ("/api/v3/transactions", "1")]


@pytest.mark.parametrize("key", ["12e34", "0012", "1_000", "'ab'", "[1]", "a'b\\<&>", "{{1}}"])
def test_a_key_of_any_form_arrives_as_it_is(key, sim, config):
    sim.key("wecantrack", key, "accepted")
    assert check({**config, "api_key": key}).status.value == "SUCCEEDED"


def test_check_reports_a_wrong_key(sim, config):
    status = check({**config, "api_key": "wrong"})
    assert status.status.value == "FAILED"
    assert status.message.startswith("wecantrack does not accept the API key. Copy it again")


def test_check_reports_a_missing_plan(sim, config):
    sim.key("wecantrack", sim.wecantrack_key, "plan_off")
    status = check(config)
    assert status.status.value == "FAILED"
    assert 'Turn on the feature "Reporting API & Webhook"' in status.message
    assert "(stream network_accounts)" in status.message


def test_check_reports_an_unreachable_host_without_long_retries(sim, config, clock):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        status = check({**config, "api_url": f"http://127.0.0.1:{unused.getsockname()[1]}"})
    assert status.status.value == "FAILED"
    assert status.message.startswith("127.0.0.1 could not be reached in 2 attempts")
    assert sum(clock.slept) <= 2


@pytest.mark.parametrize("fault", ["html_200", "empty_200", "object_200", "error_200", "null_200", "half_body"])
@pytest.mark.parametrize("path", ["/api/v2/network_accounts", "/api/v3/transactions"])
def test_check_fails_on_a_bad_response(fault, path, sim, config):
    sim.fault(fault, path, times=0)
    status = check(config)
    assert status.status.value == "FAILED"
    assert "no valid response" in status.message


def test_check_messages_are_one_plain_sentence(sim, config):
    message = check({**config, "api_key": "wrong"}).message
    assert not message.startswith(("'", '"', "Stream"))
    assert "Traceback" not in message


def test_given_a_revoked_key_when_read_then_one_request_and_one_error(sim, config, read):
    outcome = read({**config, "api_key": "wrong"}, "transactions", "networks", "websites")
    assert len(sim.requests()) == 1
    assert outcome.error.failure_type.value == "config_error"
    assert outcome.statuses() == [("transactions", "STARTED"), ("transactions", "INCOMPLETE")]


def test_given_a_refused_filter_when_read_then_the_vendors_reason_is_reported(sim, config, read):
    sim.fault("status", "/api/v3/transactions", status=422, body='{"message":"The selected website id is invalid."}')
    outcome = read(config)
    assert outcome.error.failure_type.value == "config_error"
    assert "(The selected website id is invalid.)" in outcome.error.message


@pytest.mark.parametrize("body", ["[]", "<html>", '"text"', ""])
def test_given_a_refusal_with_a_strange_body_when_read_then_it_is_still_a_config_error(body, sim, config, read):
    sim.fault("status", "/api/v3/transactions", status=422, body=body)
    outcome = read(config)
    assert outcome.error.failure_type.value == "config_error"
    assert "no reason given" in outcome.error.message


def test_given_a_redirect_when_read_then_it_is_not_followed(sim, config, read):
    sim.fault("redirect_302", "/api/v3/transactions", times=0)
    outcome = read(config)
    assert "redirect" in outcome.error.message
    assert len(sim.requests()) == 1


def test_json_is_requested_on_every_request(sim, config, read):
    read(config, "transactions", "networks", "clicks_aggregation")
    assert {request["headers"]["accept"] for request in sim.requests()} == {"application/json"}


def test_failures_name_their_stream(sim, config, read):
    sim.fault("status_403", "/api/v2/networks")
    outcome = read(config, "networks")
    assert outcome.error.as_airbyte_message().trace.error.stream_descriptor.name == "networks"


@pytest.mark.parametrize(("said", "message"), [('{"a":1}', "({'a': 1})"), ("5", "(5)"), ("[1]", "([1])")])
def test_given_a_reason_that_is_not_text_when_read_then_it_is_quoted_as_text(said, message, sim, config, read):
    sim.fault("status", "/api/v3/transactions", status=400, body=f'{{"message":{said}}}')
    assert f"rejected the filters of the configuration {message}. Correct them" in read(config).error.message


def test_given_a_refusal_nested_too_deeply_when_read_then_it_is_still_a_config_error(sim, config, read):
    sim.fault("status", "/api/v3/transactions", status=400, body=f'{{"message":{"[" * 5000}{"]" * 5000}}}')
    outcome = read(config)
    assert outcome.error.failure_type.value == "config_error"
    assert "no reason given" in outcome.error.message
