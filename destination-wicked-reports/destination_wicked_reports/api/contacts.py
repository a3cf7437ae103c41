"""Asks Wicked Reports' Outbound API for one contact: `GET /contacts/{id}` (docs/vendors/wicked-reports.md 5.1).

The call also takes Wicked's own ids and email addresses, so that an id of a CRM may find another person, whose Wicked
id happens to be the same. An answer counts only if it has the id as its `sourceId`, under the source system of the
contacts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from destination_wicked_reports.api.client import FIREWALL_MESSAGE, KEY_MESSAGE, OUTBOUND_OFF
from destination_wicked_reports.base.errors import BadResponseError, config_error
from destination_wicked_reports.base.http import ApiClient, is_firewall_page
from destination_wicked_reports.base.sliding_window import SlidingWindowLimiter, reset_time

MAX_TRIES = 8
READ_TIMEOUT = 60.0
#: Airbyte expects output at least every 15 minutes, so a longer wait is left to the next scheduled run.
LONGEST_WAIT = 600.0
#: The length of ids at Wicked (docs/vendors/wicked-reports.md 2.2).
_LONGEST_ID = 500
#: Asked for by `check`. A contact with this id does no harm: only the status counts.
_PROBE = "airbyte-connection-check"
#: "Contact with id AB-1234567 not found."; a gateway's 404 for an unknown path does not mention a contact.
_NOT_FOUND = re.compile(rb"contact\b.*\bnot found", re.IGNORECASE | re.DOTALL)
OFF_MESSAGE = (
    "contact_lookup `wicked` needs Wicked Reports' Outbound API, which is not enabled for this account: ask Wicked "
    "Reports' support to enable it, or choose the lookup `file` or `none`. The API key itself is right."
)


@dataclass(slots=True, frozen=True)
class Contact:
    """A contact as Wicked Reports answers; each field may be empty."""

    source_id: str
    source_system: str
    email: str


class _NotFoundError(Exception):
    """Wicked Reports has no contact with this id."""


class ContactApi:
    """Asks for contacts, within the rate limit. The key is sent as the inbound API takes it, too."""

    def __init__(self, api_url: str, api_key: str, requests_per_minute: int) -> None:
        self.requests_per_minute = requests_per_minute
        self._limiter = SlidingWindowLimiter(requests_per_minute)
        self._requester = _ContactRequester(api_url, api_key)
        self._client = _ContactClient(
            self._requester, self._limiter, max_tries=MAX_TRIES, max_wait=LONGEST_WAIT, read_timeout=READ_TIMEOUT
        )

    def get(self, contact_id: str, progress: str = "") -> Contact | None:
        """Return the contact that Wicked Reports answers for an id, None if there is none.

        `progress` is logged with a wait for the rate limit. Raises config_error if the account lacks the Outbound API,
        the key is refused or the address is wrong, transient_error after the last attempt.
        """
        if contact_id in ("", ".", "..") or len(contact_id) > _LONGEST_ID:  # no segment of a path
            return None
        self._limiter.set_progress(progress)
        try:
            return self._client.get(_parse, page_token={"id": contact_id})
        except _NotFoundError:
            return None

    def check(self) -> None:
        """Ask for a contact that need not exist. Raises as `get`."""
        self.get(_PROBE)


class _ContactRequester:
    """Builds the request for one contact; also the authenticator. No log line has the contact's id."""

    error_handler = None

    def __init__(self, api_url: str, api_key: str) -> None:
        self.name = "contact_lookup"
        self.api_url = api_url
        self._api_key = api_key

    def get_url(self, **context: Any) -> str:
        return f"{self.api_url}/contacts/{quote(context['next_page_token']['id'], safe='@')}"

    def get_request_params(self, **_: Any) -> Mapping[str, Any]:
        return {}

    def get_request_headers(self, **_: Any) -> Mapping[str, Any]:
        return {"Accept": "application/json", "User-Agent": "airbyte-destination-wicked-reports"}

    def get_authenticator(self) -> _ContactRequester:
        return self

    def get_auth_header(self) -> Mapping[str, Any]:
        return {"apikey": self._api_key}


class _ContactClient(ApiClient):
    """Interprets the statuses of this call. No message quotes a response, which has the id or the address in it."""

    def _is_throttled(self, response: requests.Response, subject: str) -> bool:
        status, body = response.status_code, response.content
        if status in (requests.codes.unauthorized, requests.codes.forbidden):
            if is_firewall_page(response):
                raise config_error(FIREWALL_MESSAGE.format(status=status))
            raise config_error(OFF_MESSAGE if OUTBOUND_OFF.encode() in body else KEY_MESSAGE.format(status=status))
        if status == requests.codes.not_found and _NOT_FOUND.search(body):
            raise _NotFoundError
        if status in (requests.codes.bad_request, requests.codes.unprocessable_entity):
            raise _NotFoundError  # an id that Wicked cannot have
        if status == requests.codes.too_many_requests:
            return True
        if status >= requests.codes.internal_server_error or status in (408, 409, 423, 425):
            return False
        raise config_error(
            f"There is no GET /contacts/… at the API URL (status {status}). Check api_url, or remove it to use Wicked "
            "Reports' API."
        )

    def _normalized(self, headers: Mapping[str, str], now: float) -> Mapping[str, str]:
        at = {name: reset_time(headers.get(name), now) for name in ("Retry-After", "x-ratelimit-reset")}
        retry_at, reset = at.values()
        found = {} if retry_at is None else {"Retry-After": str(max(math.ceil(retry_at - now), 0))}
        return found if reset is None else {**found, "x-ratelimit-reset": str(max(math.ceil(reset), 0))}


def _parse(body: Any) -> Contact:
    if not isinstance(body, dict) or body.get("status") != "success" or not isinstance(body.get("result"), dict):
        raise BadResponseError("the body is no contact")
    result = body["result"]
    return Contact(*(_text(result.get(name)) for name in ("sourceId", "sourceSystem", "email")))


def _text(value: Any) -> str:
    """Return text, or the digits of a number, which an id may be written as."""
    return value if isinstance(value, str) else str(value) if type(value) is int else ""
