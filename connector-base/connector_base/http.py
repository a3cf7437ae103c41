"""HTTP client: validates whole responses, retries, and raises errors that a user can act on.

URLs, headers, parameters and the meaning of status codes come from the manifest's `HttpRequester` and its error
handler; this module knows no vendor.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.http.error_handlers import ErrorHandler, ResponseAction
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from . import json_parser
from .errors import BadResponseError, KeyRejectedError, config_error, transient_error
from .json_parser import Repairs
from .rate_limit import (
    LOGGER,
    FixedWindowLimiter,
    parse_natural,
    requested_wait,
    retry_after,
    wait,
)
from .transport import BoundedSession, Limits, RequestNotSentError, ResponseTooLargeError, is_web_page, read_body
from .vendor_clock import current_clock

if TYPE_CHECKING:
    from airbyte_cdk.sources.types import StreamSlice

CONNECT_TIMEOUT = 10.0
#: A whole response may take this many read timeouts; the read timeout itself limits the silence between two packets.
DEADLINE_TIMEOUTS = 5
#: Largest body that is parsed in memory, decompressed: a page of 1,000 rows has about a megabyte.
MAX_BODY_BYTES = 64_000_000
MAX_ERROR_BYTES = 1_000_000
_MAX_BACKOFF = 60.0
#: Seconds before the first retry of a 429 that names no wait; doubled, the waits soon exceed a window of 60 s.
_THROTTLED_BACKOFF = 5.0
_SAFE_URL = re.compile(
    r"https://[^\s/?#@\\]+(/[^\s?#]*)?"
    r"|http://(localhost|127\.0\.0\.1)(:\d+)?(/[^\s?#]*)?"  # ignore-https-check: this machine only
)
#: Cloudflare's 1020 (blocked by a rule) and its relatives, for clients that do not accept HTML.
_CLOUDFLARE_TEXT = re.compile(rb"\s*error code: 1[0-9]{3}\b", re.IGNORECASE)
_NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError)

T = TypeVar("T")


def check_api_url(url: str | None) -> None:
    """Raise `config_error` unless the URL is https, or http to this machine: the API key must not be sent in clear."""
    if url and not _is_safe(url):
        raise config_error(
            "api_url must be an https URL, or http to localhost. Correct it, or remove it to use the vendor's API."
        )


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return _SAFE_URL.fullmatch(url) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an incomplete IPv6 address or an invalid port
        return False


def _mask_secrets(response: requests.Response, secrets: Collection[str]) -> None:
    """Replace the secrets in an error response, before a message quotes part of it.

    A message may cut a secret in two, and the log filter would not recognize the halves. JSON is rewritten first, so
    that no escape sequence hides a secret; JSON that cannot be rewritten is dropped.
    """
    content = response.content
    try:
        content = orjson.dumps(json_parser.loads(content))
        for secret in secrets:
            content = content.replace(orjson.dumps(secret)[1:-1], b"****")
        response.encoding = "utf-8"
    except BadResponseError:
        if content.lstrip().startswith((b"{", b"[")):
            content = b""
    response._content = content


def _read_error(response: requests.Response) -> None:
    """Read the body of an error response; one that is too large counts as empty."""
    try:
        content = read_body(response, MAX_ERROR_BYTES)
    except ResponseTooLargeError:
        content = b""
    response._content = content
    response._content_consumed = True  # type: ignore[attr-defined]


def parse_count(value: Any) -> int | None:
    """Return a count from a body; older versions of Laravel send it as text. None if it is not a whole number."""
    return value if type(value) is int and value >= 0 else parse_natural(value) if isinstance(value, str) else None


def rows_of(body: Any, key: str | None = None) -> list[dict[str, Any]]:
    """Return the list of objects in `body[key]`, or `body` itself without a key; raise `BadResponseError` if absent."""
    rows = body.get(key) if key is not None and isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise BadResponseError(f"the body has no list{f' {key!r}' if key else ''}")
    if not all(type(row) is dict for row in rows):
        raise BadResponseError("the list has an item that is not an object")
    return rows


class Authenticator(Protocol):
    """Gives the header with the API key."""

    def get_auth_header(self) -> Mapping[str, Any]:
        """Return the header."""


class Requester(Protocol):
    """What `ApiClient` needs of the CDK's `HttpRequester`, which builds requests from a manifest.

    A connector without a manifest passes an object of its own, and avoids the imports of declarative sources.
    """

    name: str

    @property
    def error_handler(self) -> ErrorHandler | None:
        """What the status codes mean."""

    def get_url(
        self, *, stream_slice: StreamSlice | None = ..., next_page_token: Mapping[str, Any] | None = ...
    ) -> str:
        """Return the URL."""

    def get_request_params(
        self, *, stream_slice: StreamSlice | None = ..., next_page_token: Mapping[str, Any] | None = ...
    ) -> Mapping[str, Any]:
        """Return the query parameters."""

    def get_request_headers(
        self, *, stream_slice: StreamSlice | None = ..., next_page_token: Mapping[str, Any] | None = ...
    ) -> Mapping[str, Any]:
        """Return the headers except the authenticator's."""

    def get_authenticator(self) -> Authenticator:
        """Return what adds the API key."""


