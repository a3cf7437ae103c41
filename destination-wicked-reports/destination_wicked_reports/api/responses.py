"""Which responses to a POST mean that rows were accepted, rejected, or possibly stored.

`classify_status` sorts the status codes; `parse_response` reads the body where the body decides:

| response                                                  | result                                              |
|-----------------------------------------------------------|-----------------------------------------------------|
| 2xx, reports success or counts all rows                   | ACCEPTED, except the rows named in `errors`         |
| 2xx, counts fewer rows than sent, the others not named    | PARTIAL; REJECTED if the count is 0                 |
| 2xx, reports an error (`status`, `success` or `error`)    | REJECTED                                            |
| any other status that is not listed below, such as 400    | REJECTED                                            |
| 2xx, neither success, error nor count; not a JSON object  | UNKNOWN                                             |
| 504, 520, 524, or no response                             | UNKNOWN                                             |
| 408, 425, 429                                             | retry: nothing was stored                           |
| other 5xx                                                 | retry: rows with an id may be stored already        |
| 401, 403; 3xx, 404, 405; 402, 406, 407, 410, 411, 415 ... | the run ends: key; address; account or proxy        |

The client retries UNKNOWN for rows with an id at Wicked, because it is harmless to send them again.

A 2xx alone proves nothing. No vendor page documents the body: a published integration reads `records`, `totalRecords`
and `errors: [{"error", "item"}]`, and the SDK's tests expect a text in `success` (docs/vendors/wicked-reports.md 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import orjson

from destination_wicked_reports.model import Row


class StatusClass(Enum):
    """What the client does with a status code."""

    BODY_DECIDES = "parse the body"
    RETRY = "retry: nothing was stored"
    SERVER_ERROR = "retry: rows with an id may be stored"
    RESPONSE_LOST = "the gateway lost the response: rows may be stored"
    KEY_REFUSED = "end the run: the API key is wrong or its plan lacks this call"
    WRONG_ADDRESS = "end the run: `api_url` is wrong"
    ACCOUNT_REFUSED = "end the run: the account or a proxy refuses every request, so that smaller batches cannot help"


_STATUS_CLASSES: dict[int, StatusClass] = {
    **dict.fromkeys((408, 425, 429), StatusClass.RETRY),
    **dict.fromkeys((504, 520, 524), StatusClass.RESPONSE_LOST),  # 520 and 524 are Cloudflare's
    **dict.fromkeys((401, 403), StatusClass.KEY_REFUSED),
    **dict.fromkeys((301, 302, 303, 307, 308, 404, 405), StatusClass.WRONG_ADDRESS),
    **dict.fromkeys((402, 406, 407, 410, 411, 415, 423, 451), StatusClass.ACCOUNT_REFUSED),
}


def classify_status(status: int) -> StatusClass:
    """Return what to do with a status code."""
    return _STATUS_CLASSES.get(status, StatusClass.SERVER_ERROR if status >= 500 else StatusClass.BODY_DECIDES)


class Outcome(Enum):
    """What happened to the rows of a request."""

    ACCEPTED = "all stored, except the rows named"
    REJECTED = "nothing stored"
    PARTIAL = "some stored, and the response does not name the others"
    UNKNOWN = "possibly stored"


@dataclass(slots=True, frozen=True)
class PostResult:
    """Outcome of one request; `rejected` maps the index of each row named in `errors` to Wicked's reason."""

    outcome: Outcome
    rejected: dict[int, str]
    reason: str = ""


