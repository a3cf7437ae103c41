"""Error messages, `check` with one request, and that the first failure ends the run."""

import socket

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .conftest import LISTS, SELECTED, SUBJECT, fill

check = SUBJECT.check


def test_check_is_one_cheap_request(sim, config):
    fill(sim)
    assert check(config).status.value == "SUCCEEDED"
    (request,) = sim.requests()
    assert (request["path"], dict(request["query"])["limit"]) == ("/orders", "1")


def test_check_passes_on_an_account_without_rows(sim, config):
    assert check(config).status.value == "SUCCEEDED"
    assert len(sim.requests()) == 1


@pytest.mark.parametrize("how", ["forbidden_403", "unauthorized_401"])
def test_check_names_the_key(how, sim, config):
    sim.switch("wicked.key_refused", how)
    status = check({**config, "api_key": "wrong"})
    assert status.message.startswith("Wicked Reports does not accept the API key. Copy it again")
    assert len(sim.requests()) == 1


@pytest.mark.parametrize("more", [{}, {"end_date": "2031-02-01"}])
def test_check_names_the_key_when_the_start_is_in_the_future(more, sim, config):
    config = {**config, "start_date": "2031-01-01", **more}
    config.pop("end_date" if not more else "", None)
    assert check({**config, "api_key": "wrong"}).message.startswith("Wicked Reports does not accept the API key")
    assert check(config).status.value == "SUCCEEDED"


def test_an_id_that_would_lead_to_another_address_is_refused(sim, config, read):
    with pytest.raises(AirbyteTracedException, match="contact_ids"):
        raise read({**config, "contact_ids": ["c000001", ".."]}, "selected_contacts").error
    assert sim.requests() == []


def test_a_start_in_the_future_is_reported(sim, config, read, caplog):
    config = {**config, "start_date": "2031-01-01", "end_date": "2031-02-01"}
    with caplog.at_level("INFO"):
        assert read(config).rows() == []
    assert "leave no day to read" in caplog.text


@pytest.mark.parametrize("key", ["12e34", "0012", "1_000", "'ab'", '"ab"', "[1]", "a'b\\<&>", "{{1}}"])
def test_a_key_of_any_form_arrives_as_it_is(key, sim, config):
    sim.key("wicked", key, "accepted")
    assert check({**config, "api_key": key}).status.value == "SUCCEEDED"


def test_check_names_the_plan_and_whom_to_ask(sim, config):
    sim.key("wicked", sim.wicked_key, "outbound_off")
    status = check(config)
    assert status.status.value == "FAILED"
    assert "Outbound API is not enabled for this account: ask Wicked Reports' support" in status.message


def test_check_names_the_network_without_long_retries(sim, config, clock):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        status = check({**config, "api_url": f"http://127.0.0.1:{unused.getsockname()[1]}"})
    assert status.message.startswith("127.0.0.1 could not be reached in 2 attempts")
    assert status.message.endswith("Check this machine's network, firewall and proxy.")
    assert sum(clock.slept) <= 2


BAD = ["html_200", "empty_200", "null_200", "list_200", "object_200", "error_200", "half_body", "half_body_no_length"]


@pytest.mark.parametrize("fault", BAD)
def test_check_fails_on_a_bad_response(fault, sim, config):
    sim.fault(fault, "/orders", times=0)
    assert "no valid response" in check(config).message


RETRIED = [*BAD, "half_body_longer_length", "broken_chunked", "reset_mid_body", "close_before_answer", "nan_in_json"]


@pytest.mark.parametrize("fault", [*RETRIED, "status_500", "status_503", "throttled_bare", "throttled_garbage", "hang"])
def test_a_fault_on_any_page_is_retried_and_nothing_is_lost(fault, sim, config, read):
    rows = fill(sim)
    sim.fault(fault, "/orders", nth=3, times=1)
    outcome = read({**config, "page_size": 10, "read_timeout_seconds": 0.5})
    assert outcome.error is None
    assert sorted(outcome.keys()) == sorted(row["id"] for row in rows["orders"])


