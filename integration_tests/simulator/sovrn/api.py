"""Sovrn Commerce's reports and campaigns (docs/vendors/sovrn.md B2 to B8) behind one key check and one throttle.

One base URL stands for all of its hosts, with the vendor's paths. Reports share one call per 60 s, the campaigns call
has no limit. Error texts are invented: the vendor publishes only "Invalid status value".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from .aggregates import GROUPINGS, aggregate
from .params import BadRequestError, aggregate_filter, click_window, transactions_query
from .responses import BIG_DAY_ROWS, CompressedResponse, StalledResponse, compress, json_response, wants_gzip
from .state import Sovrn

REPORTS = "/v1/reports/"
TRANSACTIONS = f"{REPORTS}transactions"
CAMPAIGNS = "/api/account/campaigns/"
PATHS = (TRANSACTIONS, *(f"{REPORTS}{name}" for name in GROUPINGS), CAMPAIGNS + "{search}")
_BAD_SECRET = (
    "Authorization secret is missing or invalid. This can be found at https://publishers.viglink.com/account"
    " and can be sent as a parameter or Authorization header"
)


def answer(state: Sovrn, request: Request, _body: bytes) -> Response:
    """Check the key, then the throttle, then the parameters."""
    path = request.url.path
    # the literal word `secret` and one space (B3), not Bearer as the spec's `bearerAuth` suggests
    word, _space, key = request.headers.get("authorization", "").partition(" ")
    access = state.keys.state("sovrn", key) if word == "secret" else "unknown"
    if access == "unknown":
        return _bad_secret(request) if path.startswith(CAMPAIGNS) else _refusal(request, 401, "Unauthorized")
    if path.startswith(CAMPAIGNS):
        return _campaigns(state, request)
    if access == "plan_off":  # "API use needs an approved site" (B3); the response is a [guess]
        return _refusal(request, 403, "Forbidden")
    return _throttled(state, request, key, lambda: _report(state, request))


def _refusal(request: Request, status: int, message: str) -> Response:
    return json_response(request, {"code": status, "message": message}, status)


def _bad_secret(request: Request) -> Response:
    error = {
        "reason": "invalidCredentials",
        "message": _BAD_SECRET,
        "locationType": "parameter",
        "location": "secret",
    }
    return json_response(request, {"error": {"errors": [error]}, "code": 401, "message": _BAD_SECRET}, 401)


def _throttled(state: Sovrn, request: Request, key: str, report: Callable[[], Response]) -> Response:
    """Allow one call per interval; "exceeding ... may result in your API key being blocked or throttled" (B8)."""
    throttle, over_limit = state.throttle, state.switches["sovrn.over_limit"]
    scope = "" if state.switches["sovrn.pace_scope"] == "shared" else request.url.path
    if over_limit == "block_403" and throttle.blocked(key):
        throttle.refused += 1
        return _refusal(request, 403, "Forbidden")
    if throttle.allow(key, scope, refusal_counts=state.switches["sovrn.refused_call"] == "restarts"):
        return report()
    throttle.refused += 1
    if over_limit == "block_403":
        throttle.block(key)
        return _refusal(request, 403, "Forbidden")
    if over_limit == "stall":

        def retry() -> Response | None:
            if not throttle.allow(key, scope):
                return None
            state.advance()
            return report()

        return StalledResponse(retry)
    return _refusal(request, 429, "Too Many Requests")  # no Retry-After and no rate header is declared (B8)


def _report(state: Sovrn, request: Request) -> Response:
    try:
        if request.url.path == TRANSACTIONS:
            return _transactions(state, request)
        return _aggregate(state, request)
    except BadRequestError as error:
        return _refusal(request, 400, str(error))


def _transactions(state: Sovrn, request: Request) -> Response:
    query, row_format, store = transactions_query(request.query_params), state.row_format, state.store
    if (cached := store.cached(query, row_format)) is not None:
        return CompressedResponse(cached, gzipped=wants_gzip(request))
    rows = store.select(query, row_format.zone)
    if not rows and state.switches["sovrn.empty_day"] == "404":
        return _refusal(request, 404, "Transaction data not found")
    if len(rows) >= BIG_DAY_ROWS:
        body = store.cache(query, row_format, compress(rows, row_format))
        return CompressedResponse(body, gzipped=wants_gzip(request))
    return json_response(request, b'{"transactions":[' + b",".join(row.encoded(row_format) for row in rows) + b"]}")


def _aggregate(state: Sovrn, request: Request) -> Response:
    name = request.url.path.removeprefix(REPORTS)
    start, end = click_window(request.query_params)
    wanted = aggregate_filter(request.query_params)
    zone = state.switches["sovrn.day_zone"]
    rows = [row for row in state.store.clicked(start, end, zone) if wanted(row)]
    if not rows and state.switches["sovrn.empty_aggregate"] == "404":
        return _refusal(request, 404, f"{GROUPINGS[name].noun} data not found")
    mismatch_seed = state.store.seed if state.switches["sovrn.aggregates"] == "mismatch" else None
    return json_response(request, aggregate(GROUPINGS[name], rows, zone, mismatch_seed))


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdigit() or int(text) < 1:  # [guess]
        raise BadRequestError(f"{name} must be a number from 1 on")
    return int(text)


def _campaigns(state: Sovrn, request: Request) -> Response:
    """List the sites by id, by a part of the name, or all of them for PRIMARY (B2; [spec])."""
    try:
        page, size = _number(request, "page", 1), _number(request, "rowsPerPage", 100)
    except BadRequestError as error:
        return _refusal(request, 400, str(error))
    if request.query_params.get("format", "json") != "json":
        return _refusal(request, 400, "this simulator writes json only")
    search = request.path_params["search"].lower()
    # the vendor's example of the default, PRIMARY, lists two sites; it may also stand for the site of that name
    everything = search == "primary" and state.switches["sovrn.primary"] == "all"
    rows: list[Any] = [
        campaign.row()
        for campaign in state.store.campaigns.values()
        if everything or search == str(campaign.campaign_id) or search in campaign.name.lower()
    ]
    total = {"exact": len(rows), "too_low": max(len(rows) - 1, 0), "too_high": len(rows) + 1}
    body: dict[str, Any] = {
        "queryProfile": {"page": page, "rowsPerPage": size, "name": request.path_params["search"]},
        "campaigns": rows[(page - 1) * size : page * size],
    }
    if (how := state.switches["sovrn.total_results"]) != "missing":
        body["totalResults"] = total[how]
    if state.switches["sovrn.jsonp"] == "on":  # with the content type of JSON (H1)
        return json_response(request, b"NULL(" + orjson.dumps(body) + b")")
    return json_response(request, body)