def parse_response(status: int, body: bytes, rows: Sequence[Row]) -> PostResult:
    """Return the outcome of a response whose status is in class BODY_DECIDES.

    For a status other than 2xx and for UNKNOWN, `reason` does not quote the body: error texts can hold personal data.
    """
    if not 200 <= status < 300:
        return PostResult(Outcome.REJECTED, {}, f"Wicked Reports rejected the request with status {status}.")
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports returned {status} without JSON.")
    if not isinstance(reply, dict):
        return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports returned {status} without a receipt.")
    if _reports_error(reply):
        return PostResult(Outcome.REJECTED, {}, _reason(reply.get("message") or reply.get("error")))
    stored, total = _count(reply.get("records")), _count(reply.get("totalRecords"))
    errors = reply.get("errors")
    if errors:
        rejected = _match(errors, rows) if isinstance(errors, list) else None
        if rejected is None:
            reason = "Wicked Reports returned errors that match no row."
        elif stored is None or stored + len(rejected) >= len(rows):
            return PostResult(Outcome.ACCEPTED, rejected)
        else:
            reason = "Wicked Reports stored fewer rows than it returned no error for."
    elif stored is not None and stored < max(total or 0, len(rows)):
        reason = "Wicked Reports stored fewer rows than it was sent and did not report which it rejected."
    elif stored is not None or _reports_success(reply):
        return PostResult(Outcome.ACCEPTED, {})
    else:
        return PostResult(Outcome.UNKNOWN, {}, f"Wicked Reports returned {status} without a receipt.")
    return PostResult(Outcome.REJECTED if stored == 0 else Outcome.PARTIAL, {}, reason)


def _count(value: Any) -> int | None:
    """Return a count given as a number or as text, else None."""
    if isinstance(value, str) and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)
    return value if type(value) is int else None


def _reports_success(reply: dict[str, Any]) -> bool:
    """Return whether the body reports success in words ("Successfully ...", "success") or as `"success": true`."""
    texts = (reply.get("success"), reply.get("status"), reply.get("message"))
    return reply.get("success") is True or any(isinstance(text, str) and "success" in text.lower() for text in texts)


def _reports_error(reply: dict[str, Any]) -> bool:
    """Return whether the body reports that the whole request failed."""
    if str(reply.get("status", "")).lower() in ("error", "fail", "failed") or reply.get("success") is False:
        return True
    return bool(reply.get("error")) and not reply.get("success") and not reply.get("errors")


def _reason(value: Any) -> str:
    return str(value) if value else "Wicked Reports gave no reason."


def _match(errors: list[Any], rows: Sequence[Row]) -> dict[int, str] | None:
    """Map each error to the index of the row that its `item` echoes, or return None if one echoes no row."""
    sent = [orjson.loads(row.body) for row in rows]
    by_id: dict[Any, list[int]] = {}
    for index, fields in enumerate(sent):
        by_id.setdefault(fields.get("SourceID"), []).append(index)
    rejected: dict[int, str] = {}
    for error in errors:
        item = error.get("item") if isinstance(error, dict) else None
        if not isinstance(item, dict) or not item:
            return None
        candidates = (
            by_id.get(str(item["SourceID"]), []) if item.get("SourceID") not in (None, "") else range(len(sent))
        )
        exact = (index for index in candidates if index not in rejected and _is_echo(item, sent[index]))
        # A server may normalize a row before echoing it. Its id alone identifies it if only one row has that id.
        by_id_alone = [index for index in candidates if index not in rejected] if len(candidates) == 1 else []
        matches = [*exact, *by_id_alone]
        if not matches:
            again = next((index for index in candidates if index in rejected and _is_echo(item, sent[index])), None)
            if again is None:
                return None
            rejected[again] += f" {_reason(error.get('error'))}"  # one entry for each bad field of a row
            continue
        rejected[matches[0]] = _reason(error.get("error"))
    return rejected


def _is_echo(item: dict[str, Any], fields: dict[str, Any]) -> bool:
    shared = item.keys() & fields.keys()
    return bool(shared) and all(_same(item[name], fields[name]) for name in shared)


def _same(echoed: Any, sent: Any) -> bool:
    if echoed == sent or str(echoed) == str(sent) or (echoed in (None, "") and sent in (None, "")):
        return True
    try:
        return Decimal(str(echoed)) == Decimal(str(sent))
    except InvalidOperation:
        return False
