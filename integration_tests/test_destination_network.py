"""destination-wicked-reports as a process, when the network, this machine's settings or a signal get in the way."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from integration_tests.support.processes import Workspace, catalog
from integration_tests.support.raw_server import HEAD, RawServer

NAME = "destination-wicked-reports"
KEY = "right-key-123"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RECEIPT = b'{"success":"Successfully"}'
OK = HEAD + b"Content-Length: %d\r\n\r\n" % len(RECEIPT) + RECEIPT


@pytest.fixture
def server() -> Iterator[RawServer]:
    opened = RawServer()
    yield opened
    opened.close()


@pytest.fixture
def config(server: RawServer, tmp_path: Path):
    def make(**extra: Any) -> dict[str, Any]:
        return {
            "api_key": KEY,
            "api_url": server.url,
            "mapping": {"type": "native"},
            "ledger": {"type": "sqlite", "path": str(tmp_path / "ledger.sqlite")},
            "rejected_records_path": str(tmp_path / "rejected.jsonl"),
            **extra,
        }

    return make


def payment(number: int) -> dict[str, Any]:
    fields = {
        "SourceSystem": "shop",
        "OrderID": str(number),
        "PaymentDate": "2026-03-01 10:00:00",
        "Amount": 19.9,
        "Status": "APPROVED",
    }
    return {"type": "RECORD", "record": {"stream": "order_payments", "emitted_at": 1767225600000, "data": fields}}


STATE = {
    "type": "STATE",
    "state": {"type": "STREAM", "stream": {"stream_descriptor": {"name": "order_payments"}, "stream_state": {"at": 1}}},
}


def write(workspace: Workspace, config: dict[str, Any], count: int = 1):
    messages = [*(payment(number) for number in range(1, count + 1)), STATE]
    return workspace.run(NAME, "write", stdin=messages, config=config, catalog=catalog("order_payments"))


def outcomes(tmp_path: Path) -> list[str]:
    path = tmp_path / "rejected.jsonl"
    return [orjson.loads(line)["outcome"] for line in path.read_bytes().splitlines()] if path.exists() else []


def start(workspace: Workspace, command: str, **files: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        workspace.command(NAME, command, **files),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("head", [b"", HEAD + b"Content-Length: 100000\r\n\r\n"])
@pytest.mark.parametrize("command", ["check", "write"])
def test_one_sigterm_ends_the_wait_for_a_response_that_trickles(workspace, server, config, tmp_path, command, head):
    def answer(send):
        send(head)
        server.drip(send, b" " if head else CONTINUE)

    server.answer = answer
    files = {"config": config()} | ({"catalog": catalog("order_payments")} if command == "write" else {})
    process = start(workspace, command, **files)
    if command == "write":
        process.stdin.write(json.dumps(payment(1)).encode() + b"\n" + json.dumps(STATE).encode() + b"\n")
    process.stdin.close()
    process.stdin = None
    assert server.requested.wait(30)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=9)
    assert process.returncode == 143, stderr
    assert time.monotonic() - started < 9, "Docker kills after 10 seconds"
    result = workspace.keep(process.returncode, stdout, stderr)
    if command == "write":
        assert len(server.requests) == 1
        assert outcomes(tmp_path) == ["in_doubt"]
        assert len(result.states) == 1, "the row in doubt is settled and on disk"


def test_a_ca_file_that_is_gone_puts_nothing_in_doubt(workspace, server, config, tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/corp-ca.pem")
    secure = config(api_url=server.url.replace("http:", "https:"))
    checked = workspace.run(NAME, "check", config=secure)
    status = checked.of("CONNECTION_STATUS")[0]
    assert status["status"] == "FAILED"
    assert "REQUESTS_CA_BUNDLE names, /nowhere/corp-ca.pem, cannot be read" in status["message"]
    failed = write(workspace, secure)
    assert (failed.code, failed.states) == (1, [])
    assert failed.errors[-1]["failure_type"] == "config_error"
    assert "REQUESTS_CA_BUNDLE" in failed.errors[-1]["message"]
    assert server.requests == []
    server.answer = lambda send: send(OK)
    sent = write(workspace, config())
    assert (sent.code, len(sent.states)) == (0, 1)
    assert any(line.startswith("order_payments: 1 sent") for line in sent.logs)
    assert outcomes(tmp_path) == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_sees_the_key_on_its_way_to_this_machine(workspace, server, config, monkeypatch, variable):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    proxy = RawServer()
    monkeypatch.setenv(variable, proxy.url)
    server.answer = lambda send: send(OK)
    workspace.run(NAME, "check", config=config())
    assert write(workspace, config()).code == 0
    proxy.close()
    assert proxy.requests == []
    assert len(server.requests) >= 2


def test_credentials_in_netrc_are_not_sent(workspace, server, config, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login anonymous password of-somebody-else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answer = lambda send: send(OK)
    workspace.run(NAME, "check", config=config())
    assert write(workspace, config()).code == 0
    assert not any(b"authorization" in request.lower() for request in server.requests)


def test_a_firewalls_page_is_not_blamed_on_the_key(workspace, server, config):
    page = b"<html>You have been blocked</html>"
    server.answer = lambda send: send(
        b"HTTP/1.1 403 Forbidden\r\nServer: cloudflare\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
        % (len(page), page)
    )
    status = workspace.run(NAME, "check", config=config()).of("CONNECTION_STATUS")[0]
    assert status["status"] == "FAILED"
    assert status["message"].startswith("A firewall or proxy answered in place of Wicked Reports")
    assert write(workspace, config()).errors[-1]["message"].startswith("A firewall or proxy answered")


@pytest.mark.parametrize(
    "receipt",
    [
        {"message": "Unsuccessful: the account is suspended, nothing was stored"},
        {"success": "Successfully parsed", "error": "quota exceeded, nothing stored"},
        {"records": 3, "totalRecords": 500, "success": "Successfully"},
    ],
)
def test_a_200_that_says_no_puts_payments_in_doubt_and_repeats_none(workspace, server, config, tmp_path, receipt):
    body = json.dumps(receipt).encode()
    server.answer = lambda send: send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    result = write(workspace, config(), 3)
    assert result.code == 1
    assert outcomes(tmp_path) == ["in_doubt"] * 3
    assert sum(request.startswith(b"POST") for request in server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 522])
def test_payments_are_not_repeated_after_an_error_that_may_follow_storing(workspace, server, config, tmp_path, status):
    server.answer = lambda send: send(b"HTTP/1.1 %d X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n" % status)
    assert write(workspace, config(), 2).code == 1
    assert outcomes(tmp_path) == ["in_doubt"] * 2
    assert sum(request.startswith(b"POST") for request in server.requests) == 1
