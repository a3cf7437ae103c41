"""HTTP sessions whose responses are bounded in time and size, and that use nothing from the environment by surprise.

`requests` limits only the silence between two packets: a response that trickles, sends `100 Continue` forever or never
ends would hold the run, and a small compressed body could fill the memory. The limits here hold for a whole exchange,
error responses and a proxy's answer included, because they sit where the socket is read.
"""

from __future__ import annotations

import http.client
import io
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from .errors import BadResponseError

LOGGER = logging.getLogger("airbyte")

#: Seconds between two checks of `Limits.canceled`; without it, one check a second keeps the clock.
_POLL = 0.2
_LOG_SECONDS = 60.0
_BLOCK = 1 << 16
#: Bytes on the wire that status lines, headers and the framing of chunks may take on top of the body.
_FRAMING = 1 << 20
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class RequestNotSentError(requests.RequestException):
    """Something on this machine kept a request from being sent. The message is for the user."""


class ResponseTooLargeError(BadResponseError):
    """A body is larger than the limit."""


@dataclass(slots=True, frozen=True)
class Limits:
    """Limits of one exchange.

    `seconds` runs from the first byte sent to the last byte received. `body_bytes` is the largest body, before and
    after decompression. `canceled` is asked every fifth of a second while a response is awaited: once it returns true,
    the exchange fails like a lost connection.
    """

    seconds: float
    body_bytes: int
    canceled: Callable[[], bool] | None = None


class BoundedSession(requests.Session):
    """A session with `Limits`.

    Proxies and CA files from the environment count, with two exceptions: `~/.netrc` is never read, because requests
    would replace or add an `Authorization` header, and a proxy never sees a request to this machine.
    """

    def __init__(self, limits: Limits, *, connections: int = 1) -> None:
        super().__init__()
        self.auth = _keep_headers
        self.headers["Accept-Encoding"] = "gzip, deflate"  # also if a decoder for another one is installed
        adapter = _BoundedAdapter(limits, connections)
        self.mount("https://", adapter)
        self.mount("http://", adapter)  # ignore-https-check: which URLs are allowed is checked with the configuration

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """Return the settings from the environment, without a proxy for this machine."""
        host = urlsplit(str(url)).hostname or ""
        if is_loopback(host):
            proxies = {"no_proxy": host}
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request; raises RequestNotSentError if this machine's files or settings prevent that."""
        try:
            return super().send(request, **options)
        except (requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema):
            raise RequestNotSentError(_PROXY_MESSAGE) from None
        except requests.exceptions.SSLError as error:
            if _unusable_ca_file():
                raise RequestNotSentError(_ca_message(error)) from None
            raise
        except requests.exceptions.InvalidURL:
            if options.get("proxies"):
                raise RequestNotSentError(_PROXY_MESSAGE) from None
            raise
        except requests.RequestException:
            raise
        except urllib3.exceptions.HTTPError:  # requests does not convert what a proxy's URL raises
            raise RequestNotSentError(_PROXY_MESSAGE) from None
        except OSError as error:  # requests converts whatever happens from the connection on
            raise RequestNotSentError(_ca_message(error)) from None


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost" or host.lower().rstrip(".").endswith(".localhost")


def read_body(response: requests.Response, limit: int) -> bytes:
    """Return the whole decompressed body of a response opened with `stream=True`.

    Raises ResponseTooLargeError above `limit` bytes, and urllib3's HTTPError for a body that is cut off, late or badly
    compressed. Reads blocks, so that little more than `limit` is ever in memory.
    """
    blocks, size = [], 0
    for block in response.raw.stream(_BLOCK, decode_content=True):
        size += len(block)
        if size > limit:
            raise ResponseTooLargeError(f"the body is larger than {limit:,} bytes")
        blocks.append(block)
    return b"".join(blocks)


def is_web_page(response: requests.Response, body: bytes) -> bool:
    """Tell whether a response is a page for people, as firewalls and proxies send it in place of an API."""
    html = response.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml"))
    return html or body.lstrip()[:1] == b"<"


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


_PROXY_MESSAGE = (
    "The proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used: it must be a URL such as "
    "http://host:port. Correct the variable, or unset it."  # ignore-https-check: a proxy's own URL
)


def _ca_variable() -> str:
    return next((name for name in _CA_VARIABLES if os.environ.get(name)), "")


