"""Every fault produces what its name says, on the requests it was added for and no others."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from integration_tests.simulator import SimulatorClient
from integration_tests.simulator.faults import KINDS

PATH = "/api/v3/transactions"
QUERY = "date_type=last_wct_update&start_date=2026-01-01T00:00:00&end_date=2026-03-31T23:59:59"
CONTACT = {
    "SourceSystem": "shop",
    "SourceID": "c1",
    "CreateDate": "2026-02-01 10:00:00",
    "Email": "one@example.com",
}


@pytest.fixture
def sim(sim: SimulatorClient) -> SimulatorClient:
    sim.upsert(
        {"user_network_account_id": 101, "transaction_id": f"T{n}", "last_wct_update": "2026-02-01"} for n in range(50)
    )
    return sim


def get(sim: SimulatorClient, path: str = PATH, query: str = QUERY, timeout: float = 10) -> requests.Response:
    headers = {"X-API-Key": sim.wecantrack_key, "Accept": "application/json"}
    return requests.get(f"{sim.url}{path}?{query}", headers=headers, timeout=timeout, allow_redirects=False)


def post(sim: SimulatorClient, timeout: float = 10) -> requests.Response:
    return requests.post(f"{sim.url}/contacts", json=[CONTACT], headers={"apikey": sim.wicked_key}, timeout=timeout)


def raw(sim: SimulatorClient) -> tuple[bytes, BaseException | None]:
    """Read one response up to the end of the connection; return its bytes and how the connection ended."""
    address = urlsplit(sim.url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(
            f"GET {PATH}?{QUERY} HTTP/1.1\r\nHost: {address.netloc}\r\nX-API-Key: {sim.wecantrack_key}\r\n"
            "Accept: application/json\r\nConnection: close\r\n\r\n".encode()
        )
        try:
            while piece := connection.recv(65536):
                received += piece
        except OSError as error:
            return received, error
    return received, None


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


@pytest.mark.parametrize(
    ("kind", "body"), [("empty_200", b""), ("null_200", b"null"), ("list_200", b"[]"), ("object_200", b"{}")]
)
def test_a_hollow_200_has_exactly_this_body(sim: SimulatorClient, kind: str, body: bytes) -> None:
    sim.fault(kind, PATH)
    reply = get(sim)
    assert (reply.status_code, reply.content) == (200, body)


def test_html_and_error_bodies_have_status_200(sim: SimulatorClient) -> None:
    sim.fault("html_200", PATH)
    sim.fault("error_200", PATH, nth=2)
    assert get(sim).headers["Content-Type"].startswith("text/html")
    reply = get(sim)
    assert (reply.status_code, reply.json()["status"]) == (200, "error")


def test_half_a_body_with_a_length_that_agrees(sim: SimulatorClient) -> None:
    whole = get(sim).content
    sim.fault("half_body", PATH)
    status, headers, body = parts(raw(sim)[0])
    assert (status, int(headers["content-length"])) == (200, len(body))
    assert body == whole[: len(whole) // 2]
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_half_a_body_without_a_length_ends_with_the_connection(sim: SimulatorClient) -> None:
    whole = get(sim).content
    sim.fault("half_body_no_length", PATH, times=2)
    answer, error = raw(sim)
    status, headers, body = parts(answer)
    assert (status, error, body) == (200, None, whole[: len(whole) // 2])
    assert "content-length" not in headers
    assert "transfer-encoding" not in headers
    assert get(sim).content == body  # a client cannot distinguish this from a complete response


def test_half_a_body_under_the_length_of_the_whole(sim: SimulatorClient) -> None:
    sim.fault("half_body_longer_length", PATH, times=2)
    answer, error = raw(sim)
    _status, headers, body = parts(answer)
    assert error is None
    assert int(headers["content-length"]) // 2 == len(body)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        get(sim)


def test_a_chunk_whose_size_is_no_number(sim: SimulatorClient) -> None:
    sim.fault("broken_chunked", PATH, times=2)
    answer, error = raw(sim)
    _status, headers, body = parts(answer)
    assert (headers["transfer-encoding"], error) == ("chunked", None)
    assert body.endswith(b"\r\nnot-a-size\r\n")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(sim)


def test_a_reset_in_mid_body_is_a_tcp_reset(sim: SimulatorClient) -> None:
    sim.fault("reset_mid_body", PATH, times=2)
    answer, error = raw(sim)
    assert isinstance(error, ConnectionResetError)
    assert answer.startswith(b"HTTP/1.1 200")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        get(sim)


def test_closing_before_the_answer_sends_nothing_and_processes_nothing(sim: SimulatorClient) -> None:
    sim.fault("close_before_answer", times=2)
    assert raw(sim)[0] == b""
    with pytest.raises(requests.exceptions.ConnectionError):
        post(sim)
    assert sim.wicked_rows("contacts") == []
    assert [entry["status"] for entry in sim.requests()] == [0, 0]


def test_nan_replaces_an_amount(sim: SimulatorClient) -> None:
    sim.fault("nan_in_json", PATH)
    body = get(sim).content
    assert body.count(b"NaN") == 1
    assert b'_amount":NaN' in body
    assert len(json.loads(body)["data"]) == 50


@pytest.mark.parametrize("status", [401, 403, 422, 429, 500, 502, 503, 504])
def test_any_status_with_json_or_html_and_headers(sim: SimulatorClient, status: int) -> None:
    sim.fault(f"status_{status}", PATH, headers={"Retry-After": "7"})
    sim.fault("status", PATH, nth=2, status=status, html=True)
    sim.fault("status", PATH, nth=3, status=status, body='{"message": "own words"}')
    first, second, third = get(sim), get(sim), get(sim)
    assert {reply.status_code for reply in (first, second, third)} == {status}
    assert "message" in first.json()
    assert first.headers["Retry-After"] == "7"
    assert second.text.startswith("<!DOCTYPE html>")
    assert third.json() == {"message": "own words"}


def test_a_throttle_may_say_when_say_nothing_talk_nonsense_or_point_far_away(sim: SimulatorClient) -> None:
    for place, kind in enumerate(("throttled", "throttled_bare", "throttled_garbage", "throttled_far"), 1):
        sim.fault(kind, PATH, nth=place, seconds=3)
    plain, bare, garbage, far = (get(sim) for _ in range(4))
    assert {reply.status_code for reply in (plain, bare, garbage, far)} == {429}
    assert plain.headers["Retry-After"] == "3"
    assert abs(int(plain.headers["X-RateLimit-Reset"]) - time.time()) < 10
    assert not {"Retry-After", "X-RateLimit-Reset"} & set(bare.headers)
    assert garbage.headers["Retry-After"] == garbage.headers["X-RateLimit-Reset"] == "soon"
    assert int(far.headers["X-RateLimit-Reset"]) > time.time() + 300 * 86400


def test_a_redirect_leads_to_an_html_page(sim: SimulatorClient) -> None:
    sim.fault("redirect_302", PATH)
    reply = get(sim)
    assert reply.status_code == 302
    page = requests.get(sim.url + reply.headers["Location"], timeout=10)
    assert (page.status_code, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")


def test_a_hang_lasts_until_the_client_disconnects(sim: SimulatorClient) -> None:
    sim.fault("hang", PATH)
    with pytest.raises(requests.exceptions.ReadTimeout):
        get(sim, timeout=0.3)
    assert get(sim).status_code == 200


def test_a_hang_with_an_end_closes_without_an_answer(sim: SimulatorClient) -> None:
    sim.fault("hang", PATH, seconds=0.2)
    started = time.monotonic()
    assert raw(sim)[0] == b""
    assert time.monotonic() - started >= 0.2


def test_a_slow_answer_is_true_and_late(sim: SimulatorClient) -> None:
    whole = get(sim).content
    sim.fault("slow", PATH, seconds=0.3)
    started = time.monotonic()
    assert get(sim).content == whole
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("kind", ["store_then_close", "store_then_hang", "store_then_status"])
def test_a_lost_reply_leaves_the_rows_stored(sim: SimulatorClient, kind: str) -> None:
    sim.fault(kind, "/contacts", method="POST", status=504)
    if kind == "store_then_status":
        assert post(sim).status_code == 504
    else:
        with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout)):
            post(sim, timeout=0.5)
    assert len(sim.wicked_rows("contacts")) == 1
    assert [(entry["fault"], entry["processed"]) for entry in sim.requests("/contacts")] == [(kind, True)]
    assert post(sim).json()["records"] == 1
    assert sim.stats()["wicked"]["contacts.duplicates"] == 1


@pytest.mark.parametrize("kind", ["html_200", "empty_200", "status_500", "throttled"])
def test_a_replaced_reply_leaves_nothing_stored(sim: SimulatorClient, kind: str) -> None:
    sim.fault(kind, "/contacts")
    post(sim)
    assert sim.wicked_rows("contacts") == []
    assert [entry["processed"] for entry in sim.requests("/contacts", rows=True)] == [False]
    assert sim.requests("/contacts", rows=True)[0]["rows"] == [CONTACT]


def statuses(sim: SimulatorClient, count: int, path: str = PATH) -> list[int]:
    return [get(sim, path).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({}, [500, 200, 200, 200, 200]),
        ({"nth": 3}, [200, 200, 500, 200, 200]),
        ({"nth": 2, "times": 3}, [200, 500, 500, 500, 200]),
        ({"nth": 2, "times": 0}, [200, 500, 500, 500, 500]),
        ({"every": 2, "times": 0}, [500, 200, 500, 200, 500]),
        ({"nth": 2, "every": 2, "times": 1}, [200, 500, 200, 200, 200]),
    ],
)
def test_a_fault_applies_to_the_requests_it_was_added_for(
    sim: SimulatorClient, schedule: dict[str, Any], expected: list[int]
) -> None:
    sim.fault("status", PATH, **schedule)
    assert statuses(sim, 5) == expected


def test_a_fault_applies_to_its_path_query_and_method_only(sim: SimulatorClient) -> None:
    sim.fault("status", "/api/v2/*", times=0)
    sim.fault("status", PATH, query="page=2", times=0)
    sim.fault("status", method="POST", times=0)
    assert statuses(sim, 1, "/api/v2/networks") == [500]
    assert statuses(sim, 1, "/api/v1/websites") == [200]
    assert get(sim, query=QUERY + "&page=1").status_code == 200
    assert get(sim, query=QUERY + "&page=2").status_code == 500
    assert post(sim).status_code == 500
    sim.clear_faults()
    assert post(sim).status_code == 200


def test_of_two_faults_the_first_applies_and_the_second_waits(sim: SimulatorClient) -> None:
    sim.fault("status_500", PATH)
    sim.fault("status_503", PATH)
    assert statuses(sim, 3) == [500, 503, 200]
    assert [(fault["seen"], fault["struck"]) for fault in sim.faults()] == [(3, 1), (3, 1)]


def test_spoiled_requests_are_counted_by_fault(sim: SimulatorClient) -> None:
    sim.fault("status_500", PATH, times=2)
    statuses(sim, 3)
    assert sim.stats()["requests"]["faults"] == {"status": 2}
    assert sim.stats()["requests"]["by_status"] == {"500": 2, "200": 1}


@pytest.mark.parametrize("settings", [{"kind": "no_such"}, {"kind": "hang", "nth": 0}, {"kind": "hang", "wrong": 1}])
def test_an_invalid_fault_is_refused(sim: SimulatorClient, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="400"):
        sim.fault(**settings)


def test_the_server_continues_after_every_fault(sim: SimulatorClient) -> None:
    for kind in KINDS:
        sim.fault(kind, PATH, seconds=0.05)
        raw(sim)
        assert get(sim).status_code == 200, kind
