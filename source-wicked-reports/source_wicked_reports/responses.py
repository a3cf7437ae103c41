"""Validates responses of the Outbound API and interprets its errors (docs/vendors/wicked-reports.md 5)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .base.errors import BadResponseError
from .base.http import ApiClient, parse_count, rows_of
from .base.sliding_window import SlidingWindowLimiter, reset_time
from .hash_pages import Page
from .records import Row

_MAX_REASON_CHARS = 200
#: "Contact with id AB-1234567 not found."; a gateway's 404 for an unknown path does not mention a contact.
_NO_CONTACT = re.compile(r"contact\b.*\bnot found", re.IGNORECASE | re.DOTALL)
_EMAIL = re.compile(r"\S+@\S+")


class UnknownContactError(Exception):
    """Wicked Reports has no contact with this id."""


class RejectedError(AirbyteTracedException):
    """Wicked Reports rejected a parameter."""


class OutboundClient(ApiClient):
    """Requests of one stream; a rejection names the subject of the request.

    With `single_contact`, paths belong to one contact: a documented 404 means that the contact does not exist, and no
    reason is quoted, because it contains the requested id or email address.
    """

    wrong_key_status = requests.codes.forbidden

    def __init__(
        self,
        requester: HttpRequester,
        limiter: SlidingWindowLimiter,
        *,
        max_tries: int,
        max_wait: float,
        read_timeout: float,
        single_contact: bool,
    ) -> None:
        super().__init__(requester, limiter, max_tries=max_tries, max_wait=max_wait, read_timeout=read_timeout)
        self._single_contact = single_contact

    def _is_throttled(self, response: requests.Response, subject: str) -> bool:
        status, text = response.status_code, _message(response)
        if status in (requests.codes.bad_request, requests.codes.unprocessable_entity):
            quotable = text and not self._single_contact
            reason = _EMAIL.sub("...", text)[:_MAX_REASON_CHARS] if quotable else "no reason given"
            raise _rejected(
                f"Wicked Reports rejected {subject} ({reason}). Check start_date and end_date. If they are right, the "
                "vendor's limits may have changed: report this message."
            )
        if status == requests.codes.not_found and self._single_contact and _NO_CONTACT.search(text):
            raise UnknownContactError
        return super()._is_throttled(response, subject)

    def _normalized(self, headers: Mapping[str, str], now: float) -> Mapping[str, str]:
        retry_at, reset = (reset_time(headers.get(name), now) for name in ("Retry-After", "x-ratelimit-reset"))
        found = {"Retry-After": None if retry_at is None else str(max(math.ceil(retry_at - now), 0))}
        found["x-ratelimit-reset"] = None if reset is None else str(max(math.ceil(reset), 0))
        return {name: value for name, value in found.items() if value is not None}


def parse_list(body: Any, clean: Callable[[Row], Row], *, needs_hash: bool) -> Page:
    """Return one page of a list; raise `BadResponseError` if the body lacks any of its numbers.

    With `needs_hash`, a page that is not the last must have `next`; set it if no earlier page had one.
    """
    _require_success(body)
    number, last, total = (_parse_number(body.get(name)) for name in ("page", "totalPages", "total"))
    if number is None or last is None or total is None:
        raise BadResponseError("the body has no page, totalPages or total")
    rows = [clean(row) for row in rows_of(body, "results")]
    next_hash = body.get("next")
    if next_hash is not None and not isinstance(next_hash, (str, int)):
        raise BadResponseError("next is not text")
    if needs_hash and number < last and rows and next_hash in (None, ""):
        raise BadResponseError(f"page {number} of {last} has no next")
    return Page(number, last, total, None if next_hash in (None, "") else str(next_hash), rows)


def parse_single(body: Any, clean: Callable[[Row], Row]) -> Row:
    """Return the contact of a response for one contact."""
    _require_success(body)
    if not isinstance(body.get("result"), dict):
        raise BadResponseError("the body has no object 'result'")
    return clean(body["result"])


def _require_success(body: Any) -> None:
    if not isinstance(body, dict):
        raise BadResponseError("the body is not an object")
    if body.get("status") != "success":
        raise BadResponseError("the body has no status: success")


def _parse_number(value: Any) -> int | None:
    """Return a count; the reference types counts as "number", so 1.0 is valid."""
    return int(value) if type(value) is float and value.is_integer() and value >= 0 else parse_count(value)


def _rejected(message: str) -> RejectedError:
    return RejectedError(message=message, internal_message=message, failure_type=FailureType.config_error)


def _message(response: requests.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return ""
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""