def _unusable_ca_file() -> bool:
    path = os.environ.get(_ca_variable(), "")
    if not path:
        return False
    try:
        ssl.create_default_context(**{"capath" if os.path.isdir(path) else "cafile": path})  # type: ignore[arg-type]
    except OSError:  # ssl.SSLError is one
        return True
    return False


def _ca_message(error: OSError) -> str:
    variable = _ca_variable()
    if not variable:
        return f"The request could not be sent ({error.strerror or error}). Repair this installation of Python."
    return (
        f"The file with trusted certificates that {variable} names, {os.environ[variable]}, cannot be read. Mount it, "
        "correct the variable, or unset it."
    )


class _Watch:
    """The limits of one exchange while it runs."""

    def __init__(self, limits: Limits, host: str) -> None:
        self._limits, self._host, self._bytes = limits, host, 0
        self._started = self._last = time.monotonic()
        self._logged = _LOG_SECONDS

    def expect(self) -> None:
        """Start to wait: what came before, such as sending, is no silence."""
        self._last = time.monotonic()

    def step(self, silence: float) -> float:
        """Return how many seconds to wait at most before the next call; raises OSError once a limit is reached."""
        if self._limits.canceled is not None and self._limits.canceled():
            raise ConnectionAbortedError("the run was stopped")
        now = time.monotonic()
        elapsed = now - self._started
        if elapsed >= self._limits.seconds:
            raise TimeoutError(f"no complete response within {self._limits.seconds:g} s")
        if now - self._last >= silence:
            raise TimeoutError(f"no data for {silence:g} s")
        if elapsed >= self._logged:
            self._logged += _LOG_SECONDS
            LOGGER.info(
                "Waiting for a complete response from %s: %.0f s so far, at most %g s.",
                self._host,
                elapsed,
                self._limits.seconds,
            )
        poll = _POLL if self._limits.canceled is not None else 1.0
        return max(0.001, min(poll, self._limits.seconds - elapsed, silence - (now - self._last)))

    def received(self, count: int) -> None:
        """Count bytes; raises OSError if they are too many."""
        self._last = time.monotonic()
        self._bytes += count
        if self._bytes > self._limits.body_bytes + _FRAMING:
            raise OSError(f"the response is larger than {self._limits.body_bytes:,} bytes")


class _BoundedReader(io.RawIOBase):
    """Reads a socket within the limits. `raw` is the socket's own reader, which keeps count of the socket's users."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, watch: _Watch) -> None:
        self._raw, self._sock, self._watch = raw, sock, watch
        timeout = sock.gettimeout()
        self._silence = float("inf") if timeout is None else timeout
        watch.expect()

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._sock.fileno()

    def readinto(self, buffer: Any) -> int:
        while True:
            self._sock.settimeout(self._watch.step(self._silence))
            try:
                count = self._sock.recv_into(buffer)
            except TimeoutError:
                continue
            self._watch.received(count)
            return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _BoundedConnection:
    """Mixed into urllib3's connection classes, of which it bounds the responses."""

    limits: Limits
    host: str

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._watch = _Watch(self.limits, self.host)
        self.response_class = self._open_response

    def connect(self) -> None:
        self._watch = _Watch(self.limits, self.host)
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **options: Any) -> None:
        self._watch = _Watch(self.limits, self.host)
        super().request(*args, **options)  # type: ignore[misc]

    def _open_response(self, sock: socket.socket, *args: Any, **options: Any) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, *args, **options)
        raw = response.fp.detach()
        response.fp = io.BufferedReader(_BoundedReader(raw, sock, self._watch), _BLOCK)
        return response


def _bounded(pools: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Return subclasses of connection pools, by scheme, that open bounded connections."""
    found = {}
    for scheme, pool in pools.items():
        plain = pool.ConnectionCls
        connection = type(plain.__name__, (_BoundedConnection, plain), {"limits": limits})
        found[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": connection})
    return found


class _BoundedAdapter(HTTPAdapter):
    def __init__(self, limits: Limits, connections: int) -> None:
        self._limits = limits
        super().__init__(pool_connections=1, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _bounded(self.poolmanager.pool_classes_by_scheme, self._limits)

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            manager.pool_classes_by_scheme = _bounded(manager.pool_classes_by_scheme, self._limits)
        return manager
