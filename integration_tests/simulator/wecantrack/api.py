"""wecantrack's API (docs/vendors/wecantrack.md A2 to A10): five GET endpoints behind one key check."""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from .laravel import Paginator, PhpQuery, page_number, parse_query, validation_body
from .params import MAX_LIMIT, TransactionParameters
from .state import Wecantrack
from .store import Query
from .throttle import Allowance

TRANSACTIONS = "/api/v3/transactions"
HTML_PAGE = "<!DOCTYPE html><html><head><title>wecantrack (simulated)</title></head><body>Log in</body></html>"
_CLICKS_PER_SALE = 30  # [guess]; makes the aggregation's numbers plausible
_GROUPS = ("networks", "network_accounts", *(f"custom_index_{n}" for n in range(1, 6)))


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer as Laravel's JSON responses do."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(content, status, {"Cache-Control": "no-cache, private", **(headers or {})}, "application/json")


def answer(state: Wecantrack, request: Request, _body: bytes) -> Response:
    """Check the key, the throttle and the plan, in the order of Laravel's middleware, then answer."""
    path = request.url.path
    query = parse_query(request.url.query)
    key = request.headers.get("x-api-key")
    if key is None and state.switches["wecantrack.key_in"] == "header_or_query":
        key = str(query.get("api_key", ""))
    access = state.keys.state("wecantrack", key or "")
    if access == "unknown":
        laravel = state.switches["wecantrack.unauthorised_body"] == "laravel"
        return json_response({"message": "Unauthenticated."} if laravel else {"error": "Unauthorised"}, 401)
    allowance = state.throttle.hit(key or "", path)
    if allowance.retry_after is not None:
        return _too_many(state, allowance)
    if access == "plan_off":  # [guess]: the feature "Reporting API & Webhook" is off (A8)
        response = json_response({"message": "This action is unauthorized."}, 403)
    else:
        response = _ENDPOINTS[path](state, request, query)
    response.headers["X-RateLimit-Limit"] = str(allowance.limit)
    response.headers["X-RateLimit-Remaining"] = str(allowance.remaining)
    return response


def _too_many(state: Wecantrack, allowance: Allowance) -> Response:
    assert allowance.retry_after is not None
    now = state.clock.second() if state.switches["wecantrack.throttle_reset"] == "simulated" else int(time.time())
    headers = {
        "X-RateLimit-Limit": str(allowance.limit),
        "X-RateLimit-Remaining": "0",
        "Retry-After": str(allowance.retry_after),
        "X-RateLimit-Reset": str(now + allowance.retry_after),
    }
    if state.switches["wecantrack.throttle_headers"] == "no_retry_after":
        del headers["Retry-After"]
    elif state.switches["wecantrack.throttle_headers"] == "none":
        headers = {}
    if state.switches["wecantrack.throttle_body"] == "html":
        return HTMLResponse("<!DOCTYPE html><html><body>429 | Too Many Requests</body></html>", 429, headers)
    return json_response({"message": "Too Many Attempts."}, 429, headers)


def _invalid(request: Request, errors: dict[str, list[str]]) -> Response:
    """Answer 422, or redirect a client that does not accept JSON to a page, as stock Laravel does (A8)."""
    first = request.headers.get("accept", "").split(",")[0]
    if "/json" in first or "+json" in first:
        return json_response(validation_body(errors), 422)
    return RedirectResponse(f"{str(request.base_url).rstrip('/')}/", 302)


def _transactions(state: Wecantrack, request: Request, query: PhpQuery) -> Response:
    parameters = TransactionParameters(query, state.switches)
    if parameters.errors:
        return _invalid(request, parameters.errors)
    accounts = None
    if parameters.network_id is not None or parameters.account_id is not None or parameters.tags:
        accounts = state.accounts.matching_ids(
            network_id=parameters.network_id, account_id=parameters.account_id, tags=parameters.tags
        )
    exclusive = state.switches["wecantrack.bounds"] == "end_exclusive"
    page = page_number(query.get("page"))
    wanted = Query(
        parameters.date_type,
        parameters.start,
        parameters.end - exclusive,
        parameters.statuses,
        accounts,
        parameters.website_id,
        state.switches["wecantrack.order"],
    )
    store = state.transactions
    state.mutations.before_page(wanted, page, parameters.limit)
    rows = store.select(wanted)  # counted again on every request: `total` can change between two pages (A4)
    first = (page - 1) * parameters.limit
    paginator = Paginator(
        path=str(request.url.replace(query=None)),
        parameters=query,
        page=page,
        per_page=parameters.limit,
        total=len(rows),
        links=state.switches["wecantrack.links"],
    )
    body = paginator.body([store.transactions[row].encoded() for row in rows[first : first + parameters.limit]])
    state.mutations.after_page(wanted, page, parameters.limit)
    return json_response(body)


