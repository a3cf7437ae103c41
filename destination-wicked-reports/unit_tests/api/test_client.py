"""HTTP: which requests are retried, which are not, and what the messages report."""

from __future__ import annotations

import logging

import pytest
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from builders.destination import make_row
from destination_wicked_reports.api import client as module
from destination_wicked_reports.api.client import WickedClient
from destination_wicked_reports.api.responses import Outcome
from destination_wicked_reports.errors import NotStoredError

OK = (200, {}, b'{"success":"Successfully"}')


@pytest.fixture
def waits():
    return []


@pytest.fixture
def client(wicked, waits):
    opened = WickedClient(wicked.url, "secret-key", test_mode=False, connections=2, pause=waits.append)
    yield opened
    opened.close()


def post(client, endpoint="orders", *, repeatable=True):
    rows = [make_row(endpoint)]
    return client.post(f"/{endpoint}", b"[" + rows[0].body + b"]", rows, repeatable=repeatable)


def test_a_post_carries_the_key_in_a_header_and_never_in_the_url(client, wicked):
    assert post(client).outcome is Outcome.ACCEPTED
    method, path, headers, body = wicked.requests[0]
    assert (method, path) == ("POST", "/orders")
    assert headers["apikey"] == "secret-key"
    assert headers["Content-Type"] == "application/json"
    assert "test" not in headers
    assert body == b"[" + make_row().body + b"]"


def test_test_mode_sends_the_test_header_with_every_post(wicked):
    client = WickedClient(wicked.url, "k", test_mode=True, connections=1)
    post(client)
    client.close()
    assert wicked.requests[0][2]["test"] == "1"


@pytest.mark.parametrize(
    ("status", "repeatable"),
    [
        *[(status, True) for status in (408, 425, 429, 500, 502, 503, 522, 530)],
        *[(status, each) for status in (429, 521, 523, 525, 526) for each in (True, False)],
    ],
)
def test_a_temporary_refusal_is_retried(client, wicked, waits, status, repeatable):
    wicked.answers = [(status, {}, b"{}"), (status, {}, b"<html>"), OK]
    assert post(client, repeatable=repeatable).outcome is Outcome.ACCEPTED
    assert waits == [1.0, 2.0]


def test_a_lost_response_is_retried_for_rows_with_an_id_and_for_no_others(client, wicked):
    wicked.answers = [None, OK]
    assert post(client, repeatable=True).outcome is Outcome.ACCEPTED
    wicked.answers = [None, OK]
    assert post(client, "order_payments", repeatable=False).outcome is Outcome.UNKNOWN
    assert len(wicked.requests) == 3


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}])
@pytest.mark.parametrize("status", [408, 425, 499, 500, 502, 503, 504, 511, 520, 522, 524, 527, 530, 599])
def test_an_error_after_which_rows_may_be_stored_is_retried_for_rows_with_an_id_and_for_no_others(
    client, wicked, status, headers
):
    wicked.answers = [(status, headers, b""), OK]
    assert post(client, repeatable=True).outcome is Outcome.ACCEPTED
    wicked.answers = [(status, headers, b""), OK]
    result = post(client, "order_payments", repeatable=False)
    assert result.outcome is Outcome.UNKNOWN
    assert f"status {status}" in result.reason
    assert len(wicked.requests) == 3


def test_a_2xx_without_a_receipt_is_retried_for_rows_with_an_id_only(client, wicked):
    wicked.answers = [(200, {}, b"<html>"), OK]
    assert post(client, repeatable=True).outcome is Outcome.ACCEPTED
    wicked.answers = [(200, {}, b"<html>"), OK]
    assert post(client, repeatable=False).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("repeatable", [True, False])
def test_rows_that_were_never_sent_are_retried_whatever_they_are(wicked, client, waits, repeatable):
    wicked.answers = [(200, {"Connection": "close"}, OK[2])]
    post(client)
    wicked.close()
    with pytest.raises(AirbyteTracedException) as caught:
        post(client, repeatable=repeatable)
    assert caught.value.failure_type is FailureType.transient_error
    assert waits == list(module.BACKOFF)
    assert sum(waits) > 60, "the attempts must outlast a rate-limit window of a minute"
    assert "failed: no response (ConnectionError). Check the network" in caught.value.message
    assert "Rows accepted so far are recorded; run the sync again." in caught.value.message


@pytest.mark.parametrize("repeatable", [True, False])
def test_an_address_that_was_never_reached_fails_soon_and_the_message_names_the_network(waits, repeatable):
    url = "http://127.0.0.1:9"  # the discard service's port: nothing listens there
    client = WickedClient(url, "k", test_mode=False, connections=1, pause=waits.append)
    with pytest.raises(AirbyteTracedException) as caught:
        post(client, repeatable=repeatable)
    client.close()
    assert caught.value.failure_type is FailureType.transient_error
    assert caught.value.message == (
        f"Wicked Reports cannot be reached at {url}: no response (ConnectionError). Check the network, the proxy and "
        "the firewall, and run the sync again."
    )
    assert 5 < sum(waits) < 30, "enough for a network that comes up, and no more"


