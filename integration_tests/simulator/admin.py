"""The admin API under /_sim/, without a key: how tests and the demo move the simulated world."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .clock import iso, parse_instant
from .faults import Fault
from .wecantrack import editing, oracle
from .wecantrack.mutations import Mutation
from .wecantrack.scenario import ScenarioSettings, build_scenario
from .wicked.store import ENDPOINTS
from .world import PARTS, World

Body = dict[str, Any]
Handler = Callable[[Request, Body], Any]


def _reply(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body, default=str), status, media_type="application/json")


class Admin:
    """One method per path and verb; a bad call is answered with 400 and the reason."""

    def __init__(self, world: World) -> None:
        self._world = world

    def index(self, _request: Request, _body: Body) -> Any:
        """Say what this is."""
        what = "a local simulator for tests; not wecantrack, not Sovrn, not Wicked Reports"
        return {"what": what, "admin": sorted(ADMIN)}

    def get_clock(self, _request: Request, _body: Body) -> Any:
        """Tell the time."""
        clock = self._world.clock
        return {"now": iso(clock.now()), "epoch": clock.now(), "frozen": clock.frozen}

    def post_clock(self, request: Request, body: Body) -> Any:
        """Freeze, set and move the clock, in this order."""
        clock = self._world.clock
        if "frozen" in body:
            (clock.freeze if body["frozen"] else clock.thaw)()
        if "now" in body:
            clock.set(parse_instant(body["now"]))
        clock.move(body.get("seconds", 0) + 86400 * body.get("days", 0))
        return self.get_clock(request, body)

    def get_switches(self, _request: Request, _body: Body) -> Any:
        """Show the position of every switch."""
        return dict(self._world.switches)

    def post_switches(self, _request: Request, body: Body) -> Any:
        """Turn the named switches."""
        for name, value in body.items():
            self._world.switches.set(name, value)
        return dict(self._world.switches)

    def get_faults(self, _request: Request, _body: Body) -> Any:
        """List the faults that are set, with how often each was seen and has struck."""
        return [fault.shown() for fault in self._world.faults.faults]

    def post_faults(self, _request: Request, body: Body) -> Any:
        """Set one fault."""
        fault = Fault(**body)
        self._world.faults.set(fault)
        return fault.shown()

    def delete_faults(self, _request: Request, _body: Body) -> Any:
        """Remove every fault; a request that hangs goes on hanging."""
        self._world.faults.reset()
        return []

    def get_mutations(self, _request: Request, _body: Body) -> Any:
        """Show what changes between pages are scheduled, and which were made."""
        mutations = self._world.mutations
        return {"scheduled": [dict(vars(mutation)) for mutation in mutations.scheduled], "journal": mutations.journal}

    def post_mutations(self, request: Request, body: Body) -> Any:
        """Schedule one change between pages."""
        body["rows"] = tuple((int(account), str(key)) for account, key in body.get("rows", ()))
        self._world.mutations.schedule(Mutation(**body))
        return self.get_mutations(request, body)

    def delete_mutations(self, _request: Request, _body: Body) -> Any:
        """Forget schedule and journal."""
        self._world.mutations.reset()
        return {}

    def post_scenario(self, _request: Request, body: Body) -> Any:
        """Generate transactions and put them in place of all others."""
        if isinstance(body.get("start"), str):
            body["start"] = parse_instant(body["start"])
        settings = ScenarioSettings(**body)
        scenario = build_scenario(settings, self._world.clock.second())
        self._world.directory = scenario.directory
        self._world.transactions.load(scenario.transactions)
        self._world.transactions.advance(self._world.clock.second())
        return {**scenario.summary(), "now_visible": self._world.transactions.visible}

    def get_transactions(self, _request: Request, _body: Body) -> Any:
        """Return every row of wecantrack that is visible now, as the wire would carry it."""
        shown = (life for life in self._world.transactions.transactions if life.shown)
        return orjson.Fragment(b"[" + b",".join(life.encoded() for life in shown) + b"]")

    def post_transactions(self, _request: Request, body: Body) -> Any:
        """Insert or update rows with explicit fields, at an instant or now."""
        at = parse_instant(body["at"]) if "at" in body else self._world.clock.second()
        rows = [editing.upsert(self._world, row, at, body.get("website_id")) for row in body["rows"]]
        return {"rows": rows, "now_visible": self._world.transactions.visible}

    def get_requests(self, request: Request, _body: Body) -> Any:
        """Return the newest received requests, oldest first."""
        query = request.query_params
        return self._world.log.listed(
            path=query.get("path"),
            since=int(query.get("since", 0)),
            limit=int(query.get("limit", 1000)),
            with_rows=query.get("rows") == "1",
        )

    def get_stats(self, _request: Request, _body: Body) -> Any:
        """Return every counter there is."""
        world = self._world
        return {
            "requests": {
                "total": world.log.total,
                "by_path": world.log.by_path,
                "by_status": world.log.by_status,
                "faults": world.log.faults,
                "throttled": world.throttle.refused,
            },
            "wecantrack": {"visible": world.transactions.visible, "states_to_come": world.transactions.to_come()},
            "sovrn": {
                "visible": world.sovrn.visible,
                "states_to_come": world.sovrn.to_come(),
                "refused": world.sovrn_pace.refused,
            },
            "wicked": +world.wicked.counters,
            "wicked_test": +world.wicked_test.counters,
            "wicked_repeated": world.wicked.repeats(),
        }

    def get_truth(self, request: Request, _body: Body) -> Any:
        """Compute what Wicked must hold after syncs at the instants `at` (default: one, now)."""
        query = request.query_params
        instants = [parse_instant(text) for text in query.getlist("at")] or [self._world.clock.second()]
        settings = oracle.TruthSettings(
            recognize=query.get("recognize", "pending"),
            revenue_basis=query.get("revenue_basis", "commission_amount"),
            identity=tuple(query.getlist("identity")),
            not_before=parse_instant(query["not_before"]) if "not_before" in query else None,
            lag_seconds=int(query.get("lag_seconds", 0)),
        )
        orders = oracle.expected_orders(self._world.transactions.transactions, instants, settings)
        if query.get("orders") == "1":
            return {key: order.shown() for key, order in orders.items()}
        return oracle.table(orders.values())

    def get_held(self, request: Request, _body: Body) -> Any:
        """Sum up what Wicked holds, in the same table as the truth."""
        store = self._world.wicked_test if request.query_params.get("test") == "1" else self._world.wicked
        held = oracle.held(store)
        if request.query_params.get("orders") == "1":
            return {key: order.shown() for key, order in held.orders.items()}
        return held.shown()

    def get_wicked(self, request: Request, _body: Body) -> Any:
        """Return the raw rows that Wicked holds: of one endpoint, or of all by endpoint."""
        store = self._world.wicked_test if request.query_params.get("test") == "1" else self._world.wicked
        endpoint = request.path_params.get("endpoint")
        return {name: store.listed(name) for name in ENDPOINTS} if endpoint is None else store.listed(endpoint)

    def post_throttle(self, _request: Request, body: Body) -> Any:
        """Set the limit per minute of one path, or of all."""
        self._world.throttle.set_limit(int(body["limit"]), body.get("path"))
        return {"default": self._world.throttle.default, "limits": self._world.throttle.limits}

    def post_keys(self, _request: Request, body: Body) -> Any:
        """Accept a key, take its plan away (`plan_off`), or forget it (`unknown`)."""
        self._world.keys.set(body["vendor"], body["key"], body.get("state", "accepted"))
        return {"vendor": body["vendor"], "state": body.get("state", "accepted")}

    def post_reset(self, _request: Request, body: Body) -> Any:
        """Put the named parts, or all of them, back to the start."""
        self._world.reset(tuple(body.get("parts", PARTS)))
        return {"reset": body.get("parts", PARTS)}


ADMIN: dict[str, tuple[str, ...]] = {
    "": ("index",),
    "clock": ("get_clock", "post_clock"),
    "switches": ("get_switches", "post_switches"),
    "faults": ("get_faults", "post_faults", "delete_faults"),
    "mutations": ("get_mutations", "post_mutations", "delete_mutations"),
    "scenario": ("post_scenario",),
    "transactions": ("get_transactions", "post_transactions"),
    "requests": ("get_requests",),
    "stats": ("get_stats",),
    "truth": ("get_truth",),
    "held": ("get_held",),
    "wicked": ("get_wicked",),
    "wicked/{endpoint}": ("get_wicked",),
    "throttle": ("post_throttle",),
    "keys": ("post_keys",),
    "reset": ("post_reset",),
}


def _route(world: World, path: str, name: str) -> Route:
    method = name.split("_", maxsplit=1)[0].upper() if "_" in name else "GET"
    return handled(world, path, method, getattr(Admin(world), name))


def handled(world: World, path: str, method: str, handler: Handler) -> Route:
    """Make the route of one handler; `sovrn_admin` uses it too."""

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        world.advance()
        try:
            return _reply(handler(request, orjson.loads(raw) if raw else {}))
        except (ValueError, KeyError, TypeError, re.error) as wrong:
            return _reply({"error": f"{type(wrong).__name__}: {wrong}"}, 400)

    return Route(f"/{path}", endpoint, methods=[method])


def admin_routes(world: World) -> list[Route]:
    """Make one route per path and verb."""
    return [_route(world, path, name) for path, names in ADMIN.items() for name in names]
