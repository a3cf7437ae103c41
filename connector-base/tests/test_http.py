"""Responses that trickle, never end or are not the API's; the waits that errors ask for. wecantrack is the example."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from .conftest import SUBJECT, fill

check = SUBJECT.check
TRANSACTIONS = "/api/v3/transactions"
PAGE = json.dumps({"current_page": 1, "last_page": 1, "per_page": 1000, "total": 0, "data": []}).encode()
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers every GET with `answer(handler)`."""

    def __init__(self) -> None:
        self.answer: Answer = lambda handler: handler.wfile.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        self.requests: list[dict[str, str]] = []
        self.closed = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(dict(self.headers))
                server.answer(self)
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    opened = Server()
    yield opened
    opened.close()


@pytest.fixture
def short(config: dict[str, Any], server: Server) -> dict[str, Any]:
    return {**config, "api_url": server.url, "read_timeout_seconds": 5, "max_tries": 2}


def trickle(server: Server, head: bytes, piece: bytes = b" ") -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(head)
            while not server.closed.wait(0.02):
                handler.wfile.write(piece)
                handler.wfile.flush()
        except OSError:
            pass

    return answer


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized", b"503 Service Unavailable"])
@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"Content-Length: 100000\r\n\r\n", b" "), (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), (b"X: ", b"x")],
)
def test_a_response_that_trickles_ends_at_the_deadline(status, head, piece, server, short, read, monkeypatch):
    monkeypatch.setattr("source_wecantrack.base.http.DEADLINE_TIMEOUTS", 0.05)
    server.answer = trickle(server, b"HTTP/1.1 " + status + b"\r\n" + head, piece)
    error = read({**short, "read_timeout_seconds": 20}).error
    assert error.failure_type.value == "transient_error"
    assert "in 2 attempts (no complete response within 1 s)" in error.message
    assert len(server.requests) == 2


def test_a_small_body_that_unpacks_to_a_large_one_does_not_count(server, short, read, monkeypatch):
    body = gzip.compress(b" " * 5_000_000)
    monkeypatch.setattr("source_wecantrack.base.http.MAX_BODY_BYTES", 1_000_000)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )

    server.answer = answer
    assert "the body is larger than 1,000,000 bytes" in read(short).error.message


@pytest.mark.parametrize("status", [401, 503])
def test_an_error_response_without_end_is_still_the_error(status, server, short, read):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(b"HTTP/1.1 %d Error\r\n\r\n" % status)
            for _ in range(300):
                handler.wfile.write(b" " * 100_000)
        except OSError:
            pass

    server.answer = answer
    error = read(short).error
    assert error.failure_type.value == ("config_error" if status == 401 else "transient_error")
    assert "API key" in error.message if status == 401 else "HTTP 503" in error.message


@pytest.mark.parametrize("name", ["default", "machine 127.0.0.1"])
def test_credentials_in_netrc_are_never_sent(name, server, short, read, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text(f"{name} login somebody password my-secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    read(short)
    assert server.requests
    assert all("Authorization" not in headers for headers in server.requests)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_file_that_cannot_be_read_is_a_config_error(variable, config, read, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, "/nonexistent/ca.pem")
    config = {**config, "api_url": "https://localhost:1"}
    error = read(config).error
    assert error.failure_type.value == "config_error"
    assert f"{variable} names, /nonexistent/ca.pem, cannot be read" in error.message
    assert f"{variable} names, /nonexistent/ca.pem, cannot be read" in check(config).message


PAGES = [
    (b"<html><title>Attention Required! | Cloudflare</title></html>", "text/html"),
    (b"\n<!DOCTYPE html><h1>403 Forbidden</h1>", "text/html; charset=utf-8"),
    (b"<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD></HTML>", "application/json"),
    (b"error code: 1020", "text/plain; charset=UTF-8"),
]


@pytest.mark.parametrize(("body", "kind"), PAGES)
def test_a_403_that_is_a_web_page_is_a_firewalls(body, kind, sim, config, read):
    sim.fault("status", "*", status=403, times=0, body=body.decode(), headers={"Content-Type": kind}, html=True)
    outcome = read(config)
    assert outcome.error.failure_type.value == "config_error"
    assert outcome.error.message.startswith(
        "A firewall or proxy answered in place of 127.0.0.1 (HTTP 403 with a web page)"
    )
    assert "firewall" in check(config).message


@pytest.mark.parametrize("body", ["", '{"message":"<html>"}', '{"message":"blocked"}'])
def test_a_403_of_the_api_is_still_the_apis(body, sim, config, read):
    sim.fault("status", "*", status=403, times=0, body=body)
    assert "has no access to this part of the API" in read(config).error.message


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 507, 408])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_of_any_error_is_the_least_wait(form, status, sim, config, read, clock):
    fill(sim)
    date = format_datetime(datetime.fromtimestamp(clock.time + 80, timezone.utc), usegmt=True)
    sim.fault("status", TRANSACTIONS, status=status, headers={"Retry-After": "80" if form == "seconds" else date})
    outcome = read(config)
    assert outcome.error is None
    assert len(outcome.rows()) == 15
    assert clock.slept == [80.0]


@pytest.mark.parametrize("wrong", ["", "soon", "-5", "Wed, 99 Foo 2026 10:00:00 GMT", "Fri, 01 Jan 1999 00:00:00 GMT"])
def test_a_retry_after_that_cannot_be_read_or_is_over_leaves_the_usual_wait(wrong, sim, config, read, clock):
    sim.fault("status", TRANSACTIONS, status=503, headers={"Retry-After": wrong} if wrong else {})
    assert read(config).error is None
    assert clock.slept == [1.0]


def test_a_retry_after_longer_than_a_run_waits_ends_it_and_says_until_when(sim, config, read, clock):
    sim.fault("status", TRANSACTIONS, status=503, times=0, headers={"Retry-After": "86400"})
    error = read(config).error
    assert error.failure_type.value == "transient_error"
    assert error.message.startswith("The API is unavailable (HTTP 503). It asks to wait until ")
    assert clock.slept == []


def test_a_403_that_says_when_to_come_back_is_a_throttle(sim, config, read, clock):
    fill(sim)
    sim.fault("status", TRANSACTIONS, status=403, headers={"Retry-After": "40"})
    outcome = read(config)
    assert (outcome.error, len(outcome.rows())) == (None, 15)
    assert clock.slept == [40.0]
