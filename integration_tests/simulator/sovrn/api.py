"""Sovrn Commerce's reports and campaigns (affiliate-facts B2 to B8), behind one key check and one pace.

All of its hosts are one here: paths are the vendor's own, unchanged. Reports share one call per 60 s, the campaigns
call has no limit. Status texts of the reports are made up: the vendor publishes none but "Invalid status value".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from .aggregates import GROUPINGS, aggregate
from .params import BadRequest, aggregate_filter, click_window, transactions_query
from .responses import BIG_DAY_ROWS, PackedReply, Stalled, json_reply, pack, wants_gzip
from .transactions import Wire

if TYPE_CHECKING:
    from ..world import World

REPORTS = "/v1/reports/"
TRANSACTIONS = f"{REPORTS}transactions"
CAMPAIGNS = "/api/account/campaigns/"
PATHS = (TRANSACTIONS, *(f"{REPORTS}{name}" for name in GROUPINGS), CAMPAIGNS + "{search}")
_BAD_SECRET = (
    "Authorization secret is missing or invalid. This can be found at https://publishers.viglink.com/account"
    " and can be sent as a parameter or Authorization header"
)


def answer(world: World, request: Request, _body: bytes) -> Response:
    """Check the key, then the pace, then the parameters."""
    path = request.url.path
    # the literal word and one space (B3); it is not Bearer, whatever the spec's `bearerAuth` suggests
    word, _space, key = request.headers.get("authorization", "").partition(" ")
    state = world.keys.state("sovrn", key) if word == "secret" else "unknown"
    if state == "unknown":
        return _bad_secret(request) if path.startswith(CAMPAIGNS) else _refusal(request, 401, "Unauthorized")
    if path.startswith(CAMPAIGNS):
        return _campaigns(world, request)
    if state == "plan_off":  # "API use needs an approved site" (B3); the answer is a [guess]
        return _refusal(request, 403, "Forbidden")
    return _paced(world, request, key, lambda: _report(world, request))


def _refusal(request: Request, status: int, message: str) -> Response:
    return json_reply(request, {"code": status, "message": message}, status)


def _bad_secret(request: Request) -> Response:
    error = {
        "reason": "invalidCredentials",
        "message": _BAD_SECRET,
        "locationType": "parameter",
        "location": "secret",
    }
    return json_reply(request, {"error": {"errors": [error]}, "code": 401, "message": _BAD_SECRET}, 401)


def _paced(world: World, request: Request, key: str, report: Callable[[], Response]) -> Response:
    """Let one call through per interval; "exceeding ... may result in your API key being blocked or throttled"."""
    pace, manner = world.sovrn_pace, world.switches["sovrn.over_limit"]
    scope = "" if world.switches["sovrn.pace_scope"] == "shared" else request.url.path
    if manner == "block_403" and pace.blocked(key):
        pace.refused += 1
        return _refusal(request, 403, "Forbidden")
    if pace.granted(key, scope, refusal_counts=world.switches["sovrn.refused_call"] == "restarts"):
        return report()
    pace.refused += 1
    if manner == "block_403":
        pace.block(key)
        return _refusal(request, 403, "Forbidden")
    if manner == "stall":

        def retry() -> Response | None:
            if not pace.granted(key, scope):
                return None
            world.advance()
            return report()

        return Stalled(retry)
    return _refusal(request, 429, "Too Many Requests")  # no Retry-After and no rate header is declared (B8)


def _report(world: World, request: Request) -> Response:
    try:
        if request.url.path == TRANSACTIONS:
            return _transactions(world, request)
        return _aggregate(world, request)
    except BadRequest as wrong:
        return _refusal(request, 400, str(wrong))


def wire_of(world: World) -> Wire:
    """Return how rows are to be written as the switches stand."""
    switches = world.switches
    return Wire(switches["sovrn.shape"], switches["sovrn.ids"], switches["sovrn.numbers"], switches["sovrn.day_zone"])


def _transactions(world: World, request: Request) -> Response:
    query, wire, store = transactions_query(request.query_params), wire_of(world), world.sovrn
    if (packed := store.packed(query, wire)) is not None:
        return PackedReply(packed, zipped=wants_gzip(request))
    rows = store.select(query, wire.zone)
    if not rows and world.switches["sovrn.empty_day"] == "404":
        return _refusal(request, 404, "Transaction data not found")
    if len(rows) >= BIG_DAY_ROWS:
        return PackedReply(store.keep(query, wire, pack(rows, wire)), zipped=wants_gzip(request))
    return json_reply(request, b'{"transactions":[' + b",".join(row.encoded(wire) for row in rows) + b"]}")


def _aggregate(world: World, request: Request) -> Response:
    name = request.url.path.removeprefix(REPORTS)
    start, end = click_window(request.query_params)
    wanted = aggregate_filter(request.query_params)
    zone = world.switches["sovrn.day_zone"]
    rows = [row for row in world.sovrn.clicked(start, end, zone) if wanted(row)]
    if not rows and world.switches["sovrn.empty_aggregate"] == "404":
        return _refusal(request, 404, f"{GROUPINGS[name].noun} data not found")
    spoiled = world.sovrn.seed if world.switches["sovrn.aggregates"] == "mismatch" else None
    return json_reply(request, aggregate(GROUPINGS[name], rows, zone, spoiled))


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdigit() or int(text) < 1:  # [guess]
        raise BadRequest(f"{name} must be a number from 1 on")
    return int(text)


def _campaigns(world: World, request: Request) -> Response:
    """List the sites: by id, by a part of the name, or all of them for PRIMARY (B2; [spec])."""
    try:
        page, size = _number(request, "page", 1), _number(request, "rowsPerPage", 100)
    except BadRequest as wrong:
        return _refusal(request, 400, str(wrong))
    if request.query_params.get("format", "json") != "json":
        return _refusal(request, 400, "this simulator writes json only")
    search = request.path_params["search"].lower()
    # the vendor's example of the default, PRIMARY, lists two sites; that it names only the first is the other reading
    everything = search == "primary" and world.switches["sovrn.primary"] == "all"
    rows: list[Any] = [
        campaign.row()
        for campaign in world.sovrn.campaigns.values()
        if everything or search == str(campaign.campaign_id) or search in campaign.name.lower()
    ]
    return json_reply(request, {"campaigns": rows[(page - 1) * size : page * size]})
