"""Which responses to a POST mean that rows were accepted, rejected, or possibly stored.

`classify_status` sorts the status codes; `parse_response` reads the body where the body decides:

| response                                                  | result                                              |
|-----------------------------------------------------------|-----------------------------------------------------|
| 2xx, reports success or counts all rows                   | ACCEPTED, except the rows named in `errors`         |
| 2xx, counts fewer rows than sent, the others not named    | PARTIAL; REJECTED if the count is 0                 |
| 2xx, names refused rows, silent about the others          | PARTIAL                                             |
| 2xx, reports an error (`status`, `success` or `error`)    | REJECTED                                            |
| any other status that is not listed below, such as 400    | REJECTED                                            |
| 2xx, anything less, contradictory, or not a JSON object   | UNKNOWN                                             |
| 408, 425, 499, 5xx but those in the next line             | UNKNOWN                                             |
| 429, 521, 523, 525, 526                                   | retry: the request did not reach Wicked             |
| no response                                               | UNKNOWN, or retry if nothing was sent               |
| 401, 403; 3xx, 404, 405, 501, 505; 402, 406, 407, 410 ... | the run ends: key; address; account or proxy        |

The client retries UNKNOWN for rows with an id at Wicked, because it is harmless to send them again.

A 2xx alone proves nothing. No vendor page documents the body: a published integration reads `records`, `totalRecords`
and `errors: [{"error", "item"}]`, and the SDK's tests expect a text in `success` (docs/vendors/wicked-reports.md 2.1).
A body that says yes in one place and no, or less, in another says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import orjson

from destination_wicked_reports.model import Row


class StatusClass(Enum):
    """What the client does with a status code."""

    BODY_DECIDES = "parse the body"
    RETRY = "retry: the request did not reach Wicked, so nothing was stored"
    OUTCOME_UNKNOWN = "rows may be stored"
    KEY_REFUSED = "end the run: the API key is wrong or its plan lacks this call"
    WRONG_ADDRESS = "end the run: `api_url` is wrong"
    ACCOUNT_REFUSED = "end the run: the account or a proxy refuses every request, so that smaller batches cannot help"


_STATUS_CLASSES: dict[int, StatusClass] = {
    # 429 is refused before it is processed; the others are Cloudflare's: the origin refused the connection, could not
    # be found, or has no valid certificate. Its 520, 522 and 524 can follow a request that the origin has. So can 503,
    # with or without Retry-After: RFC 9110 15.6.4 does not exclude that part of the request was processed.
    **dict.fromkeys((429, 521, 523, 525, 526), StatusClass.RETRY),
    **dict.fromkeys((408, 425, 499), StatusClass.OUTCOME_UNKNOWN),  # also sent by gateways, after a request
    **dict.fromkeys((401, 403), StatusClass.KEY_REFUSED),
    # 501 and 505: the server does not know the method or the HTTP version, so it is none of Wicked's.
    **dict.fromkeys((301, 302, 303, 307, 308, 404, 405, 501, 505), StatusClass.WRONG_ADDRESS),
    **dict.fromkeys((402, 406, 407, 410, 411, 415, 423, 451), StatusClass.ACCOUNT_REFUSED),
}


def classify_status(status: int) -> StatusClass:
    """Return what to do with a status code."""
    return _STATUS_CLASSES.get(status, StatusClass.OUTCOME_UNKNOWN if status >= 500 else StatusClass.BODY_DECIDES)


class Outcome(Enum):
    """What happened to the rows of a request."""

    ACCEPTED = "all stored, except the rows named"
    REJECTED = "nothing stored"
    PARTIAL = "some stored, and the response does not name the others"
    UNKNOWN = "possibly stored"


@dataclass(slots=True, frozen=True)
class PostResult:
    """Outcome of one request.

    `rejected` maps the index of each row named in `errors` to Wicked's reason; the outcome is about the other rows.
    `in_doubt` does the same for rows that are named although the counts say that they are stored.
    """

    outcome: Outcome
    rejected: dict[int, str]
    reason: str = ""
    in_doubt: dict[int, str] = field(default_factory=dict)


def parse_response(status: int, body: bytes, rows: Sequence[Row]) -> PostResult:
    """Return the outcome of a response whose status is in class BODY_DECIDES.

    For a status other than 2xx and for UNKNOWN, `reason` does not quote the body: error texts can hold personal data.
    """
    if not 200 <= status < 300:
        return PostResult(Outcome.REJECTED, {}, f"Wicked Reports rejected the request with status {status}.")
    try:
        reply = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return _unknown(f"Wicked Reports returned {status} without JSON.")
    if not isinstance(reply, dict):
        return _unknown(f"Wicked Reports returned {status} without a receipt.")
    try:
        stored, total = _count(reply.get("records")), _count(reply.get("totalRecords"))
    except ValueError:
        return _unknown(f"Wicked Reports returned {status} with a count that is not a number.")
    if max(stored or 0, total or 0) > len(rows):
        return _unknown("Wicked Reports counts more rows than it was sent.")
    if stored is not None and total is not None and stored > total:
        return _unknown("Wicked Reports counts more rows stored than received.")
    if reply.get("errors"):
        return _parse_errors(reply, stored, rows)
    counts = {0} if stored == 0 else {len(rows), stored, total}
    yes, refused, doubtful = _reports_success(reply), _reports_error(reply), _is_doubtful(reply, counts)
    if refused and not yes and not stored:
        return PostResult(Outcome.REJECTED, {}, _reason(reply.get("message") or reply.get("error")))
    if refused or doubtful:
        what = "a response that contradicts itself" if yes or stored else "no receipt"
        return _unknown(f"Wicked Reports returned {status} with {what}.")
    if stored is not None and stored < max(total or 0, len(rows)):
        reason = "Wicked Reports stored fewer rows than it was sent and did not report which it rejected."
        return PostResult(Outcome.PARTIAL if stored else Outcome.REJECTED, {}, reason)
    if stored is not None or yes:
        return PostResult(Outcome.ACCEPTED, {})
    return _unknown(f"Wicked Reports returned {status} without a receipt.")


def _unknown(reason: str) -> PostResult:
    return PostResult(Outcome.UNKNOWN, {}, reason)


def _parse_errors(reply: dict[str, Any], stored: int | None, rows: Sequence[Row]) -> PostResult:
    """Return the outcome of a 2xx whose `errors` are not empty."""
    errors = reply["errors"]
    rejected = _match(errors, rows) if isinstance(errors, list) else None
    if rejected is None:
        reason = "Wicked Reports returned errors that match no row, or more than one."
        return PostResult(Outcome.PARTIAL if stored != 0 else Outcome.REJECTED, {}, reason)
    unnamed = len(rows) - len(rejected)
    if stored == len(rows):
        reason = "Wicked Reports counts all rows as stored, and returned an error for this one: "
        return PostResult(Outcome.ACCEPTED, {}, in_doubt={index: reason + text for index, text in rejected.items()})
    if stored is not None and stored > unnamed:
        return PostResult(Outcome.PARTIAL, {}, "Wicked Reports stored more rows than it returned no error for.")
    if stored is not None and stored < unnamed:
        reason = "Wicked Reports stored fewer rows than it returned no error for."
        return PostResult(Outcome.PARTIAL if stored else Outcome.REJECTED, {}, reason)
    yes, refused = _reports_success(reply), reply.get("success") is False or _has_error_status(reply)
    doubtful = _is_doubtful(reply, {unnamed})
    if (stored is not None and not refused) or not (unnamed or (yes and doubtful)):
        return PostResult(Outcome.ACCEPTED, rejected)
    if refused and not yes and not stored:
        return PostResult(Outcome.REJECTED, {}, _reason(reply.get("message") or reply.get("error")))
    if refused or reply.get("error") or doubtful:
        return PostResult(Outcome.PARTIAL, {}, "Wicked Reports returned a response that contradicts itself.")
    if yes:
        return PostResult(Outcome.ACCEPTED, rejected)
    return PostResult(Outcome.PARTIAL, rejected, "Wicked Reports did not report whether it stored this row.")


def _count(value: Any) -> int | None:
    """Return a count given as a number or as text; None if there is none. Raises ValueError for anything else."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = value.strip()
        if len(value) <= 18 and value.isascii() and value.isdigit():
            return int(value)
    elif (type(value) is int or (isinstance(value, float) and value.is_integer())) and value >= 0:
        return int(value)
    raise ValueError("not a count")


