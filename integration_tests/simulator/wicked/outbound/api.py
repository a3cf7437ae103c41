"""Wicked's synchronous outbound API (wicked-facts 5, 8.1): contacts, orders and clicks by date, and of one contact."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from ..responses import error, json_response
from .cursors import Cursor
from .params import MAX_LIMIT, BadRequest, ListQuery, list_query
from .serializer import Wire
from .snapshot import RESOURCES, Book, Contact, Record

if TYPE_CHECKING:
    from ...world import World

PATHS = ("/contacts", "/clicks", "/orders", "/contacts/{rest:path}")
#: "The first 10,000 clicks of a single contact will be returned" (S1); of other lists a [guess].
MOST_ROWS = 10_000
BAD_REQUEST = "There was some problem with your request. You should review the parameters and try again."
_BY_CONTACT = ("clicks", "orders")


def _refused(world: World, request: Request) -> Response | None:
    state = world.keys.state("wicked", request.headers.get("apikey", ""))
    if state == "accepted":
        return None
    if state in ("plan_off", "outbound_off") or world.switches["wicked.key_refused"] == "plan_403":
        return error("Outbound API not enabled for client.", 401)
    if world.switches["wicked.key_refused"] == "unauthorized_401":
        return error("Unauthorized", 401)
    return json_response({"message": "Forbidden"}, 403)  # as the inbound side [guess]


def answer(world: World, request: Request, _body: bytes) -> Response:
    """Check the key and the pace, then answer one question."""
    refusal = _refused(world, request)
    if refusal is not None:
        return refusal
    served, headers = world.outbound.throttle.hit(request.headers["apikey"], world.switches)
    if not served:
        response = error("Too many requests.", 429)  # the body is a [guess]
    else:
        try:
            response = _answer(world, request)
        except BadRequest as wrong:
            world.outbound.complaints.append(str(wrong))
            response = error(BAD_REQUEST)
    response.headers.update(headers)
    return response


def _path(request: Request) -> list[str]:
    """Split the path before it is decoded: an id may have a slash in it, as %2F."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return [unquote(part) for part in raw.decode("ascii").split("?")[0].strip("/").split("/")]


def _answer(world: World, request: Request) -> Response:
    parts, book = _path(request), world.outbound.book()
    parameters = dict(request.query_params)
    if len(parts) == 1:
        return _list(world, list_query(parts[0], None, parameters, world.switches), parameters, None)
    name, of = parts[1], parts[2:]
    if len(of) > 1 or (of and of[0] not in _BY_CONTACT):
        return json_response({"message": "Not Found"}, 404)
    contact = book.find(name)
    if not of:
        if contact is None:
            return _unknown(name)
        return json_response({"status": "success", "result": Wire(book, world.switches).rendered(contact)})
    query = list_query(of[0], name, parameters, world.switches)
    how = world.switches["outbound.unknown_contact"]
    if contact is None and how == "404":
        return _unknown(name)
    if contact is None and how == "400":
        raise BadRequest("no such contact")
    return _list(world, query, parameters, contact)


def _unknown(name: str) -> Response:
    return error(f"Contact with id {name} not found.", 404)


def select(world: World, query: ListQuery) -> list[Record]:
    """Return all rows of a list as they stand now, in the order of the pages."""
    book, (start, end) = world.outbound.book(), query.span
    if query.contact is None:
        rows = book.within(query.kind, start, end)
    else:
        contact = book.find(query.contact)
        own: list[Any] = [] if contact is None else getattr(contact, query.kind)
        rows = [record for record in own if start <= record.at < end]
    if world.switches["outbound.nobody"] == "hidden" and query.kind == "orders":
        rows = [record for record in rows if getattr(record, "contact", None) is not None]
    rows = _ordered(rows, world.switches["outbound.order"], world.outbound.pages_served)
    if query.unbounded or world.switches["outbound.most_rows"] == "cut_at_10000":
        rows = rows[:MOST_ROWS]
    return rows


def _ordered(rows: list[Record], how: str, request: int) -> list[Record]:
    if how == "date":
        return rows
    if how == "date_desc":
        return rows[::-1]
    if how == "id":
        return sorted(rows, key=lambda record: record.place)
    if how == "unordered":
        return sorted(rows, key=lambda record: _scattered(record.place))
    return sorted(rows, key=lambda record: (record.at, _scattered(record.place + 7919 * request)))


def _scattered(number: int) -> bytes:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).digest()


def _list(world: World, query: ListQuery, parameters: dict[str, str], contact: Contact | None) -> Response:
    outbound, switches = world.outbound, world.switches
    token = parameters.get("next") or None
    cursor = Cursor(query, 1) if token is None else outbound.cursors.find(token, query)
    if cursor is None:
        raise BadRequest("next is of no reading of this list")
    page = cursor.page
    outbound.mutations.before_page(query, page)
    rows = cursor.rows if cursor.rows is not None else select(world, query)
    if switches["outbound.pages"] == "snapshot":
        cursor.rows = rows
    shown = outbound.mutations.page_instead(query, page)
    content, number = shown if shown is not None else (page, page)
    past = (content - 1) * query.limit >= MOST_ROWS
    if past and switches["outbound.most_rows"] == "refuse_past_10000":
        raise BadRequest(f"past the {MOST_ROWS}th row")
    served = rows[(content - 1) * query.limit : content * query.limit]
    outbound.pages_served += 1
    following = Cursor(query, content + 1, cursor.rows)
    if switches["outbound.next"] == "constant":
        cursor.page = following.page
        token = token or outbound.cursors.open(cursor, switches["outbound.next_look"])
    else:
        token = outbound.cursors.open(following, switches["outbound.next_look"])
    body = _envelope(world, served, number, len(rows), query.limit, token, of_contact=contact is not None)
    outbound.mutations.after_page(query, page)
    return json_response(body)


def _envelope(
    world: World, served: list[Record], page: int, total: int, limit: int, token: str, *, of_contact: bool
) -> dict[str, Any]:
    switches, wire = world.switches, Wire(world.outbound.book(), world.switches)
    results = [wire.rendered(record, of_contact=of_contact) for record in served]
    if switches["outbound.most_rows"] == "says_10000":
        total = min(total, MOST_ROWS)
    pages = -(-total // limit)
    body: dict[str, Any] = {"status": "success", "results": results, "page": page, "totalPages": pages, "total": total}
    last = page >= pages
    if not total:
        body["totalPages"] = 1 if switches["outbound.empty"] == "one_page" else 0
        return body if switches["outbound.empty"] == "one_page" else {**body, "next": ""}
    how = switches["outbound.next_at_end"] if last else "present"
    if how != "missing":
        body["next"] = {"present": token, "null": None, "empty": ""}[how]
    return body


def everything(world: World, kind: str) -> list[dict[str, Any]]:
    """Return every visible row of one kind as the wire would carry it, oldest first."""
    if kind not in RESOURCES:
        raise ValueError(f"kind is one of {', '.join(RESOURCES)}")
    book: Book = world.outbound.book()
    wire = Wire(book, world.switches)
    return [wire.rendered(record) for record in book.records(kind)]


__all__ = ["MAX_LIMIT", "PATHS", "answer", "everything", "select"]