def test_an_unreachable_proxy_does_not_count_as_reaching_wicked(waits, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    client = WickedClient("http://wicked.invalid", "k", test_mode=False, connections=1, pause=waits.append)
    with pytest.raises(
        AirbyteTracedException, match=r"cannot be reached .* \(ProxyError\)\. Check the network, the proxy"
    ):
        post(client)
    client.close()
    assert len(waits) == len(module.FIRST_BACKOFF)


def test_a_server_that_closes_the_connection_was_reached_and_gets_all_attempts(client, wicked, waits):
    wicked.answers = [None] * 20
    with pytest.raises(AirbyteTracedException, match="POST /orders to Wicked Reports failed: no response"):
        post(client)
    assert waits == list(module.BACKOFF)


def test_an_error_status_does_not_blame_the_network(client, wicked, waits):
    wicked.answers = [(503, {}, b"{}")] * 20
    with pytest.raises(AirbyteTracedException) as caught:
        post(client)
    assert waits == list(module.BACKOFF)
    assert "status 503. Rows accepted so far" in caught.value.message


@pytest.mark.parametrize(("header", "expected"), [("7", 7.0), ("garbage", 1.0), ("", 1.0)])
def test_retry_after_is_obeyed_if_it_is_readable(client, wicked, waits, header, expected):
    wicked.answers = [(429, {"Retry-After": header}, b"{}"), OK]
    post(client)
    assert waits == [expected]


def test_a_wait_longer_than_airbyte_allows_ends_the_run_and_names_the_time(client, wicked, waits):
    wicked.answers = [(429, {"Retry-After": "7200"}, b"{}")]
    with pytest.raises(AirbyteTracedException, match="wait 120 minutes"):
        post(client)
    assert waits == []


def test_every_wait_is_logged_before_it_starts(client, wicked, caplog):
    wicked.answers = [(503, {}, b"{}"), OK]
    with caplog.at_level(logging.INFO, logger="airbyte"):
        post(client)
    assert "POST /orders: status 503. Retrying in 1 s (attempt 2 of 8)." in caplog.text


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_a_config_error_without_retries(client, wicked, waits, status):
    wicked.answers = [(status, {}, b'{"message":"Forbidden"}')]
    with pytest.raises(AirbyteTracedException, match="refused the API key") as caught:
        post(client)
    assert caught.value.failure_type is FailureType.config_error
    assert waits == []


@pytest.mark.parametrize("status", [301, 302, 404, 405, 501, 505])
def test_a_wrong_address_is_a_config_error_and_redirects_are_not_followed(client, wicked, status):
    wicked.answers = [(status, {"Location": f"{wicked.url}/elsewhere"}, b"")]
    with pytest.raises(AirbyteTracedException, match="Check the API URL"):
        post(client)
    assert len(wicked.requests) == 1


def test_a_rejected_batch_is_a_result_without_retries(client, wicked, waits):
    wicked.answers = [(400, {}, b"{}")]
    assert post(client).outcome is Outcome.REJECTED
    assert waits == []


def test_a_stopped_client_does_not_wait_for_another_attempt(wicked):
    client = WickedClient(wicked.url, "k", test_mode=False, connections=1)
    wicked.answers = [(503, {"Retry-After": "600"}, b"{}")]
    client.stop()
    with pytest.raises(AirbyteTracedException):
        post(client)
    client.close()


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("https://127.0.0.1:{port}", {}),  # a certificate or server other than Wicked's
        ("http://wicked.invalid", {"http_proxy": "http://127.0.0.1:9"}),
        ("http://127.0.0.1:9", {}),
    ],
)
def test_payments_that_cannot_have_arrived_do_not_count_as_sent(wicked, waits, monkeypatch, url, variables):
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    port = wicked.url.rpartition(":")[2]
    client = WickedClient(url.format(port=port), "k", test_mode=False, connections=1, pause=waits.append)
    with pytest.raises(NotStoredError) as caught:
        post(client, "order_payments", repeatable=False)
    client.close()
    assert caught.value.failure_type is FailureType.transient_error
    assert wicked.requests == []


def test_a_key_refused_after_a_lost_response_is_no_proof_that_nothing_was_stored(client, wicked):
    wicked.answers = [None, (401, {}, b"{}")]
    with pytest.raises(AirbyteTracedException) as caught:
        post(client)
    assert not isinstance(caught.value, NotStoredError)
    wicked.answers = [None, (429, {"Retry-After": "9999"}, b"{}")]
    with pytest.raises(AirbyteTracedException, match="asks to wait") as caught:
        post(client)
    assert not isinstance(caught.value, NotStoredError)
    wicked.answers = [(429, {}, b"{}"), (401, {}, b"{}")]
    with pytest.raises(NotStoredError):
        post(client)


