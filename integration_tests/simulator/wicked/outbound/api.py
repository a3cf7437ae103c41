"""Wicked Reports' outbound API (docs/vendors/wicked-reports.md 5, 8.1): contacts, orders, clicks by date or contact."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from ..responses import error, json_response
from .cursors import Cursor
from .params import BadRequestError, ListQuery, list_query
from .serializer import Serializer
from .snapshot import RESOURCES, Contact, Record
from .state import MAX_ROWS, Outbound

PATHS = ("/contacts", "/clicks", "/orders", "/contacts/{rest:path}")
BAD_REQUEST = "There was some problem with your request. You should review the parameters and try again."
_BY_CONTACT = ("clicks", "orders")


def _refused(state: Outbound, request: Request) -> Response | None:
    access = state.keys.state("wicked", request.headers.get("apikey", ""))
    if access == "accepted":
        return None
    if access in ("plan_off", "outbound_off") or state.switches["wicked.key_refused"] == "plan_403":
        return error("Outbound API not enabled for client.", 401)
    if state.switches["wicked.key_refused"] == "unauthorized_401":
        return error("Unauthorized", 401)
    return json_response({"message": "Forbidden"}, 403)  # as the inbound side [guess]


def answer(state: Outbound, request: Request, _body: bytes) -> Response:
    """Check the key and the throttle, then answer."""
    refusal = _refused(state, request)
    if refusal is not None:
        return refusal
    served, headers = state.throttle.hit(request.headers["apikey"], state.switches)
    if not served:
        response = error("Too many requests.", 429)  # the body is a [guess]
    else:
        try:
            response = _answer(state, request)
        except BadRequestError as invalid:
            state.bad_requests.append(str(invalid))
            response = error(BAD_REQUEST)
    response.headers.update(headers)
    return response


def _path(request: Request) -> list[str]:
    """Split the path before decoding it, since an id may contain a slash as %2F."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return [unquote(part) for part in raw.decode("ascii").split("?")[0].strip("/").split("/")]


def _answer(state: Outbound, request: Request) -> Response:
    parts, snapshot = _path(request), state.snapshot()
    parameters = dict(request.query_params)
    if len(parts) == 1:
        return _list(state, list_query(parts[0], None, parameters, state.switches), parameters, None)
    name, rest = parts[1], parts[2:]
    if len(rest) > 1 or (rest and rest[0] not in _BY_CONTACT):
        return json_response({"message": "Not Found"}, 404)
    contact = snapshot.find(name)
    if not rest:
        if contact is None:
            return _unknown(name)
        return json_response({"status": "success", "result": Serializer(snapshot, state.switches).serialize(contact)})
    query = list_query(rest[0], name, parameters, state.switches)
    unknown_contact = state.switches["outbound.unknown_contact"]
    if contact is None and unknown_contact == "404":
        return _unknown(name)
    if contact is None and unknown_contact == "400":
        raise BadRequestError("no such contact")
    return _list(state, query, parameters, contact)


def _unknown(name: str) -> Response:
    return error(f"Contact with id {name} not found.", 404)


def _list(state: Outbound, query: ListQuery, parameters: dict[str, str], contact: Contact | None) -> Response:
    switches = state.switches
    token = parameters.get("next") or None
    cursor = Cursor(query, 1) if token is None else state.cursors.find(token, query)
    if cursor is None:
        raise BadRequestError("next does not belong to this list")
    page = cursor.page
    state.mutations.before_page(query, page)
    rows = cursor.rows if cursor.rows is not None else state.select(query)
    if switches["outbound.pages"] == "snapshot":
        cursor.rows = rows
    replacement = state.mutations.page_instead(query, page)
    content, number = replacement if replacement is not None else (page, page)
    past = (content - 1) * query.limit >= MAX_ROWS
    if past and switches["outbound.most_rows"] == "refuse_past_10000":
        raise BadRequestError(f"past the {MAX_ROWS}th row")
    served = rows[(content - 1) * query.limit : content * query.limit]
    state.pages_served += 1
    following = Cursor(query, content + 1, cursor.rows)
    if switches["outbound.next"] == "constant":
        cursor.page = following.page
        token = token or state.cursors.open(cursor, switches["outbound.next_look"])
    else:
        token = state.cursors.open(following, switches["outbound.next_look"])
    body = _envelope(state, served, number, len(rows), query.limit, token, of_contact=contact is not None)
    state.mutations.after_page(query, page)
    return json_response(body)


def _envelope(
    state: Outbound, served: list[Record], page: int, total: int, limit: int, token: str, *, of_contact: bool
) -> dict[str, Any]:
    switches, serializer = state.switches, Serializer(state.snapshot(), state.switches)
    results = [serializer.serialize(record, of_contact=of_contact) for record in served]
    if switches["outbound.most_rows"] == "says_10000":
        total = min(total, MAX_ROWS)
    pages = -(-total // limit)
    body: dict[str, Any] = {"status": "success", "results": results, "page": page, "totalPages": pages, "total": total}
    last = page >= pages
    if not total:
        body["totalPages"] = 1 if switches["outbound.empty"] == "one_page" else 0
        return body if switches["outbound.empty"] == "one_page" else {**body, "next": ""}
    at_end = switches["outbound.next_at_end"] if last else "present"
    if at_end != "missing":
        body["next"] = {"present": token, "null": None, "empty": ""}[at_end]
    return body


def all_rows(state: Outbound, kind: str) -> list[dict[str, Any]]:
    """Return every visible row of one kind as served, oldest first."""
    if kind not in RESOURCES:
        raise ValueError(f"kind is one of {', '.join(RESOURCES)}")
    snapshot = state.snapshot()
    serializer = Serializer(snapshot, state.switches)
    return [serializer.serialize(record) for record in snapshot.records(kind)]
