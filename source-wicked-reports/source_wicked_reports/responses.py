"""What a reply of the Outbound API must be before it counts, and what its refusals mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.requesters import HttpRequester
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from .base import rate_limit
from .base.errors import BadReplyError
from .base.http import ApiClient, natural_number, rows_of
from .hash_pages import Page
from .rate_limit import SlidingWindowLimiter, reset_time
from .records import Row

_LONGEST_REASON = 200
#: "Contact with id AB-1234567 not found."; a gateway that knows no such path says "Not Found" and nothing of a contact
_NO_CONTACT = re.compile(r"contact\b.*\bnot found", re.IGNORECASE | re.DOTALL)
_ADDRESS = re.compile(r"\S+@\S+")


class UnknownContactError(Exception):
    """The vendor knows no contact of this id."""


class RefusedError(AirbyteTracedException):
    """The vendor refuses a parameter."""


class OutboundApi(ApiClient):
    """Requests of one stream; a refusal names what was asked for.

    `asking` is said in the refusal of a parameter. Of a contact's own paths a documented 404 means that there is no
    such contact, and no reason is quoted, because it holds the id or the address that was asked for.
    """

    def __init__(
        self,
        requester: HttpRequester,
        budget: SlidingWindowLimiter,
        *,
        tries: int,
        longest_wait: float,
        read_seconds: float,
    ) -> None:
        super().__init__(requester, budget, tries=tries, longest_wait=longest_wait, read_seconds=read_seconds)
        self.asking, self.of_contact = "", False

    def _refused(self, response: requests.Response) -> bool:
        status, said = response.status_code, _message(response)
        if status in (requests.codes.bad_request, requests.codes.unprocessable_entity):
            reason = _ADDRESS.sub("...", said)[:_LONGEST_REASON] if said and not self.of_contact else "without a reason"
            raise _refusal(
                f"Wicked Reports refused {self.asking} ({reason}): check start_date and end_date; if they are "
                "right, the vendor's limits may have changed: report this line."
            )
        if status == requests.codes.not_found and self.of_contact and _NO_CONTACT.search(said):
            raise UnknownContactError
        return super()._refused(response)

    def _throttled_pause(self, response: requests.Response, attempt: int) -> float:
        """Put the wait into the one form that is understood: seconds for Retry-After, UNIX time for the reset."""
        now, headers = rate_limit.CLOCK.now(), response.headers
        later, reset = (reset_time(headers.get(name), now) for name in ("Retry-After", "x-ratelimit-reset"))
        if later is not None:
            headers["Retry-After"] = str(max(math.ceil(later - now), 0))
        if reset is not None:
            headers["x-ratelimit-reset"] = str(max(math.ceil(reset), 0))
        return super()._throttled_pause(response, attempt)


def listed(body: Any, clean: Callable[[Row], Row], *, needs_hash: bool) -> Page:
    """Read one page of a list; a body that lacks any of its numbers does not count.

    With `needs_hash` (there was none before this page) a page that more should follow must tell how to get them.
    """
    _successful(body)
    number, last, total = (_count(body.get(name)) for name in ("page", "totalPages", "total"))
    if number is None or last is None or total is None:
        raise BadReplyError("the body lacks page, totalPages or total")
    rows = [clean(row) for row in rows_of(body, "results")]
    following = body.get("next")
    if following is not None and not isinstance(following, (str, int)):
        raise BadReplyError("next is no text")
    if needs_hash and number < last and rows and following in (None, ""):
        raise BadReplyError(f"page {number} of {last} comes without next")
    return Page(number, last, total, None if following in (None, "") else str(following), rows)


def single(body: Any, clean: Callable[[Row], Row]) -> Row:
    """Read the reply for one contact."""
    _successful(body)
    if not isinstance(body.get("result"), dict):
        raise BadReplyError("the body holds no 'result'")
    return clean(body["result"])


def _successful(body: Any) -> None:
    if not isinstance(body, dict):
        raise BadReplyError("the body is no object")
    if body.get("status") != "success":
        raise BadReplyError("the body does not say status: success")


def _count(value: Any) -> int | None:
    """The reference types the counts as "number", so 1.0 is one as well."""
    return int(value) if type(value) is float and value.is_integer() and value >= 0 else natural_number(value)


def _refusal(message: str) -> RefusedError:
    return RefusedError(message=message, internal_message=message, failure_type=FailureType.config_error)


def _message(response: requests.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return ""
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""
