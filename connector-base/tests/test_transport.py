"""Bounds of one HTTP exchange, and what of the environment a request uses; against a raw socket server."""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Iterator

import pytest
import requests
import urllib3
from source_wecantrack.base import transport
from source_wecantrack.base.transport import (
    BoundedSession,
    Limits,
    RequestNotSentError,
    ResponseTooLargeError,
    is_loopback,
    is_web_page,
    read_body,
)

from integration_tests.support.raw_server import HEAD, RawServer

FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT = Limits(0.5, 1000)


@pytest.fixture
def server() -> Iterator[RawServer]:
    opened = RawServer()
    yield opened
    opened.close()


def get(server: RawServer, limits: Limits = SHORT, silence: float = 5.0, limit: int = 1000) -> bytes:
    with (
        BoundedSession(limits) as session,
        session.get(f"http://127.0.0.1:{server.port}/", timeout=silence, stream=True) as response,
    ):
        return read_body(response, limit)


def test_a_whole_response_is_read(server):
    assert get(server) == b"{}"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"x"),
        (HEAD + b"Content-Length: 1000\r\n\r\n", b" "),
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED, b"0"),
        (CHUNKED + b"0\r\n", b"A: b\r\n"),
        (HEAD + b"\r\n", b" "),
    ],
)
def test_a_response_that_trickles_anywhere_ends_at_the_deadline(server, head, piece):
    def answer(send):
        send(head)
        server.drip(send, piece)

    server.answer = answer
    started = time.monotonic()
    with pytest.raises(FAILURES):
        get(server)
    assert time.monotonic() - started < 3


def test_the_read_timeout_still_limits_the_silence_between_two_pieces(server):
    server.answer = lambda send: (send(HEAD + b"Content-Length: 9\r\n\r\n"), server.closed.wait())
    started = time.monotonic()
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        get(server, Limits(60, 1000), silence=0.3)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("head", [HEAD + b"\r\n", CHUNKED + b"ffffffff\r\n", CHUNKED, b"", HEAD + b"X: "])
def test_a_response_without_end_fails_before_it_fills_the_memory(server, head):
    def answer(send):
        send(head)
        for _ in range(1000):
            send(b"0" * (1 << 16))

    server.answer = answer
    with pytest.raises((ResponseTooLargeError, *FAILURES)):
        get(server, Limits(30, 1000))


def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(server):
    bomb = gzip.compress(b" " * 200_000_000)
    server.answer = lambda send: send(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    with pytest.raises(ResponseTooLargeError):
        get(server, Limits(30, 1_000_000), limit=1_000_000)


def test_a_canceled_exchange_fails_like_a_lost_connection(server):
    server.answer = lambda send: server.drip(send, b"HTTP/1.1 100 Continue\r\n\r\n")
    started = time.monotonic()
    with pytest.raises(requests.ConnectionError, match="the run was stopped"):
        get(server, Limits(60, 1000, lambda: time.monotonic() - started > 0.3))
    assert time.monotonic() - started < 3


def test_a_long_wait_is_logged(server, monkeypatch, caplog):
    monkeypatch.setattr(transport, "_LOG_SECONDS", 0.1)
    server.answer = lambda send: server.drip(send, b"HTTP/1.1 100 Continue\r\n\r\n")
    with caplog.at_level(logging.INFO, logger="airbyte"), pytest.raises(FAILURES):
        get(server, Limits(0.6, 1000, lambda: False))
    assert "Waiting for a complete response from 127.0.0.1" in caplog.text
    assert "at most 0.6 s." in caplog.text


def test_connections_are_kept_and_each_exchange_has_its_own_deadline(server):
    server.answer = lambda send: (server.closed.wait(0.2), send(HEAD + b"Content-Length: 2\r\n\r\n{}"))
    with BoundedSession(Limits(0.5, 1000, lambda: False)) as session:
        for _ in range(4):
            with session.get(f"http://127.0.0.1:{server.port}/", timeout=5, stream=True) as response:
                assert read_body(response, 1000) == b"{}"
    assert len(server.requests) == 4


def test_netrc_is_not_read(server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login anonymous password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with BoundedSession(Limits(5, 1000)) as session:
        session.get(f"http://127.0.0.1:{server.port}/", headers={"Authorization": "secret key"}, timeout=5)
        session.get(f"http://127.0.0.1:{server.port}/", timeout=5)
    assert b"Authorization: secret key\r\n" in server.requests[0]
    assert b"uthorization" not in server.requests[1]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_request_to_this_machine_goes_through_no_proxy(server, monkeypatch, name, host):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    with BoundedSession(Limits(5, 1000)) as session:
        assert session.get(f"http://{host}:{server.port}/", timeout=5).status_code == 200


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["missing", "garbage", "empty folder's file"])
def test_a_ca_file_that_cannot_be_read_is_named(server, monkeypatch, tmp_path, name, kind):
    path = tmp_path / "ca.pem"
    if kind == "garbage":
        path.write_text("no certificate")
    elif kind != "missing":
        path = tmp_path / "folder" / "ca.pem"
    for each in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, str(path))
    with (
        BoundedSession(Limits(5, 1000)) as session,
        pytest.raises(RequestNotSentError, match=rf"that {name} names, .*ca\.pem, cannot be read"),
    ):
        session.get(f"https://127.0.0.1:{server.port}/", timeout=5)


@pytest.mark.parametrize("proxy", ["://", "http://", "nonsense://host:1", "http://[::1", "http://host:port", "::::"])
def test_a_proxy_that_is_no_url_is_named(monkeypatch, proxy):
    for name in ("no_proxy", "NO_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with (
        BoundedSession(Limits(5, 1000)) as session,
        pytest.raises(RequestNotSentError, match=r"The proxy that HTTPS_PROXY"),
    ):
        session.get("https://api.invalid/", timeout=5)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("a.localhost", True),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_is_loopback(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/html; charset=utf-8", b"", True),
        ("application/json", b" \n<!DOCTYPE html>", True),
        ("application/json", b'{"a":"<"}', False),
        ("", b"", False),
    ],
)
def test_is_web_page(content_type, body, expected):
    response = requests.Response()
    response.headers["Content-Type"] = content_type
    assert is_web_page(response, body) is expected