_YES = frozenset({"success", "successful", "successfully"})
#: What is no longer a plain yes next to one of these words.
_DOUBTFUL = re.compile(
    r"\b(?:no|not|non|none|nor|never|nothing|neither|without|un|false|zero|nil|\w+n't|cannot|unable|could|would|if|but"
    r"|however|although|except|only|some|partial\w*|incomplete|fail\w*|err|error\w*|exception\w*|fault\w*|reject\w*"
    r"|refus\w*|den(?:y|ied)|declin\w*|invalid\w*|forbid\w*|unauthori[sz]ed|exceed\w*|quota|suspend\w*|disabled"
    r"|blocked|expired|abort\w*|cancel\w*|roll(?:ed)? ?back|time[ds]? ?out|timeout|skip\w*|ignor\w*|drop\w*|discard\w*"
    r"|delet\w*|lost|loss|missing|unsuccessful\w*|unsaved|unstored|unprocess\w*|duplicat\w*|retry|warning\w*"
    r"|simulat\w*|dry ?run|less|fewer)\b"
)
_NO_ERRORS = re.compile(
    r"\b(?:no|0|zero|without(?: any)?) (?:errors?|failures?|warnings?|problems?|issues?|failed|rejected|skipped"
    r"|ignored)\b"
)
_ROWS = (
    r"(?:rows?|records?|items?|entries|entry|objects?|lines?|orders?|order ?items?|contacts?|products?|payments?"
    r"|order ?payments?|clicks?|marketing)"
)
_NUMBERS = re.compile(
    rf"\b(\d+)(?: \w+){{0,2}}? {_ROWS}\b"
    r"|\b(?:added|inserted|stored|saved|imported|created|accepted|processed|updated|received|records|rows) (\d+)\b"
    r"|\b(\d+) (?:of|out of|/) (?:\d+)\b|\b(0)\b(?! ?\.)"
)
_ERROR_KEY = re.compile(
    r"err(?:or|s?$)|exception|fault(?!y?$)|fail|reject|denied|invalid|refus|skip|ignor|discard|warn", re.I
)
_NOTHING = frozenset({"", "0", "none", "null", "false", "no error", "no errors"})
_LEVELS = 5
_TEXT_LENGTH = 2000


