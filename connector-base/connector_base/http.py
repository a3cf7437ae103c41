"""HTTP client: validates whole responses, retries, and raises errors that a user can act on.

URLs, headers, parameters and the meaning of status codes come from the manifest's `HttpRequester` and its error
handler; this module knows no vendor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.sources.streams.http.error_handlers import ResponseAction
from airbyte_cdk.sources.types import StreamSlice
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from . import rate_limit
from .errors import BadResponseError, config_error, transient_error
from .rate_limit import FixedWindowLimiter, parse_natural, requested_wait, wait

CONNECT_TIMEOUT = 10.0
_MAX_BACKOFF = 60.0
#: Seconds before the first retry of a 429 that names no wait; doubled, the waits soon exceed a window of 60 s.
_THROTTLED_BACKOFF = 5.0
_SAFE_URL = re.compile(
    r"https://[^\s/?#@\\]+(/[^\s?#]*)?"
    r"|http://(localhost|127\.0\.0\.1)(:\d+)?(/[^\s?#]*)?"  # ignore-https-check: this machine only
)
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


def read_json(response: requests.Response) -> Any:
    """Read and parse the whole body.

    Raises `BadResponseError` for an incomplete body, `NaN`, HTML or an empty body. The parser accepts deeper nesting
    than a writer does, so a body that cannot be written again raises it, too.
    """
    try:
        body = orjson.loads(response.raw.read(decode_content=True))
        orjson.dumps(body)
    except orjson.JSONDecodeError:
        kind = response.headers.get("Content-Type", "no content type").split(";")[0]
        raise BadResponseError(f"the body is not complete JSON ({kind[:40]})") from None
    except orjson.JSONEncodeError:
        raise BadResponseError("the body is nested too deeply") from None
    return body


def _mask_secrets(response: requests.Response, secrets: Collection[str]) -> None:
    """Replace the secrets in an error response, before a message quotes part of it.

    A message may cut a secret in two, and the log filter would not recognize the halves. JSON is rewritten first, so
    that no escape sequence hides a secret; JSON that cannot be rewritten is dropped.
    """
    content = response.content
    try:
        content = orjson.dumps(orjson.loads(content))
        for secret in secrets:
            content = content.replace(orjson.dumps(secret)[1:-1], b"****")
        response.encoding = "utf-8"
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        if content.lstrip().startswith((b"{", b"[")):
            content = b""
    response._content = content


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


class ApiClient:
    """Sends a declared request until a whole response arrives, or raises an error for the user.

    `max_tries` limits the attempts of one request, faults and 429s alike. `max_wait` is the longest wait in seconds
    that the vendor may ask for. `read_timeout` is in seconds. `backoff` lists the minimum waits before the second,
    third, … attempt, and the last one repeats; without it, waits double.
    """

    def __init__(
        self,
        requester: HttpRequester,
        limiter: FixedWindowLimiter,
        *,
        max_tries: int,
        max_wait: float,
        read_timeout: float,
        backoff: Sequence[float] = (),
    ) -> None:
        self._requester, self._limiter = requester, limiter
        self._max_tries, self._max_wait, self._backoff = max_tries, max_wait, backoff
        self._timeout = (min(CONNECT_TIMEOUT, read_timeout), read_timeout)
        self._session = requests.Session()
        self._session.trust_env = not requester.get_url().startswith("http:")  # keeps the key from proxies

    def get(
        self,
        parse: Callable[[Any], T],
        *,
        stream_slice: StreamSlice | None = None,
        page_token: Mapping[str, Any] | None = None,
        read_body: Callable[[requests.Response], Any] = read_json,
        subject: str = "",
    ) -> T:
        """Return `parse(read_body(response))` of the first whole response.

        The manifest sees `page_token` as `next_page_token`; parameters that evaluate to nothing are not sent.
        `read_body` and `parse` raise `BadResponseError` for a response that must be retried. `subject` names what is
        requested, for the messages of a subclass.
        """
        context = {"stream_slice": stream_slice, "next_page_token": page_token}
        url = self._requester.get_url(**context)  # type: ignore[arg-type]
        params = self._requester.get_request_params(**context)  # type: ignore[arg-type]
        auth = self._requester.get_authenticator().get_auth_header()
        headers = {**self._requester.get_request_headers(**context), **auth}  # type: ignore[arg-type]
        secrets = [word for value in auth.values() for word in str(value).split()[-1:]]  # without the scheme
        params = {name: value for name, value in params.items() if value not in ("", [], None)}
        for attempt in range(1, self._max_tries + 1):
            self._limiter.acquire()
            seconds, throttled, unreachable = self._backoff_seconds(attempt, 1.0), False, False
            try:
                with self._session.get(
                    url, params=params, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
                ) as response:
                    self._limiter.update(response.headers)
                    if response.status_code == requests.codes.ok:
                        return parse(read_body(response))
                    _mask_secrets(response, secrets)  # reads the body, inside the `try`
                    throttled = self._is_throttled(response, subject)
                    reason = f"HTTP {response.status_code}"
                    if throttled:
                        seconds = self._throttled_wait(response, attempt)
            except BadResponseError as fault:
                reason = str(fault)
            except _NETWORK_ERRORS as fault:
                reason, unreachable = self._describe(fault), True
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

    def _is_throttled(self, response: requests.Response, subject: str) -> bool:
        """Return whether an error response is a throttle (True) or another retryable fault (False).

        Raises what the manifest's error handler declares a failure.
        """
        assert self._requester.error_handler is not None
        resolution = self._requester.error_handler.interpret_response(response)
        if resolution.response_action in (ResponseAction.RETRY, ResponseAction.RATE_LIMITED):
            return resolution.response_action == ResponseAction.RATE_LIMITED
        message = resolution.error_message or f"The API responded with HTTP {response.status_code}."
        kind = resolution.failure_type or FailureType.system_error
        raise AirbyteTracedException(message=message, internal_message=message, failure_type=kind)

    def _throttled_wait(self, response: requests.Response, attempt: int) -> float:
        now = rate_limit.CLOCK.now()
        requested = requested_wait(response.headers, now)
        minimum = self._backoff_seconds(attempt, _THROTTLED_BACKOFF)
        if requested is None:
            return minimum
        if requested > self._max_wait:
            try:
                until = f"until {datetime.fromtimestamp(now + requested, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
            except (ValueError, OverflowError):
                until = f"for {requested:.0f} s"
            raise transient_error(
                f"The API's rate limit is reached. It asks to wait {until}, longer than the {self._max_wait:g} s a run "
                "waits. Run again after that time; if this recurs, sync less often."
            )
        return max(requested, minimum) if self._backoff else requested

    def _backoff_seconds(self, attempt: int, first: float) -> float:
        if self._backoff:
            return self._backoff[min(attempt, len(self._backoff)) - 1]
        return float(min(first * 2.0 ** (attempt - 1), _MAX_BACKOFF))

    def _describe(self, fault: Exception) -> str:
        """Describe a network error; the libraries' own messages quote whole URLs."""
        if isinstance(fault, requests.exceptions.SSLError):
            return "no trusted TLS connection"
        if isinstance(fault, requests.exceptions.ConnectTimeout):
            return f"no connection within {self._timeout[0]:g} s"
        if isinstance(fault, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
            return f"no response within {self._timeout[1]:g} s"
        if isinstance(fault, requests.exceptions.ConnectionError):
            return "the connection failed or was closed"
        return "the response was cut off"
