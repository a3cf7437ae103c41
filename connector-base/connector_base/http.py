"""Requests whose replies count only when they are whole: retries, and failures in plain sentences.

Shared by the sources and the same, byte for byte, in each of them. Nothing here knows a vendor: URLs, headers,
parameters and the meaning of status codes come from a declared `HttpRequester` and its error handler.
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
from .errors import BadReplyError, config_error, transient_error
from .rate_limit import FixedWindowLimiter, asked_wait, natural, wait

CONNECT_SECONDS = 10.0
_LONGEST_BACKOFF = 60.0
_FIRST_BLIND_WAIT = 5.0
_SAFE_URL = re.compile(
    r"https://[^\s/?#@\\]+(/[^\s?#]*)?"
    r"|http://(localhost|127\.0\.0\.1)(:\d+)?(/[^\s?#]*)?"  # ignore-https-check: this machine only
)
_RETRIED = (requests.RequestException, urllib3.exceptions.HTTPError)

T = TypeVar("T")


def check_api_url(url: str | None) -> None:
    """Allow https everywhere and http only to this machine, so that no key travels in the clear."""
    if url and not _is_safe(url):
        raise config_error(
            "api_url must be an https address, or http to localhost: correct it, or remove it to use the vendor's own."
        )


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return _SAFE_URL.fullmatch(url) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, or a port that is none
        return False


def json_body(response: requests.Response) -> Any:
    """Read and parse a whole body; `NaN`, half a body, HTML or nothing at all are no JSON.

    The parser takes what is nested deeper than any writer can put out again: such a body does not count.
    """
    try:
        body = orjson.loads(response.raw.read(decode_content=True))
        orjson.dumps(body)
    except orjson.JSONDecodeError:
        kind = response.headers.get("Content-Type", "no content type").split(";")[0]
        raise BadReplyError(f"the body is not complete JSON ({kind[:40]})") from None
    except orjson.JSONEncodeError:
        raise BadReplyError("the body is nested too deeply") from None
    return body


def _mask(response: requests.Response, secrets: Collection[str]) -> None:
    """Take the secrets out of a refusal before a message quotes a part of it: in a part no mask would know them.

    JSON is written anew, so that no escape hides a secret; what cannot be read and written is dropped.
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


def natural_number(value: Any) -> int | None:
    """Read a count of a body, as a number or, as older Laravel has it, as text; anything else is None."""
    return value if type(value) is int and value >= 0 else natural(value) if isinstance(value, str) else None


def rows_of(body: Any, key: str | None = None) -> list[dict[str, Any]]:
    """Return the list of objects that a body is, or holds under `key`; the one look-up needed, no walk."""
    rows = body.get(key) if key is not None and isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise BadReplyError(f"the body holds no list{f' {key!r}' if key else ''}")
    if not all(type(row) is dict for row in rows):
        raise BadReplyError("the list holds something that is no object")
    return rows