def _words(text: str) -> str:
    """Return a text as lowercase words, with `NotSuccessful` and `not_successful` taken apart; a long one is no yes."""
    text = text if len(text) <= _TEXT_LENGTH else "not"
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold().replace("\u2019", "'").replace(",", "")
    words = re.sub(r"[^\w'./]+|_", " ", text).replace("/", " / ").split()
    return _NO_ERRORS.sub(" ", " ".join(words))


def _texts(reply: dict[str, Any]) -> Iterator[str]:
    return (_words(text) for text in map(reply.get, ("success", "status", "message")) if isinstance(text, str))


def _reports_success(reply: dict[str, Any]) -> bool:
    """Return whether the body reports success in words ("Successfully ...", "success") or as `"success": true`."""
    if reply.get("success") is True:
        return True
    return any(not _YES.isdisjoint(re.findall(r"\w+", text)) and not _DOUBTFUL.search(text) for text in _texts(reply))


def _has_error_status(reply: dict[str, Any]) -> bool:
    return str(reply.get("status", "")).strip().lower() in ("error", "fail", "failed")


def _reports_error(reply: dict[str, Any]) -> bool:
    """Return whether the body reports that the whole request failed."""
    return _has_error_status(reply) or reply.get("success") is False or not _is_nothing(reply.get("error"))


def _is_doubtful(reply: dict[str, Any], counts: Collection[int | None]) -> bool:
    """Return whether something in the body keeps it from being a clear yes.

    That is a restricting word, a number of rows other than `counts`, an error status, or a filled field about errors,
    at any level. `error` and `errors` at the top are left to the caller.
    """
    for text in _texts(reply):
        if _DOUBTFUL.search(text):
            return True
        for found in _NUMBERS.findall(text):
            if any(len(number) > 9 or int(number) not in counts for number in found if number):
                return True
    for name in ("status", "code", "statusCode", "status_code"):
        number = str(reply.get(name, "")).strip()
        if number.isascii() and number.isdigit() and len(number) == 3 and not number.startswith("2"):
            return True
    return _has_trouble({name: value for name, value in reply.items() if name not in ("error", "errors")}, _LEVELS)


def _has_trouble(value: Any, levels: int) -> bool:
    if isinstance(value, list):
        return any(_has_trouble(each, levels) for each in value[:1000])
    if not isinstance(value, dict):
        return False
    if not levels:
        return True
    for name, each in value.items():
        if _ERROR_KEY.search(name) and not _is_nothing(each):
            return True
        if name.lower() in ("success", "ok") and each is False:
            return True
        if _has_trouble(each, levels - 1):
            return True
    return False


def _is_nothing(value: Any) -> bool:
    return not value or (isinstance(value, str) and value.strip().lower() in _NOTHING)


def _reason(value: Any) -> str:
    return str(value) if value else "Wicked Reports gave no reason."


def _match(errors: list[Any], rows: Sequence[Row]) -> dict[int, str] | None:
    """Map each error to the index of the row that its `item` echoes.

    Returns None if one echoes no row, or rows that differ: an echo may be partial, and would name the wrong one. Of
    rows with equal content, each error takes the next.
    """
    sent = [orjson.loads(row.body) for row in rows]
    by_id: dict[Any, list[int]] = {}
    for index, fields in enumerate(sent):
        by_id.setdefault(fields.get("SourceID"), []).append(index)
    rejected: dict[int, str] = {}
    found: dict[bytes, list[int]] = {}
    for error in errors:
        item = error.get("item") if isinstance(error, dict) else None
        if not isinstance(item, dict) or not item:
            return None
        echo = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        if echo not in found:
            if len(found) >= len(rows):
                return None
            found[echo] = _find_echoed(item, sent, by_id)
        matches = found[echo]
        if not matches or any(sent[index] != sent[matches[0]] for index in matches):
            return None
        first = next((index for index in matches if index not in rejected), None)
        if first is None:
            rejected[matches[0]] += f" {_reason(error.get('error'))}"  # one entry for each bad field of a row
        else:
            rejected[first] = _reason(error.get("error"))
    return rejected


def _find_echoed(item: dict[str, Any], sent: list[dict[str, Any]], by_id: dict[Any, list[int]]) -> list[int]:
    candidates: Sequence[int] = range(len(sent))
    has_id = item.get("SourceID") not in (None, "")
    if has_id:
        candidates = by_id.get(str(item["SourceID"]), [])
    matches = [index for index in candidates if _is_echo(item, sent[index])]
    if not matches and len(candidates) == 1 and has_id:
        return list(candidates)  # a server may normalize a row before it echoes it, but not its id
    return matches


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