class ApiClient:
    """Sends a declared request until a whole response arrives, or raises an error for the user.

    `max_tries` limits the attempts of one request, faults and 429s alike. `max_wait` is the longest wait in seconds
    that the vendor may ask for. `read_timeout` is in seconds; a whole response may take `DEADLINE_TIMEOUTS` as long.
    `backoff` lists the minimum waits before the second, third, … attempt, and the last one repeats; without it, waits
    double. `max_bytes` is the largest body of a response, decompressed.
    """

    #: Status that the vendor sends for a wrong key in addition to 401; it means that until a request succeeds.
    wrong_key_status: ClassVar[int | None] = None

    def __init__(
        self,
        requester: Requester,
        limiter: FixedWindowLimiter,
        *,
        max_tries: int,
        max_wait: float,
        read_timeout: float,
        backoff: Sequence[float] = (),
        max_bytes: int | None = None,
    ) -> None:
        self._requester, self._limiter = requester, limiter
        self._max_tries, self._max_wait, self._backoff = max_tries, max_wait, backoff
        self._timeout = (min(CONNECT_TIMEOUT, read_timeout), read_timeout)
        self._max_bytes = MAX_BODY_BYTES if max_bytes is None else max_bytes
        self._limits = Limits(DEADLINE_TIMEOUTS * read_timeout, self._max_bytes)
        self._session = BoundedSession(self._limits)
        self._vendor_clock = current_clock()
        self._repaired_text = False

    def get(
        self,
        parse: Callable[[Any], T],
        *,
        stream_slice: StreamSlice | None = None,
        page_token: Mapping[str, Any] | None = None,
        read: Callable[[requests.Response], Any] | None = None,
        subject: str = "",
    ) -> T:
        """Return `parse(read(response))` of the first whole response.

        The manifest sees `page_token` as `next_page_token`; parameters that evaluate to nothing are not sent. `read`
        returns the body, by default as parsed JSON. `read` and `parse` raise `BadResponseError` for a response that
        must be retried. `subject` names what is requested, for the messages of a subclass.
        """
        url = self._requester.get_url(stream_slice=stream_slice, next_page_token=page_token)
        params = self._requester.get_request_params(stream_slice=stream_slice, next_page_token=page_token)
        auth = self._requester.get_authenticator().get_auth_header()
        headers = {
            **self._requester.get_request_headers(stream_slice=stream_slice, next_page_token=page_token),
            **auth,
        }
        secrets = [word for value in auth.values() for word in str(value).split()[-1:]]  # without the scheme
        params = {name: value for name, value in params.items() if value not in ("", [], None)}
        for attempt in range(1, self._max_tries + 1):
            self._limiter.acquire()
            seconds, throttled, unreachable = self._backoff_seconds(attempt, 1.0), False, False
            started = time.monotonic()
            try:
                with self._session.get(
                    url, params=params, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
                ) as response:
                    is_answer = response.status_code == requests.codes.ok
                    self._limiter.update(response.headers)
                    self._vendor_clock.observe(response.headers, is_answer=is_answer)
                    if is_answer:
                        self._limiter.key_accepted = True
                        return parse((read or self.read_json)(response))
                    _read_error(response)
                    _mask_secrets(response, secrets)
                    throttled = self._is_throttled(response, subject)
                    reason = f"HTTP {response.status_code}"
                    seconds = self._wait_before_retry(response, attempt, throttled=throttled)
            except BadResponseError as fault:
                reason = str(fault)
            except RequestNotSentError as fault:
                raise config_error(str(fault)) from None
            except _NETWORK_ERRORS as fault:
                late = time.monotonic() - started >= self._limits.seconds
                reason, unreachable = self._describe(fault, late=late), not late
            if attempt < self._max_tries:
                wait(seconds, f"{reason}; then attempt {attempt + 1} of {self._max_tries}")
                if throttled:
                    self._limiter.reset()
        host, attempts = urlsplit(url).hostname, f"{self._max_tries} attempts ({reason})"
        if throttled:
            message = (
                f"{host} was still rate limiting after {attempts}. Run again in a few minutes, and sync less often."
            )
        elif unreachable:
            message = f"{host} could not be reached in {attempts}. Check this machine's network, firewall and proxy."
        else:
            message = (
                f"{host} returned no valid response in {attempts}. "
                "Run again later; if this recurs, check api_url and any proxy."
            )
        raise transient_error(message)

    def read_json(self, response: requests.Response) -> Any:
        """Read and parse the whole body; raise `BadResponseError` for an incomplete body, HTML or an empty body."""
        body = read_body(response, self._max_bytes)
        try:
            return self.parse_json(body)
        except BadResponseError as fault:
            kind = response.headers.get("Content-Type", "no content type").split(";")[0]
            raise BadResponseError(f"{fault} ({kind[:40]})") from None

    def parse_json(self, body: bytes) -> Any:
        """Parse a body, and warn of values that were replaced."""
        repairs = Repairs()
        value = json_parser.loads(body, repairs)
        self.warn_of(repairs)
        return value

    def warn_of(self, repairs: Repairs) -> None:
        """Warn of values that are not JSON: of nulls each time, of replaced characters once a stream."""
        if repairs.nulls:
            LOGGER.warning(
                "Stream %s: %s values that are not JSON (NaN or Infinity) were read as null.",
                self._requester.name,
                repairs.nulls,
            )
        if repairs.text and not self._repaired_text:
            self._repaired_text = True
            LOGGER.warning(
                "Stream %s: text has invalid characters; each was replaced with U+FFFD.", self._requester.name
            )

    def _is_throttled(self, response: requests.Response, subject: str) -> bool:
        """Return whether an error response is a throttle (True) or another retryable fault (False).

        Raises what the manifest's error handler declares a failure, and an error for a web page that a firewall sends.
        A 403 that says when to come back is a throttle.
        """
        if response.status_code == requests.codes.forbidden and retry_after(response.headers, 0.0) is not None:
            return True
        if response.status_code == requests.codes.forbidden and is_firewall_page(response):
            raise config_error(
                f"A firewall or proxy answered in place of {urlsplit(str(response.url)).hostname} (HTTP 403 with a web "
                "page). Ask the vendor, or your network's administrator, to allow requests from this machine's IP "
                "address."
            )
        assert self._requester.error_handler is not None
        resolution = self._requester.error_handler.interpret_response(response)
        if resolution.response_action in (ResponseAction.RETRY, ResponseAction.RATE_LIMITED):
            return resolution.response_action == ResponseAction.RATE_LIMITED
        message = resolution.error_message or f"The API responded with HTTP {response.status_code}."
        kind = resolution.failure_type or FailureType.system_error
        rejects_key = response.status_code == requests.codes.unauthorized or (
            response.status_code == self.wrong_key_status and not self._limiter.key_accepted
        )
        error = KeyRejectedError if rejects_key else AirbyteTracedException
        raise error(message=message, internal_message=message, failure_type=kind)

    def _wait_before_retry(self, response: requests.Response, attempt: int, *, throttled: bool) -> float:
        """Return the seconds to wait; `Retry-After` is the least wait after any error, up to `max_wait`."""
        now = self._vendor_clock.now()
        headers = self._normalized(response.headers, now)
        minimum = self._backoff_seconds(attempt, _THROTTLED_BACKOFF if throttled else 1.0)
        requested = requested_wait(headers, now) if throttled else retry_after(headers, now)
        if requested is None:
            return minimum
        if requested > self._max_wait:
            try:
                until = f"until {datetime.fromtimestamp(now + requested, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
            except (ValueError, OverflowError, OSError):
                until = f"for {requested:.0f} s"
            limit = f"longer than the {self._max_wait:g} s a run waits. Run again after that time"
            if throttled:
                raise transient_error(
                    f"The API's rate limit is reached. It asks to wait {until}, {limit}; if this recurs, sync less "
                    "often."
                )
            raise transient_error(
                f"The API is unavailable (HTTP {response.status_code}). It asks to wait {until}, {limit}."
            )
        return requested if throttled and not self._backoff else max(requested, minimum)

    def _normalized(self, headers: Mapping[str, str], now: float) -> Mapping[str, str]:
        """Return the headers with waits in the units that `requested_wait` reads."""
        return headers

    def _backoff_seconds(self, attempt: int, first: float) -> float:
        if self._backoff:
            return self._backoff[min(attempt, len(self._backoff)) - 1]
        return float(min(first * 2.0 ** (attempt - 1), _MAX_BACKOFF))

    def _describe(self, fault: Exception, *, late: bool) -> str:
        """Describe a network error; the libraries' own messages quote whole URLs."""
        if late:
            return f"no complete response within {self._limits.seconds:g} s"
        if isinstance(fault, requests.exceptions.ProxyError):
            return "the proxy could not be reached or refused"
        if isinstance(fault, requests.exceptions.SSLError):
            return "no trusted TLS connection"
        if isinstance(fault, requests.exceptions.ConnectTimeout):
            return f"no connection within {self._timeout[0]:g} s"
        if isinstance(fault, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
            return f"no response within {self._timeout[1]:g} s"
        if isinstance(fault, requests.exceptions.ConnectionError):
            return "the connection failed or was closed"
        return "the response was cut off"


def is_firewall_page(response: requests.Response) -> bool:
    """Return whether an error response is not the API's: a web page, or Cloudflare's one-line text."""
    return bool(response.content.strip()) and (
        is_web_page(response, response.content) or _CLOUDFLARE_TEXT.match(response.content) is not None
    )