@pytest.mark.parametrize("status", [402, 407, 415, 451])
def test_a_refusal_of_the_account_ends_the_run_and_rejects_no_row(client, wicked, status):
    wicked.answers = [(status, {}, b"{}")]
    with pytest.raises(NotStoredError, match=rf"refuses every POST /orders \(status {status}\)") as caught:
        post(client)
    assert caught.value.failure_type is FailureType.config_error
    assert len(wicked.requests) == 1


@pytest.mark.parametrize("header", ["Fri, 31 Dec 99999 23:59:59 GMT", "0", "-1"])
def test_an_absurd_retry_after_neither_fails_the_run_nor_shortens_the_wait(client, wicked, waits, header):
    wicked.answers = [(429, {"Retry-After": header}, b"{}"), (429, {"Retry-After": header}, b"{}"), OK]
    assert post(client).outcome is Outcome.ACCEPTED
    assert waits == [1.0, 2.0]


FIREWALL = (403, {"Content-Type": "text/html; charset=UTF-8"}, b"<!DOCTYPE html><title>You have been blocked</title>")


@pytest.mark.parametrize("status", [401, 403])
def test_a_web_page_in_place_of_a_refusal_is_not_blamed_on_the_key(client, wicked, status):
    for call in (lambda: post(client), client.prove_key):
        wicked.answers = [(status, *FIREWALL[1:])]
        with pytest.raises(NotStoredError, match="A firewall or proxy answered in place of Wicked Reports") as caught:
            call()
        assert caught.value.failure_type is FailureType.config_error


def test_a_web_page_does_not_prove_a_key(client, wicked):
    wicked.answers = [(200, *FIREWALL[1:])]
    with pytest.raises(NotStoredError, match="A firewall or proxy answered"):
        client.prove_key()


def test_a_response_that_is_too_large_is_no_receipt(client, wicked, monkeypatch):
    monkeypatch.setattr(module, "RESPONSE_BYTES", 100)
    huge = (200, {}, b'{"success":"Successfully"' + b" " * 1000 + b"}")
    wicked.answers = [huge, OK]
    assert post(client).outcome is Outcome.ACCEPTED
    wicked.answers = [huge]
    assert post(client, "order_payments", repeatable=False).outcome is Outcome.UNKNOWN
    assert len(wicked.requests) == 3


def test_the_status_counts_even_if_the_body_is_too_large(client, wicked, monkeypatch):
    monkeypatch.setattr(module, "RESPONSE_BYTES", 100)
    wicked.answers = [(429, {}, b" " * 1000), OK]
    assert post(client, "order_payments", repeatable=False).outcome is Outcome.ACCEPTED
    wicked.answers = [(401, {}, b" " * 1000)]
    with pytest.raises(NotStoredError, match="refused the API key"):
        client.prove_key()


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"}, "REQUESTS_CA_BUNDLE names, /nowhere/ca.pem, cannot be read"),
        ({"HTTPS_PROXY": "::::"}, "The proxy that HTTPS_PROXY"),
        ({"HTTPS_PROXY": "nonsense://proxy:1"}, "The proxy that HTTPS_PROXY"),
    ],
)
def test_a_setting_of_this_machine_that_keeps_requests_from_leaving_is_named(
    waits, monkeypatch, variables, words, repeatable
):
    for name in ("no_proxy", "NO_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = WickedClient("https://wicked.invalid", "k", test_mode=False, connections=1, pause=waits.append)
    for call in (lambda: post(client, "order_payments", repeatable=repeatable), client.prove_key):
        with pytest.raises(NotStoredError, match=words) as caught:
            call()
        assert caught.value.failure_type is FailureType.config_error
    client.close()
    assert waits == []


def test_credentials_in_netrc_are_not_sent(client, wicked, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login anonymous password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    post(client)
    post(client, "order_payments", repeatable=False)
    client.prove_key()
    assert [headers.get("Authorization") for _, _, headers, _ in wicked.requests] == [None] * 3


def test_no_proxy_sees_the_key_on_its_way_to_this_machine(client, wicked, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    post(client)
    post(client, "order_payments", repeatable=False)
    client.prove_key()
    assert len(wicked.requests) == 3


def test_stop_with_a_grace_ends_the_wait_for_a_response(wicked):
    client = WickedClient(wicked.url, "k", test_mode=False, connections=1)
    wicked.answers = [None]
    client.stop(grace=0)
    assert post(client, "order_payments", repeatable=False).outcome is Outcome.UNKNOWN
    client.close()


@pytest.mark.parametrize("status", [429, 403, 503, 500])
def test_retry_after_of_any_refusal_is_the_least_wait(client, wicked, waits, status):
    wicked.answers = [(status, {"Retry-After": "40"}, b"{}"), OK]
    assert post(client).outcome is Outcome.ACCEPTED
    assert waits == [40.0]


def test_a_retry_after_date_counts_by_the_vendors_clock():
    response = requests.Response()
    response.headers.update({"Date": "Thu, 01 Jan 2026 10:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 10:00:50 GMT"})
    assert module._retry_after(response) == 50.0