class ApiClient:
    """Sends what a declared requester describes until a reply is whole, or fails in one sentence.

    `tries` bounds the attempts of one request (faults and throttles alike), `longest_wait` the seconds of one wait
    that the vendor may ask for, `read_seconds` the silence of the other side. `backoff` is what to wait at least before
    the second attempt, the third and so on, the last for all further ones; without it, waits double.
    """

    def __init__(
        self,
        requester: HttpRequester,
        budget: FixedWindowLimiter,
        *,
        tries: int = 7,
        longest_wait: float = 900.0,
        read_seconds: float = 120.0,
        backoff: Sequence[float] = (),
    ) -> None:
        self._requester, self._budget = requester, budget
        self._tries, self._longest_wait, self._backoff = tries, longest_wait, backoff
        self._timeout = (min(CONNECT_SECONDS, read_seconds), read_seconds)
        self._session = requests.Session()
        self._session.trust_env = not requester.get_url().startswith("http:")  # loopback: no proxy may see the key

    def get(
        self,
        accept: Callable[[Any], T],
        *,
        stream_slice: StreamSlice | None = None,
        token: Mapping[str, Any] | None = None,
        read: Callable[[requests.Response], Any] = json_body,
    ) -> T:
        """Return `accept(read(response))` of the first whole reply.

        `token` is `next_page_token` in the requester's Jinja. `read` and `accept` run inside the retry: they raise
        `BadReplyError` for a reply that must not count. Parameters that evaluate to nothing are not sent.
        """
        given = {"stream_slice": stream_slice, "next_page_token": token}
        url = self._requester.get_url(**given)  # type: ignore[arg-type]
        params = self._requester.get_request_params(**given)  # type: ignore[arg-type]
        login = self._requester.get_authenticator().get_auth_header()
        headers = {**self._requester.get_request_headers(**given), **login}  # type: ignore[arg-type]
        secrets = [word for value in login.values() for word in str(value).split()[-1:]]  # without a scheme before it
        sent = {name: value for name, value in params.items() if value not in ("", [], None)}
        for attempt in range(1, self._tries + 1):
            self._budget.take()
            seconds, throttled, unreachable = self._growing(attempt, 1.0), False, False
            try:
                with self._session.get(
                    url, params=sent, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
                ) as response:
                    self._budget.learn(response.headers)
                    if response.status_code == requests.codes.ok:
                        return accept(read(response))
                    _mask(response, secrets)  # reads the body, too, while faults are caught
                    throttled = self._refused(response)
                    reason = f"the API answered {response.status_code}"
                    if throttled:
                        seconds = self._throttled_pause(response, attempt)
            except BadReplyError as fault:
                reason = str(fault)
            except _RETRIED as fault:
                reason, unreachable = self._network_fault(fault), True
            if attempt < self._tries:
                wait(seconds, f"{reason}; then attempt {attempt + 1} of {self._tries}")
                if throttled:
                    self._budget.renew()
        host, attempts = urlsplit(url).hostname, f"in {self._tries} attempts ({reason})"
        if throttled:
            told = f"{host} refused more requests for now {attempts}: run again in some minutes, and sync less often."
        elif unreachable:
            told = f"{host} could not be reached {attempts}: check this machine's network, firewall and proxy."
        else:
            told = (
                f"{host} gave no usable answer {attempts}: run again later; if it recurs, check api_url and any proxy."
            )
        raise transient_error(told)

    def _refused(self, response: requests.Response) -> bool:
        """Raise what the declared error handler calls a failure; else tell whether the refusal is a throttle."""
        assert self._requester.error_handler is not None
        resolution = self._requester.error_handler.interpret_response(response)
        if resolution.response_action in (ResponseAction.RETRY, ResponseAction.RATE_LIMITED):
            return resolution.response_action == ResponseAction.RATE_LIMITED
        message = resolution.error_message or f"The API answered {response.status_code}."
        kind = resolution.failure_type or FailureType.system_error
        raise AirbyteTracedException(message=message, internal_message=message, failure_type=kind)

    def _throttled_pause(self, response: requests.Response, attempt: int) -> float:
        now = rate_limit.CLOCK.now()
        asked = asked_wait(response.headers, now)
        least = self._growing(attempt, _FIRST_BLIND_WAIT)  # from 5 s on, the fourth outlasts a window of 60 s
        if asked is None:
            return least
        if asked > self._longest_wait:
            try:
                until = f"until {datetime.fromtimestamp(now + asked, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
            except (ValueError, OverflowError):
                until = f"for {asked:.0f} s"
            raise transient_error(
                f"The API's request limit is used up and it asks to wait {until}, longer than the "
                f"{self._longest_wait:g} s a run waits: run again after that time, and sync less often if this recurs."
            )
        return max(asked, least) if self._backoff else asked

    def _growing(self, attempt: int, first: float) -> float:
        if self._backoff:
            return self._backoff[min(attempt, len(self._backoff)) - 1]
        return float(min(first * 2.0 ** (attempt - 1), _LONGEST_BACKOFF))

    def _network_fault(self, fault: Exception) -> str:
        """Name a fault in words of ours: the libraries' own texts quote whole URLs."""
        if isinstance(fault, requests.exceptions.SSLError):
            return "no trusted TLS connection"
        if isinstance(fault, requests.exceptions.ConnectTimeout):
            return f"no connection within {self._timeout[0]:g} s"
        if isinstance(fault, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
            return f"no answer within {self._timeout[1]:g} s"
        if isinstance(fault, requests.exceptions.ConnectionError):
            return "the connection could not be made or was closed"
        return "the answer broke off"
