"""Error messages, `check`, and that the first failure ends the run."""

import socket

import pytest

from .conftest import CAMPAIGNS, INTERVAL, SUBJECT, TRANSACTIONS, fill, serve

check = SUBJECT.check


def test_check_passes_with_one_request_that_is_no_report(sim, config):
    assert check(config).status.value == "SUCCEEDED"
    assert [request["path"] for request in sim.requests()] == [CAMPAIGNS]


def test_check_reports_a_wrong_key_and_what_regenerating_does(sim, config):
    status = check({**config, "secret_key": "wrong"})
    assert status.status.value == "FAILED"
    assert status.message.startswith("Sovrn does not accept the secret key. Copy it again")
    assert "key was regenerated, the old one stopped working" in status.message


def test_check_reports_an_unreachable_host_without_long_retries(sim, config, clock):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        status = check({**config, "api_url": f"http://127.0.0.1:{unused.getsockname()[1]}"})
    assert status.message.startswith("127.0.0.1 could not be reached in 2 attempts")
    assert sum(clock.slept) <= 2


@pytest.mark.parametrize("fault", ["html_200", "empty_200", "object_200", "error_200", "null_200", "half_body"])
def test_check_fails_on_a_bad_response(fault, sim, config):
    sim.fault(fault, CAMPAIGNS, times=0)
    status = check(config)
    assert status.status.value == "FAILED"
    assert "no valid response" in status.message


def test_given_a_revoked_key_when_read_then_one_request_and_one_error(sim, config, read):
    outcome = read({**config, "secret_key": "wrong"}, "transactions", "campaigns", "merchants_by_date")
    assert len(sim.requests()) == 1
    assert outcome.error.failure_type.value == "config_error"
    assert outcome.statuses() == [("transactions", "STARTED"), ("transactions", "INCOMPLETE")]


def test_given_a_key_that_stops_working_midway_when_read_then_the_run_ends_at_once(sim, config, read):
    fill(sim)
    sim.fault("status_401", TRANSACTIONS, nth=2, times=0)
    outcome = read(config)
    assert "the old one stopped working immediately" in outcome.error.message
    assert len(sim.requests()) == 2


@pytest.mark.parametrize(
    "body",
    ['{"message":"key temporarily blocked"}', "Request throttled", "Rate limit exceeded", "Too many requests"],
)
@pytest.mark.parametrize("nth", [1, 2])
def test_given_a_403_that_says_blocked_when_read_then_it_waits_and_goes_on(body, nth, sim, config, read, clock):
    expected = fill(sim)
    serve(sim, body, status=403, nth=nth, times=2)
    outcome = read(config)
    assert outcome.error is None
    assert set(outcome.keys()) == expected
    assert 2 * INTERVAL in clock.slept


def test_given_a_bare_403_when_the_first_report_is_read_then_it_ends_at_once(sim, config, read, clock):
    sim.key("sovrn", sim.sovrn_key, "plan_off")
    outcome = read(config)
    assert outcome.error.failure_type.value == "config_error"
    assert "approved site" in outcome.error.message
    assert len(sim.requests(TRANSACTIONS)) == 1


def test_given_a_bare_403_after_a_good_report_when_read_then_it_is_treated_as_a_block(sim, config, read, clock):
    expected = fill(sim)
    sim.fault("status_403", TRANSACTIONS, nth=2, times=2)
    outcome = read(config)
    assert outcome.error is None
    assert set(outcome.keys()) == expected


def test_given_a_bare_403_that_stays_when_read_then_it_ends_as_config_error_and_names_both_causes(
    sim, config, read, clock
):
    fill(sim)
    sim.fault("status_403", TRANSACTIONS, nth=2, times=0)
    outcome = read(config)
    assert outcome.error.failure_type.value == "config_error"
    assert "blocked" in outcome.error.message
    assert "approved" in outcome.error.message
    assert outcome.states() == [{"update_date": "2026-01-01"}]
    assert clock.slept == [INTERVAL * intervals for intervals in (1, 1, 1, 2, 5, 5)]


def test_given_a_refused_parameter_when_read_then_it_is_named_with_the_vendors_reason(sim, config, read):
    serve(sim, '{"code":400,"message":"updateDate must be a date as yyyy-mm-dd"}', status=400)
    outcome = read({**config, "campaign_ids": "1,2"})
    assert outcome.error.failure_type.value == "config_error"
    assert "(updateDate must be a date as yyyy-mm-dd)" in outcome.error.message
    assert "campaignIds (campaign_ids)" in outcome.error.message
    assert "merchantGroupIds" not in outcome.error.message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[]", "no reason given"),
        ("<html>", "no reason given"),
        ('"text"', "no reason given"),
        ("", "no reason given"),
        ('{"error":"Invalid status value"}', "Invalid status value"),
        ('{"error":{"message":"bad day"}}', "bad day"),
        ('{"error":{"errors":[]}}', "no reason given"),
    ],
)
def test_given_a_refusal_with_a_strange_body_when_read_then_it_is_still_a_plain_config_error(
    body, reason, sim, config, read
):
    serve(sim, body, status=400)
    outcome = read(config)
    assert outcome.error.failure_type.value == "config_error"
    assert f"({reason})" in outcome.error.message


def test_failures_name_their_stream(sim, config, read):
    sim.fault("status_403", CAMPAIGNS, times=0)
    outcome = read(config, "campaigns")
    assert outcome.error.as_airbyte_message().trace.error.stream_descriptor.name == "campaigns"


def test_json_gzipped_or_not_is_requested(sim, config, read):
    read(config, "transactions", "campaigns", "merchants_by_date")
    assert {request["headers"]["accept"] for request in sim.requests()} == {"application/json"}
    assert {request["headers"]["accept-encoding"] for request in sim.requests()} == {"gzip"}


def test_given_a_reason_that_is_not_text_when_read_then_it_is_quoted_as_text(sim, config, read):
    sim.fault("status", TRANSACTIONS, status=400, body='{"message":{"a":1}}')
    assert "({'a': 1}). The request sent" in read(config).error.message
