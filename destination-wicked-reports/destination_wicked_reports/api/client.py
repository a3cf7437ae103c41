"""HTTP client for Wicked's inbound API: POST with retries, and the read that checks an API key."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader, NewConnectionError
from urllib3.util.retry import Retry

from destination_wicked_reports.api.responses import (
    Outcome,
    PostResult,
    StatusClass,
    classify_status,
    parse_response,
)
from destination_wicked_reports.errors import NotStoredError
from destination_wicked_reports.model import Row

logger = logging.getLogger("airbyte")

CONNECT_TIMEOUT, READ_TIMEOUT = 20.0, 120.0
#: Seconds between attempts; their sum exceeds a rate-limit window of one minute.
BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
#: The same until the server has responded once in this run: enough for a network that is just coming up.
FIRST_BACKOFF = BACKOFF[:4]
#: Airbyte expects output at least every 15 minutes, so a longer wait is left to the next scheduled run.
LONGEST_WAIT = 900.0
OUTBOUND_OFF = "Outbound API not enabled"
KEY_MESSAGE = (
    "Wicked Reports refused the API key ({status}). Copy it again from the Authorizations page in Wicked Reports."
)
#: A proxy that cannot connect or a certificate that is not trusted: the request did not reach Wicked.
NOT_WICKED = (requests.exceptions.ProxyError, requests.exceptions.SSLError)
CHECK_NETWORK = "Check the network, the proxy and the firewall"


def _fatal(message: str, failure_type: FailureType) -> NotStoredError:
    return NotStoredError(message=message, internal_message=message, failure_type=failure_type)


def _give_up(message: str, failure_type: FailureType, may_be_stored: bool) -> AirbyteTracedException:
    """Return the error that ends the run; NotStoredError unless an earlier attempt may have stored rows."""
    kind = AirbyteTracedException if may_be_stored else NotStoredError
    return kind(message=message, internal_message=message, failure_type=failure_type)


@dataclass(slots=True, frozen=True)
class _Retry:
    """A failed attempt: the reason, the Retry-After in seconds if any, and whether it may have stored rows."""

    reason: str
    retry_after: float | None = None
    may_be_stored: bool = True
    no_response: bool = False


class _TrackedBody(io.BytesIO):
    """Request body that records whether reading began; before that, nothing can have been sent."""

    started = False

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes."""
        self.started = True
        return super().read(size)


