"""HTTP client for Wicked's inbound API: POST with retries, and the read that checks an API key."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import requests
import urllib3
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from urllib3.exceptions import NewConnectionError

from destination_wicked_reports.api.responses import (
    Outcome,
    PostResult,
    StatusClass,
    classify_status,
    parse_response,
)
from destination_wicked_reports.base.errors import BadResponseError
from destination_wicked_reports.base.rate_limit import http_date, retry_after
from destination_wicked_reports.base.transport import (
    BoundedSession,
    Limits,
    RequestNotSentError,
    is_web_page,
    read_body,
)
from destination_wicked_reports.errors import NotStoredError
from destination_wicked_reports.model import Row

logger = logging.getLogger("airbyte")

CONNECT_TIMEOUT, READ_TIMEOUT = 20.0, 120.0
#: Seconds for a whole exchange: a response that trickles is given up then, however often a byte arrives.
RESPONSE_SECONDS = 180.0
#: Bytes of a response. One that quotes all rows of the largest request, and a reason for each, is smaller.
RESPONSE_BYTES = 32_000_000
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
FIREWALL_MESSAGE = (
    "A firewall or proxy answered in place of Wicked Reports (a web page with status {status}), so the API key was not "
    "checked. Ask the operator of that firewall, or Wicked Reports' support, to allow this machine's address."
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
        self._give_up_at = float("inf")
        self._pause = pause or self._stopping.wait
        self._reached = False
        self._limits = Limits(RESPONSE_SECONDS, RESPONSE_BYTES, canceled=lambda: time.monotonic() >= self._give_up_at)
        self._session = BoundedSession(self._limits, connections=connections)
        self._session.headers.update(
            {"apikey": api_key, "Accept": "application/json", "Content-Type": "application/json"}
        )
        if test_mode:
            self._session.headers["test"] = "1"

    def stop(self, grace: float | None = None) -> None:
        """Let running requests finish without retries; a retry that waits gives up at once.

        With `grace`, responses that are awaited count as lost after so many seconds.
        """
        if grace is not None:
            self._give_up_at = min(self._give_up_at, time.monotonic() + grace)
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
            with self._session.get(
                f"{self._url}/latest",
                params={"sourcesystem": "airbyte", "datatype": "contacts"},
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read(response)
        except RequestNotSentError as error:
            raise _fatal(str(error), FailureType.config_error) from None
        except requests.RequestException as error:
            raise _fatal(
                f"Wicked Reports cannot be reached at {self._url} ({type(error).__name__}). {CHECK_NETWORK}.",
                FailureType.transient_error,
            ) from None
        status = response.status_code
        if classify_status(status) is StatusClass.KEY_REFUSED:
            if body is not None and is_web_page(response, body):
                raise _fatal(FIREWALL_MESSAGE.format(status=status), FailureType.config_error)
            if OUTBOUND_OFF.encode() not in (body or b""):
                raise _fatal(KEY_MESSAGE.format(status=status), FailureType.config_error)
        if 200 <= status < 300 and body is not None and is_web_page(response, body):
            raise _fatal(FIREWALL_MESSAGE.format(status=status), FailureType.config_error)
        return status

    def post(self, path: str, body: bytes, rows: Sequence[Row], *, repeatable: bool) -> PostResult:
        """POST one batch, with retries, and return what happened to its rows.

        `repeatable` rows have an id at Wicked, so sending them twice is harmless. Other rows are retried only if the
        request certainly did not reach Wicked: see `responses`.
        Raises config_error for a refused key, a wrong address or a setting of this machine that keeps requests from
        being sent, transient_error after the last attempt. Until the server has responded once there are fewer
        attempts. The error is a NotStoredError unless an attempt may have stored rows.
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
        if repeatable:
            return self._exchange(self._session, path, body, rows, repeatable)
        with BoundedSession(self._limits) as session:
            session.headers = self._session.headers
            return self._exchange(session, path, _TrackedBody(body), rows, repeatable)

    def _exchange(
        self,
        session: requests.Session,
        path: str,
        data: bytes | _TrackedBody,
        rows: Sequence[Row],
        repeatable: bool,
    ) -> PostResult | _Retry:
        try:
            with session.post(
                self._url + path,
                data=data,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _read(response)
        except RequestNotSentError as error:
            raise _fatal(str(error), FailureType.config_error) from None
        except requests.RequestException as error:
            never_sent = not data.started if isinstance(data, _TrackedBody) else _never_connected(error)
            self._reached |= not never_sent and not isinstance(error, NOT_WICKED)
            if repeatable or never_sent:
                raise
            return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports gave {_describe(error)}.")
        self._reached = True
        status = response.status_code
        match classify_status(status):
            case StatusClass.KEY_REFUSED if status == requests.codes.forbidden and _retry_after(response) is not None:
                return _Retry(f"status {status}", _retry_after(response), may_be_stored=False)
            case StatusClass.KEY_REFUSED:
                page = body is not None and is_web_page(response, body)
                message = FIREWALL_MESSAGE if page else KEY_MESSAGE
                raise _fatal(message.format(status=status), FailureType.config_error)
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
            case StatusClass.RETRY:
                return _Retry(f"status {status}", _retry_after(response), may_be_stored=False)
            case StatusClass.OUTCOME_UNKNOWN if repeatable:
                return _Retry(f"status {status}", _retry_after(response))
            case StatusClass.OUTCOME_UNKNOWN:
                reason = f"The response had status {status}, which Wicked Reports or a gateway may send after it stored"
                return PostResult(Outcome.UNKNOWN, {}, f"{reason} the rows.")
        if body is None and 200 <= status < 300:
            result = PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports returned {status} without a whole response.")
        else:
            result = parse_response(status, body or b"", rows)
        if result.outcome is Outcome.UNKNOWN and repeatable:
            return _Retry(result.reason.rstrip("."))
        return result


def _read(response: requests.Response) -> bytes | None:
    """Return the body; None if it is cut off, late, too large or badly compressed, so that the status alone counts."""
    try:
        return read_body(response, RESPONSE_BYTES)
    except (BadResponseError, urllib3.exceptions.HTTPError, requests.RequestException, OSError):
        return None


def _describe(error: requests.RequestException) -> str:
    return f"no response ({type(error).__name__})"


def _never_connected(error: requests.RequestException) -> bool:
    """Return whether no connection was made, so that Wicked cannot have the rows."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", cause), NewConnectionError)


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that a response asks to wait; a date counts by the vendor's clock, its `Date` header."""
    sent = http_date(response.headers.get("Date"))
    return retry_after(response.headers, time.time() if sent is None else sent)
