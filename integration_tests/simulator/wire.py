"""Produces the faults: truncated bodies, closed or reset connections, missing responses.

ASGI has no means for these, so uvicorn's h11 protocol passes its transport to the application.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http
import re
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import orjson
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .faults import Fault

TRANSPORT = "simulator.transport"
_HTML = "<!DOCTYPE html><html><body>This is not the page you are looking for.</body></html>"
_YEAR = 365 * 24 * 3600
_PLAIN_200 = {
    "empty_200": b"",
    "null_200": b"null",
    "list_200": b"[]",
    "object_200": b"{}",
    "error_200": b'{"status":"error","message":"Something went wrong."}',
}


class ExposingProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with the connection's transport in the scope of every request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the application once per connection."""
        super().connection_made(transport)
        inner = self.app

        async def application(scope: Any, receive: Any, send: Any) -> None:
            scope[TRANSPORT] = transport
            await inner(scope, receive, send)

        self.app = application


async def deliver(fault: Fault, scope: Scope, receive: Receive, send: Send, process: Callable[[], Response]) -> int:
    """Respond to one request as `fault` says; return the status sent, 0 for none."""
    kind = fault.kind
    if kind in ("hang", "close_before_answer"):
        return await _no_response(fault, scope, receive, hang=kind == "hang")
    if kind in ("store_then_hang", "store_then_close"):
        process()
        return await _no_response(fault, scope, receive, hang=kind == "store_then_hang")
    if kind == "slow":
        await asyncio.sleep(fault.seconds)
    if kind in _TRUNCATED:
        return await _truncate(_TRUNCATED[kind], process(), scope, receive, reset=kind == "reset_mid_body")
    response = _altered(kind, process()) if kind in _ALTERED else _replacement(fault, process)
    await response(scope, receive, send)
    return response.status_code


def _replacement(fault: Fault, process: Callable[[], Response]) -> Response:
    """Build the response that replaces the vendor's."""
    if fault.kind == "html_200":
        return HTMLResponse(_HTML, 200, fault.headers)
    if fault.kind in _PLAIN_200:
        return Response(_PLAIN_200[fault.kind], 200, fault.headers, "application/json")
    if fault.kind == "redirect_302":
        return RedirectResponse("/", 302, fault.headers)
    if fault.kind.startswith("throttled"):
        return _throttled(fault)
    if fault.kind == "store_then_status":
        process()
    if fault.html:
        return HTMLResponse(fault.body or _HTML, fault.status, fault.headers)
    phrase = http.HTTPStatus(fault.status).phrase
    body = orjson.dumps({"message": phrase}) if fault.body is None else fault.body.encode()
    return Response(body, fault.status, fault.headers, "application/json")


def _throttled(fault: Fault) -> Response:
    """Build a 429; its headers follow the real clock, because a client waits in real time."""
    seconds = _YEAR if fault.kind == "throttled_far" else int(fault.seconds or 1)
    headers = {
        "Retry-After": str(seconds),
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(time.time()) + seconds),
    }
    if fault.kind == "throttled_bare":
        headers = {}
    elif fault.kind == "throttled_garbage":
        headers = dict.fromkeys(headers, "soon")
    return Response(b'{"message":"Too Many Attempts."}', 429, {**headers, **fault.headers}, "application/json")


def _nan(body: bytes) -> bytes:
    if body[:2] == b"\x1f\x8b":
        return gzip.compress(_nan(gzip.decompress(body)), 1)
    amount = rb'("[a-z_]*amount":|"publisher[A-Za-z]*Revenue":)("[^"]*"|[-0-9.E]+)'
    changed, count = re.subn(amount, rb"\1NaN", body, count=1)
    return changed if count else body.replace(b"{", b'{"nan":NaN,', 1)


def _half(body: bytes) -> bytes:
    return body[: max(1, len(body) // 2)]


_ALTERED: dict[str, Callable[[bytes], bytes]] = {"half_body": _half, "nan_in_json": _nan, "slow": bytes}


def _altered(kind: str, response: Response) -> Response:
    """Change the body and set the Content-Length to match."""
    response.body = _ALTERED[kind](bytes(response.body))
    response.headers["content-length"] = str(len(response.body))
    return response


def _without_length(body: bytes) -> tuple[list[bytes], bytes]:
    return [], _half(body)


def _longer_length(body: bytes) -> tuple[list[bytes], bytes]:
    return [b"content-length: %d" % max(2, len(body))], _half(body)


def _broken_chunk(body: bytes) -> tuple[list[bytes], bytes]:
    half = _half(body)
    return [b"transfer-encoding: chunked"], b"%x\r\n%s\r\nnot-a-size\r\n" % (len(half), half)


_TRUNCATED: dict[str, Callable[[bytes], tuple[list[bytes], bytes]]] = {
    "half_body_no_length": _without_length,
    "half_body_longer_length": _longer_length,
    "broken_chunked": _broken_chunk,
    "reset_mid_body": _longer_length,
}


async def _truncate(
    shape: Callable[[bytes], tuple[list[bytes], bytes]],
    response: Response,
    scope: Scope,
    receive: Receive,
    *,
    reset: bool,
) -> int:
    """Write a truncated response to the transport, bypassing uvicorn, and end the connection."""
    transport: asyncio.Transport = scope[TRANSPORT]
    framing, body = shape(bytes(response.body))
    phrase = http.HTTPStatus(response.status_code).phrase.encode()
    lines = [b"HTTP/1.1 %d %s" % (response.status_code, phrase), b"connection: close", *framing]
    lines += [b"%s: %s" % pair for pair in response.raw_headers if pair[0] != b"content-length"]
    transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    if reset:
        await asyncio.sleep(0.05)  # let the half arrive: a reset discards what is still in the buffers
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    await _disconnected(receive)
    return response.status_code


async def _no_response(fault: Fault, scope: Scope, receive: Receive, *, hang: bool) -> int:
    """Close the connection without a response: at once, after `seconds`, or when the client disconnects."""
    if hang:
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(_disconnected(receive), fault.seconds or None)
    scope[TRANSPORT].abort()
    await _disconnected(receive)
    return 0


async def _disconnected(receive: Receive) -> None:
    """Wait until the connection is closed, so that uvicorn does not respond itself."""
    while (await receive())["type"] != "http.disconnect":
        pass