class WickedClient:
    """Client for one account. `post` may be called from several threads at once."""

    def __init__(
        self,
        api_url: str,
        api_key: str,
        *,
        test_mode: bool,
        connections: int,
        pause: Callable[[float], object] | None = None,
    ):
        self._url = api_url
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._reached = False
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)  # ignore-https-check: loopback only, see config/spec.py
        self._session.headers.update(
            {"apikey": api_key, "Accept": "application/json", "Content-Type": "application/json"}
        )
        if test_mode:
            self._session.headers["test"] = "1"

    def stop(self) -> None:
        """Let running requests finish without retries; a retry that waits gives up at once."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, and close the connections."""
        self.stop()
        self._session.close()

    def prove_key(self) -> int:
        """Send `GET /latest`, the cheapest read there is (docs/vendors/wicked-reports.md 2.9), and return the status.

        Raises config_error for 401 and 403, transient_error without a response. The documented 401 "Outbound API not
        enabled for client." (docs/vendors/wicked-reports.md 1) means that the key is known; writes don't need that
        plan.
        """
        try:
            response = self._session.get(
                f"{self._url}/latest",
                params={"sourcesystem": "airbyte", "datatype": "contacts"},
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _fatal(
                f"Wicked Reports cannot be reached at {self._url} ({type(error).__name__}). {CHECK_NETWORK}.",
                FailureType.transient_error,
            ) from None
        if classify_status(response.status_code) is StatusClass.KEY_REFUSED and OUTBOUND_OFF not in response.text:
            raise _fatal(KEY_MESSAGE.format(status=response.status_code), FailureType.config_error)
        return response.status_code

    def post(self, path: str, body: bytes, rows: Sequence[Row], *, repeatable: bool) -> PostResult:
        """POST one batch, with retries, and return what happened to its rows.

        `repeatable` rows have an id at Wicked, so sending them twice is harmless. Other rows are retried only if they
        count as not stored: after 408, 425, 429 or a 5xx other than a lost response, or without a connection.
        Raises config_error for a refused key or a wrong address, transient_error after the last attempt. Until the
        server has responded once there are fewer attempts. The error is a NotStoredError unless an attempt may have
        stored rows.
        """
        what = f"POST {path}"
        may_be_stored, retry = False, _Retry("not attempted")
        for attempt in range(len(BACKOFF) + 1):
            try:
                result = self._attempt(path, body, rows, repeatable)
            except NotStoredError as error:
                raise _give_up(str(error.message), error.failure_type, may_be_stored) from None
            except requests.RequestException as error:
                result = _Retry(_describe(error), may_be_stored=not _never_connected(error), no_response=True)
            if isinstance(result, PostResult):
                return result
            retry = result
            may_be_stored = may_be_stored or (repeatable and retry.may_be_stored)
            waits = BACKOFF if self._reached else FIRST_BACKOFF
            if attempt >= len(waits):
                break
            delay = waits[attempt] if retry.retry_after is None else max(retry.retry_after, waits[attempt])
            if delay > LONGEST_WAIT:
                raise _give_up(
                    f"Wicked Reports asks to wait {delay / 60:.0f} minutes before the next {what}. "
                    "Run the sync again after that.",
                    FailureType.transient_error,
                    may_be_stored,
                )
            logger.info(
                "%s: %s. Retrying in %.0f s (attempt %d of %d).", what, retry.reason, delay, attempt + 2, len(waits) + 1
            )
            self._pause(delay)
            if self._stopping.is_set():
                break
        if not self._reached:
            text = (
                f"Wicked Reports cannot be reached at {self._url}: {retry.reason}. {CHECK_NETWORK}, and run the sync "
                "again."
            )
        else:
            advice = f"{CHECK_NETWORK} if this persists. " if retry.no_response else ""
            text = (
                f"{what} to Wicked Reports failed: {retry.reason}. {advice}Rows accepted so far are recorded; run the "
                "sync again."
            )
        raise _give_up(text, FailureType.transient_error, may_be_stored)

    def _attempt(self, path: str, body: bytes, rows: Sequence[Row], repeatable: bool) -> PostResult | _Retry:
        """Make one attempt; raises RequestException if there was no response and the rows may be sent again."""
        # A kept-alive connection that the server is just closing looks like a lost response. Rows that must not be
        # sent twice use a new connection, where only a real loss looks like one.
        send = self._session.post if repeatable else partial(requests.post, headers=self._session.headers)
        data = body if repeatable else _TrackedBody(body)
        try:
            response = send(self._url + path, data=data, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), allow_redirects=False)
        except requests.RequestException as error:
            never_sent = not data.started if isinstance(data, _TrackedBody) else _never_connected(error)
            self._reached |= not never_sent and not isinstance(error, NOT_WICKED)
            if repeatable or never_sent:
                raise
            return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports gave {_describe(error)}.")
        self._reached = True
        status = response.status_code
        match classify_status(status):
            case StatusClass.KEY_REFUSED:
                raise _fatal(KEY_MESSAGE.format(status=status), FailureType.config_error)
            case StatusClass.WRONG_ADDRESS:
                raise _fatal(
                    f"There is no POST {path} at {self._url} (status {status}). Check the API URL.",
                    FailureType.config_error,
                )
            case StatusClass.ACCOUNT_REFUSED:
                raise _fatal(
                    f"Wicked Reports refuses every POST {path} (status {status}). Check the account in Wicked Reports "
                    "and the proxy, then run the sync again.",
                    FailureType.config_error,
                )
            case StatusClass.RESPONSE_LOST if not repeatable:
                return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports' gateway lost the response ({status}).")
            case StatusClass.RETRY:
                return _Retry(f"status {status}", _retry_after(response), may_be_stored=False)
            case StatusClass.SERVER_ERROR | StatusClass.RESPONSE_LOST:
                return _Retry(f"status {status}", _retry_after(response))
        result = parse_response(status, response.content, rows)
        if result.outcome is Outcome.UNKNOWN and repeatable:
            return _Retry(result.reason.rstrip("."))
        return result


def _describe(error: requests.RequestException) -> str:
    return f"no response ({type(error).__name__})"


def _never_connected(error: requests.RequestException) -> bool:
    """Return whether no connection was made, so that Wicked cannot have the rows."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", cause), NewConnectionError)


def _retry_after(response: requests.Response) -> float | None:
    header = response.headers.get("Retry-After")
    if not header:
        return None
    try:
        return Retry(retry_after_max=10**9).parse_retry_after(header)
    except (InvalidHeader, ValueError, OverflowError, TypeError):  # the last three: an impossible date
        return None
