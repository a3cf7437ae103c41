"""HTTP to Wicked's inbound API: one POST with its retries, and the read that proves a key."""

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

from destination_wicked_reports.api.responses import Outcome, PostResult, parse_response
from destination_wicked_reports.errors import NotStoredError
from destination_wicked_reports.model import Row

logger = logging.getLogger("airbyte")

CONNECT_TIMEOUT, READ_TIMEOUT = 20.0, 120.0
#: Seconds between tries; together they outlast a rate-limit window of a minute.
BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
#: The same while nothing at the address has ever answered: time for a network that is just coming up, and no more.
FIRST_BACKOFF = BACKOFF[:4]
#: Airbyte wants a sign of life every 15 minutes; a longer wait is better spent in the next scheduled run.
LONGEST_WAIT = 900.0
#: The gateway lost the answer, 520 and 524 in Cloudflare's words: for rows without an id a lost reply like any other.
LOST_REPLY = frozenset({504, 520, 524})
#: Wicked says itself that it took nothing for now; after any other error it may have the rows of a repeated request.
NOT_NOW = frozenset({408, 425, 429})
#: These say what is wrong with the key, the plan or the address, and nothing about the rows.
KEY_REFUSED = frozenset({401, 403})
WRONG_ADDRESS = frozenset({301, 302, 303, 307, 308, 404, 405})
#: So do these of the account or of what lies between: to send half of the rows would change nothing.
REFUSES_ALL = frozenset({402, 406, 407, 410, 411, 415, 423, 451})
OUTBOUND_OFF = "Outbound API not enabled"
KEY_MESSAGE = (
    "Wicked Reports refused the API key ({status}). Copy it again from the Authorizations page in Wicked Reports."
)
#: A proxy that cannot connect, a certificate that is not Wicked's: a connection, but not to Wicked.
STOPPED_ON_THE_WAY = (requests.exceptions.ProxyError, requests.exceptions.SSLError)
CHECK_NETWORK = "Check the network, the proxy and the firewall"


def _fatal(message: str, failure_type: FailureType) -> NotStoredError:
    return NotStoredError(message=message, internal_message=message, failure_type=failure_type)


def _end(message: str, failure_type: FailureType, unsure: bool) -> AirbyteTracedException:
    """Return the error that ends the run; `unsure`: Wicked may have rows of the request from an attempt before."""
    kind = AirbyteTracedException if unsure else NotStoredError
    return kind(message=message, internal_message=message, failure_type=failure_type)


@dataclass(slots=True, frozen=True)
class _Again:
    """An attempt that settled nothing: what went wrong, the wait that was asked for, and whether rows may be there."""

    trouble: str
    asked: float | None = None
    unsure: bool = True
    silent: bool = False