def _network_accounts(state: Wecantrack, request: Request, query: PhpQuery) -> Response:
    ids = query.get("ids", {})
    if isinstance(ids, str):
        return _invalid(request, {"ids": ["The ids field must be an array."]})
    wanted = set(ids.values())
    rows = [account.row() for account in state.accounts.by_id.values() if not wanted or str(account.id) in wanted]
    return json_response(rows)


def _networks(state: Wecantrack, _request: Request, _query: PhpQuery) -> Response:
    return json_response([{"id": slug, "name": name} for slug, name in state.accounts.networks.items()])


def _websites(state: Wecantrack, _request: Request, query: PhpQuery) -> Response:
    rows = [{"id": site.id, "url": site.url, "active": site.active} for site in state.accounts.websites.values()]
    wanted_id, wanted_url = query.get("id"), query.get("url")
    return json_response([
        row for row in rows if wanted_id in (None, str(row["id"])) and wanted_url in (None, row["url"])
    ])  # fmt: skip


def _clicks_aggregation(state: Wecantrack, request: Request, query: PhpQuery) -> Response:
    """Aggregate the last N clicks as a bare array (A10), at a constant number of clicks per sale [guess]."""
    last_clicks = str(query.get("last_clicks", ""))
    if not last_clicks.isdigit() or not 1 <= int(last_clicks) <= 75000:
        required = "last_clicks" not in query
        rule = "field is required." if required else "field must be an integer between 1 and 75000."
        return _invalid(request, {"last_clicks": [f"The last clicks {rule}"]})
    groups = str(query.get("group_by", "networks")).split(",")
    if unknown := [group for group in groups if group not in _GROUPS]:
        return _invalid(request, {"group_by": [f"The selected group by is invalid: {unknown[0]}."]})
    limit = str(query.get("limit", MAX_LIMIT))
    if not limit.isdigit() or not 1 <= int(limit) <= MAX_LIMIT:
        return _invalid(request, {"limit": [f"The limit field must be an integer between 1 and {MAX_LIMIT}."]})
    rows = _aggregate(state, int(last_clicks), groups, query)
    order_by = {"clicks": "clicks", "sales": "sales"}.get(str(query.get("order_by")), "total_commission_EUR")
    rows.sort(key=lambda row: row[order_by], reverse=query.get("order_direction") != "asc")
    first = (page_number(query.get("page")) - 1) * int(limit)
    return json_response(rows[first : first + int(limit)])


def _aggregate(state: Wecantrack, last_clicks: int, groups: list[str], query: PhpQuery) -> list[dict[str, Any]]:
    accounts = state.accounts.by_id
    networks = set(str(query["networks"]).split(",")) if "networks" in query else None
    wanted = set(str(query["network_accounts"]).split(",")) if "network_accounts" in query else None
    sales: Counter[tuple[Any, ...]] = Counter()
    euros: dict[tuple[Any, ...], Decimal] = {}
    visible = [row for row in state.transactions.transactions if row.current is not None]
    visible.sort(key=lambda row: row.clicked_at or row.ordered_at, reverse=True)
    for row in visible[: max(1, last_clicks // _CLICKS_PER_SALE)]:
        network_id = accounts[row.account_id].network_id
        if (networks and network_id not in networks) or (wanted and str(row.account_id) not in wanted):
            continue
        values = {"networks": network_id, "network_accounts": row.account_id}
        group = tuple(values.get(name) for name in groups)
        sales[group] += 1
        assert row.current is not None
        euros[group] = euros.get(group, Decimal(0)) + Decimal(row.current.commission_amount_euro)
    return [
        {
            "total_commission_USD": float(round(euros[group] * Decimal("1.09"), 2)),
            "total_commission_EUR": float(euros[group]),
            **dict(zip(groups, group, strict=True)),
            "clicks": count * _CLICKS_PER_SALE,
            "sales": count,
        }
        for group, count in sales.items()
    ]


_ENDPOINTS = {
    TRANSACTIONS: _transactions,
    "/api/v2/network_accounts": _network_accounts,
    "/api/v2/networks": _networks,
    "/api/v1/websites": _websites,
    "/api/v2/clicks/aggregation": _clicks_aggregation,
}
PATHS = tuple(_ENDPOINTS)
