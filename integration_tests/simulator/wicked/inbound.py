"""Wicked Reports' inbound API (docs/vendors/wicked-reports.md 2, 8.1): seven POST endpoints and GET /latest."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .latest import latest
from .responses import error, json_response
from .state import Wicked
from .store import ENDPOINTS, WickedStore
from .validation import RowValidator

MAX_ROWS = 1000
#: "1,000 rows per request (10MB)"; the SDK counts 10,000,000 characters, bytes are the stricter reading (2.1)
MAX_BYTES = 10_000_000
PATHS = tuple(f"/{endpoint}" for endpoint in ENDPOINTS)


def _refused(state: Wicked, request: Request) -> Response | None:
    access = state.keys.state("wicked", request.headers.get("apikey", ""))
    if access in ("accepted", "outbound_off"):
        return None
    refusal = "plan_403" if access == "plan_off" else state.switches["wicked.key_refused"]
    if refusal == "plan_403":
        return error("Inbound API not enabled for client.", 403)
    if refusal == "unauthorized_401":
        return error("Unauthorized", 401)
    return json_response({"message": "Forbidden"}, 403)  # the wording of an AWS API Gateway [guess]


def answer(state: Wicked, request: Request, body: bytes) -> Response:
    """Check the key and the test header, then store the rows or answer GET /latest."""
    refusal = _refused(state, request)
    if refusal is not None:
        return refusal
    test = request.headers.get("test", "0")
    if test not in ("0", "1"):  # "accepts only 2 values: 0 or 1" [seed]; the response to others is a [guess]
        return error("The test header accepts only 0 or 1.")
    store = state.store(test=test == "1")
    if request.method == "GET":
        try:
            return json_response(latest(store, dict(request.query_params), state.switches["wicked.latest_max"]))
        except ValueError as invalid:  # [guess]
            return error(str(invalid))
    return _store_rows(state, store, request.url.path.strip("/"), request, body)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")


def parse_rows(body: bytes) -> Any:
    """Decode a body with exact decimals; `NaN` and `Infinity` are not valid JSON."""
    return json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)


def _store_rows(state: Wicked, store: WickedStore, endpoint: str, request: Request, body: bytes) -> Response:
    switches = state.switches
    if len(body) > MAX_BYTES:
        return error("Request body is larger than 10MB.", int(switches["wicked.body_size"]))
    if not request.headers.get("content-type", "").startswith("application/json"):  # [guess]
        return error("Content-Type must be application/json.", 415)
    try:
        rows = parse_rows(body)
    except ValueError:
        return error("The body is not JSON.")
    if isinstance(rows, dict) and switches["wicked.bare_object"] == "accept":
        rows = [rows]
    if not isinstance(rows, list):
        return error("The body must be an array.")
    if not 1 <= len(rows) <= MAX_ROWS:
        return error(f"The body must have 1 to {MAX_ROWS} rows.", int(switches["wicked.row_count"]))
    validator = RowValidator(switches)
    problems = [validator.problem(endpoint, row) for row in rows]
    errors = [
        {"error": problem, "item": row} for problem, row in zip(problems, rows, strict=True) if problem is not None
    ]
    if errors and switches["wicked.bad_row"] == "whole_request":
        store.counters[f"{endpoint}.refused_with_request"] += len(rows)
        return error(str(errors[0]["error"]), errors=errors)
    for problem, row in zip(problems, rows, strict=True):
        if problem is None:
            problem = store.add(endpoint, row, switches)
            if problem is not None:
                errors.append({"error": problem, "item": row})
    store.counters[f"{endpoint}.rejected"] += len(errors)
    return _success(endpoint, len(rows), errors, full=switches["wicked.success_reply"] == "full")


def _success(endpoint: str, total: int, errors: list[dict[str, Any]], *, full: bool) -> Response:
    """Return a 200; refused rows are listed even if the response is otherwise the short one."""
    body: dict[str, Any] = {"success": f"Successfully added {total - len(errors)} {endpoint}."}
    if full or errors:
        body |= {"records": total - len(errors), "totalRecords": total, "errors": errors}
    return json_response(body)