class _Watched(io.BytesIO):
    """A request body that knows whether any of it was asked for: until then nothing can have arrived."""

    left = False

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes."""
        self.left = True
        return super().read(size)


class WickedClient:
    """Talks to one account. `post` may be called from several threads at once."""

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
        self._session.mount("http://", adapter)  # ignore-https-check: loopback only, see spec.py
        self._session.headers.update(
            {"apikey": api_key, "Accept": "application/json", "Content-Type": "application/json"}
        )
        if test_mode:
            self._session.headers["test"] = "1"

    def stop(self) -> None:
        """Let every request end, but try none again: retries that wait give up at once."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, and close the connections."""
        self.stop()
        self._session.close()

    def prove_key(self) -> int:
        """Send the cheapest read there is, `GET /latest` (wicked-facts.md section 2.9), and return its status.

        Raises config_error for 401 and 403, transient_error if nothing answers. The documented 401 "Outbound API not
        enabled for client." (section 1) is an answer to a key that Wicked knows; writing does not need that plan.
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
        if response.status_code in KEY_REFUSED and OUTBOUND_OFF not in response.text:
            raise _fatal(KEY_MESSAGE.format(status=response.status_code), FailureType.config_error)
        return response.status_code

    def post(self, path: str, body: bytes, rows: Sequence[Row], *, repeatable: bool) -> PostResult:
        """POST one batch until its fate is known.

        `repeatable` rows have an id at Wicked, so that sending them twice is harmless. All others are repeated only
        after an answer that says that they were not taken, or if they never left.
        Raises config_error for a refused key or a wrong address, transient_error when all tries are used up: they are
        fewer as long as this client has never reached Wicked. Both are NotStoredError unless an attempt may have
        arrived.
        """
        what = f"POST {path}"
        unsure, again = False, _Again("not tried")
        for attempt in range(len(BACKOFF) + 1):
            try:
                made = self._try(path, body, rows, repeatable)
            except NotStoredError as error:
                raise _end(str(error.message), error.failure_type, unsure) from None
            except requests.RequestException as error:
                made = _Again(_silence(error), unsure=not _never_left(error), silent=True)
            if isinstance(made, PostResult):
                return made
            again = made
            unsure = unsure or (repeatable and again.unsure)
            waits = BACKOFF if self._reached else FIRST_BACKOFF
            if attempt >= len(waits):
                break
            delay = waits[attempt] if again.asked is None else max(again.asked, waits[attempt])
            if delay > LONGEST_WAIT:
                raise _end(
                    f"Wicked Reports asks to wait {delay / 60:.0f} minutes before the next {what}. "
                    "Run the sync again then.",
                    FailureType.transient_error,
                    unsure,
                )
            logger.info(
                "%s: %s. Next try in %.0f s (%d of %d).", what, again.trouble, delay, attempt + 2, len(waits) + 1
            )
            self._pause(delay)
            if self._stopping.is_set():
                break
        if not self._reached:
            text = (
                f"Wicked Reports cannot be reached at {self._url}: {again.trouble}. {CHECK_NETWORK}, and run the sync "
                "again."
            )
        else:
            advice = f"{CHECK_NETWORK} if this stays. " if again.silent else ""
            text = (
                f"Wicked Reports did not take {what}: {again.trouble}. {advice}What it took so far is remembered; "
                "run the sync again."
            )
        raise _end(text, FailureType.transient_error, unsure)

    def _try(self, path: str, body: bytes, rows: Sequence[Row], repeatable: bool) -> PostResult | _Again:
        """Make one attempt.

        Raises RequestException where no answer came, and the rows may be sent again.
        """
        # A kept-alive connection that the server is just closing looks like a lost reply. Rows that must not be
        # repeated travel on a fresh one, where only a real loss looks like a loss.
        send = self._session.post if repeatable else partial(requests.post, headers=self._session.headers)
        sent = body if repeatable else _Watched(body)
        try:
            response = send(self._url + path, data=sent, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT), allow_redirects=False)
        except requests.RequestException as error:
            never_left = not sent.left if isinstance(sent, _Watched) else _never_left(error)
            self._reached |= not never_left and not isinstance(error, STOPPED_ON_THE_WAY)
            if repeatable or never_left:
                raise
            return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports gave {_silence(error)}.")
        self._reached = True
        status = response.status_code
        if status in KEY_REFUSED:
            raise _fatal(KEY_MESSAGE.format(status=status), FailureType.config_error)
        if status in WRONG_ADDRESS:
            raise _fatal(
                f"There is no POST {path} at {self._url} (answer {status}). Check the API URL.",
                FailureType.config_error,
            )
        if status in REFUSES_ALL:
            raise _fatal(
                f"Wicked Reports refuses POST {path} whatever its rows (answer {status}). See to the account in Wicked "
                "Reports and to the proxy, then run the sync again.",
                FailureType.config_error,
            )
        if status in LOST_REPLY and not repeatable:
            return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports' gateway lost the answer ({status}).")
        if status in NOT_NOW or status >= 500:
            return _Again(f"answer {status}", _retry_after(response), unsure=status not in NOT_NOW)
        verdict = parse_response(status, response.content, rows)
        if verdict.outcome is Outcome.UNKNOWN and repeatable:
            return _Again(verdict.reason.rstrip("."))
        return verdict


def _silence(error: requests.RequestException) -> str:
    return f"no answer ({type(error).__name__})"


def _never_left(error: requests.RequestException) -> bool:
    """Tell whether the connection was never made, so that Wicked cannot have the rows."""
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
    except (InvalidHeader, ValueError, OverflowError, TypeError):  # the last three: a date that is none
        return None