@pytest.mark.parametrize("fault", ["html_200", "empty_200", "error_200", "status_500"])
def test_a_fault_that_stays_is_a_transient_error_and_never_an_empty_window(fault, sim, config, read):
    sim.fault(fault, "/orders", times=0)
    outcome = read({**config, "max_tries": 3})
    assert outcome.error.failure_type.value == "transient_error"
    assert outcome.states() == []


@pytest.mark.parametrize("missing", ["page", "totalPages", "total", "results", "status"])
def test_a_response_that_lacks_a_part_does_not_count(missing, sim, config, read):
    import json

    body = {"status": "success", "results": [], "page": 1, "totalPages": 0, "total": 0, "next": ""}
    del body[missing]
    sim.fault("status", "/orders", status=200, body=json.dumps(body), times=1)
    rows = fill(sim)
    assert len(read(config).rows()) == len(rows["orders"])


def test_counts_may_be_written_with_a_point(sim, config, read):
    body = '{"status":"success","results":[{"id":7}],"page":1.0,"totalPages":1.0,"total":1.0}'
    sim.fault("status", "/orders", status=200, body=body, times=1)
    assert read(config).keys() == ["7"]


def test_a_refused_window_is_named(sim, config, read):
    sim.fault("status_400", "/clicks", times=0)
    error = read(config, "clicks").error
    assert error.failure_type.value == "config_error"
    assert "the window from 2025-12-30 to 2026-01-" in error.message
    assert "of stream clicks" in error.message


def test_given_a_revoked_key_when_read_then_one_request_and_one_error(sim, config, read):
    outcome = read({**config, "api_key": "wrong"}, *LISTS)
    assert len(sim.requests()) == 1
    assert outcome.error.failure_type.value == "config_error"
    assert outcome.statuses() == [("contacts", "STARTED"), ("contacts", "INCOMPLETE")]


@pytest.mark.parametrize("how", ["404", "400", "empty"])
@pytest.mark.parametrize("stream", SELECTED)
def test_an_unknown_selected_contact_is_reported_by_its_place_and_skipped(stream, how, sim, config, read, caplog):
    fill(sim, clicks=300, orders=300)
    sim.switch("outbound.unknown_contact", how)
    config = {**config, "contact_ids": ["nobody@example.com", "c000001"]}
    with caplog.at_level("WARNING"):
        outcome = read(config, stream)
    assert outcome.error is None
    assert outcome.rows(stream)
    assert "nobody" not in caplog.text
    if how != "empty" or stream == "selected_contacts":
        assert "entry 1 of 2 in contact_ids" in caplog.text


def test_a_refused_window_of_a_known_contact_ends_the_run_without_naming_the_contact(sim, config, read):
    fill(sim)
    sim.fault("status_400", "/contacts/buyer000001@example.com/clicks", times=0)
    error = read({**config, "contact_ids": ["buyer000001@example.com"]}, "selected_contact_clicks").error
    assert "of stream selected_contact_clicks" in error.message
    assert "buyer" not in error.message


def test_a_missing_path_is_not_a_missing_contact(sim, config, read):
    sim.fault("status", "/contacts/c1", status=404, body="<html>nothing here</html>", html=True, times=0)
    error = read({**config, "contact_ids": ["c1"]}, "selected_contacts").error
    assert error.message.startswith("The API was not found at this address")


@pytest.mark.parametrize("chosen", ["a/b", "a?b=1", "a#b", "1e5", "0012", "a b", "{{ 1 }}", "é"])
def test_an_id_of_any_form_is_requested_as_it_is(chosen, sim, config, read, caplog):
    with caplog.at_level("WARNING"):
        assert read({**config, "contact_ids": [chosen]}, "selected_contacts").error is None
    assert "entry 1 of 1" in caplog.text
    assert len(sim.requests()) == 1


def test_a_redirect_is_not_followed(sim, config, read):
    sim.fault("redirect_302", "/orders", times=0)
    assert "redirect" in read(config).error.message
    assert len(sim.requests()) == 1


def test_no_selected_contacts_are_no_requests(sim, config, read):
    outcome = read(config, *SELECTED)
    assert outcome.error is None
    assert sim.requests() == []
    assert SUBJECT.catalog(*SELECTED)["streams"][0]["sync_mode"] == "full_refresh"


ORDERS = '{{"status":"success","results":[{}],"page":1,"totalPages":1,"total":1}}'


@pytest.mark.parametrize("wrong", ["1.5", "true", "[1]", '{"a":1}'])
@pytest.mark.parametrize("stream", ["orders", "contacts"])
def test_an_id_that_may_have_lost_digits_does_not_count(stream, wrong, sim, config, read):
    sim.fault("status", f"/{stream}", status=200, body=ORDERS.format(f'{{"id":{wrong}}}'), times=0)
    outcome = read({**config, "max_tries": 1}, stream)
    assert "id that is neither text nor a 64-bit integer" in outcome.error.message
    assert outcome.states(stream) == []


@pytest.mark.parametrize("stream", ["orders", "contacts"])
def test_ids_and_amounts_keep_every_digit(stream, sim, config, read):
    row = '{"id":123456789012345678901,"amount":1234567890123.456789,"LTV":0.1}'
    sim.fault("status", f"/{stream}", status=200, body=ORDERS.format(row))
    (row,) = read(config, stream).rows(stream)
    assert (row["id"], row["amount"], row["LTV"]) == ("123456789012345678901", "1234567890123.456789", 0.1)


@pytest.mark.parametrize("wrong", ["\\ud83d", "\\udc00"])
@pytest.mark.parametrize("stream", ["orders", "contacts", "clicks"])
def test_half_a_character_does_not_stop_a_stream(stream, wrong, sim, config, read, caplog):
    sim.fault("status", f"/{stream}", status=200, body=ORDERS.format(f'{{"id":"1","name":"Shop {wrong}","LTV":NaN}}'))
    (row,) = read(config, stream).rows(stream)
    assert (row["name"], row["LTV"]) == ("Shop \ufffd", None)
    assert f"Stream {stream}: 1 values that are not JSON" in caplog.text
    assert f"Stream {stream}: text has invalid characters" in caplog.text


def test_a_403_of_one_stream_after_a_good_one_fails_only_that_stream(sim, config, read):
    fill(sim)
    sim.fault("status_403", "/clicks", times=0)
    outcome = read(config, "orders", "clicks", "contacts")
    assert dict(outcome.statuses()) == {"orders": "COMPLETE", "clicks": "INCOMPLETE", "contacts": "COMPLETE"}
    assert outcome.error.message.startswith("1 of 3 streams failed: clicks.")


@pytest.mark.parametrize("date", ['{"date":"2026-01-02"}', "[]", "5", "null"])
def test_a_date_of_a_payment_that_is_not_text_has_no_instant(date, sim, config, read):
    body = ORDERS.format(f'{{"id":"1","payments":[{{"date":{date}}}],"attributions":{{"first":{{"date":{date}}}}}}}')
    sim.fault("status", "/orders", status=200, body=body, times=1)
    (row,) = read(config).rows()
    assert row["payments"][0]["dateUtc"] is row["attributions"]["first"]["dateUtc"] is None


@pytest.mark.parametrize("depth", [300, 5000])
def test_a_row_nested_too_deeply_does_not_count(depth, sim, config, read):
    body = ORDERS.format(f'{{"id":"1","new":{"[" * depth}{"]" * depth}}}')
    sim.fault("status", "/orders", status=200, body=body, times=0)
    outcome = read({**config, "max_tries": 1})
    assert outcome.error.failure_type.value == "transient_error"
    assert outcome.states() == []


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_nested_too_deeply_is_still_a_config_error(status, sim, config, read):
    body = f'{{"message":{"[" * 5000}{"]" * 5000}}}'
    sim.fault("status", "/orders", status=status, body=body, times=0)
    assert read(config).error.failure_type.value == "config_error"
