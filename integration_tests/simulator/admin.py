"""The admin API under /_sim/, without a key: how tests and the demo control the simulator."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from .admin_routes import Body, routes
from .clock import iso, parse_instant
from .faults import Fault
from .wecantrack.admin import WECANTRACK_ADMIN
from .wecantrack.oracle import OracleSettings, sale_name
from .wicked import oracle
from .wicked.store import ENDPOINTS
from .world import PARTS, World


class Admin:
    """What concerns no single vendor, and what the inbound side of Wicked Reports has stored."""

    def __init__(self, world: World) -> None:
        self._world = world

    def index(self, _request: Request, _body: Body) -> Any:
        """Return what this server is, and its admin paths."""
        what = "a local simulator for tests; not wecantrack, not Sovrn, not Wicked Reports"
        return {"what": what, "admin": sorted({**ADMIN, **WECANTRACK_ADMIN})}

    def get_clock(self, _request: Request, _body: Body) -> Any:
        """Return the simulated time."""
        clock = self._world.clock
        return {"now": iso(clock.now()), "epoch": clock.now(), "frozen": clock.frozen}

    def post_clock(self, request: Request, body: Body) -> Any:
        """Freeze or thaw, set, and move the clock, in this order."""
        clock = self._world.clock
        if "frozen" in body:
            (clock.freeze if body["frozen"] else clock.thaw)()
        if "now" in body:
            clock.set(parse_instant(body["now"]))
        clock.move(body.get("seconds", 0) + 86400 * body.get("days", 0))
        return self.get_clock(request, body)

    def get_switches(self, _request: Request, _body: Body) -> Any:
        """Return the value of every switch."""
        return dict(self._world.switches)

    def post_switches(self, _request: Request, body: Body) -> Any:
        """Set the named switches."""
        for name, value in body.items():
            self._world.switches.set(name, value)
        return dict(self._world.switches)

    def get_faults(self, _request: Request, _body: Body) -> Any:
        """List the active faults with their counts of matching (`seen`) and spoiled (`struck`) requests."""
        return [fault.as_json() for fault in self._world.faults.faults]

    def post_faults(self, _request: Request, body: Body) -> Any:
        """Add one fault."""
        fault = Fault(**body)
        self._world.faults.add(fault)
        return fault.as_json()

    def delete_faults(self, _request: Request, _body: Body) -> Any:
        """Remove every fault; a request that already hangs keeps hanging."""
        self._world.faults.reset()
        return []

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
        """Return every counter."""
        world = self._world
        return {
            "requests": {
                "total": world.log.total,
                "by_path": world.log.by_path,
                "by_status": world.log.by_status,
                "faults": world.log.faults,
                "throttled": world.wecantrack.throttle.refused,
            },
            "wecantrack": {
                "visible": world.wecantrack.transactions.visible,
                "states_to_come": world.wecantrack.transactions.states_to_come(),
            },
            "sovrn": {
                "visible": world.sovrn.store.visible,
                "states_to_come": world.sovrn.store.states_to_come(),
                "refused": world.sovrn.throttle.refused,
            },
            "wicked": +world.wicked.live.counters,
            "wicked_test": +world.wicked.test.counters,
            "wicked_repeated": world.wicked.live.repeats(),
        }

    def get_held(self, request: Request, _body: Body) -> Any:
        """Sum up what Wicked Reports stores, in the table of the oracles."""
        store = self._world.wicked.store(test=request.query_params.get("test") == "1")
        totals = oracle.stored_totals(store, self._world.switches)
        if request.query_params.get("orders") == "1":
            return {key: order.as_json() for key, order in totals.orders.items()}
        return totals.as_json()

    def get_persons(self, request: Request, _body: Body) -> Any:
        """Return, by SourceID, the address of the contact that each order of wecantrack has, and that it should have.

        It should have the contact whose SourceID, in the source system `system`, is the id that the rules `identity`
        (`field:pattern` with a group `contact_id`) find in the sale's transaction. "" is no contact.
        """
        query, store = request.query_params, self._world.wicked.live
        rules = OracleSettings(identity=tuple(query.getlist("identity")))
        ids = {sale_name(one): rules.contact_id(one) for one in self._world.wecantrack.transactions.transactions}
        contacts = {
            str(row["SourceID"]): str(row["Email"])
            for row in reversed(store.listed("contacts"))
            if row["SourceSystem"] == query["system"]
        }
        return {
            name: {"has": person, "should": contacts.get(ids.get(name.partition("~")[0], ""), "")}
            for name, person in oracle.persons(store, self._world.switches).items()
        }

    def get_wicked(self, request: Request, _body: Body) -> Any:
        """Return the stored rows of one endpoint, or of all by endpoint."""
        store = self._world.wicked.store(test=request.query_params.get("test") == "1")
        endpoint = request.path_params.get("endpoint")
        return {name: store.listed(name) for name in ENDPOINTS} if endpoint is None else store.listed(endpoint)

    def post_keys(self, _request: Request, body: Body) -> Any:
        """Set the state of a key; see `keys.STATES`."""
        self._world.keys.set(body["vendor"], body["key"], body.get("state", "accepted"))
        return {"vendor": body["vendor"], "state": body.get("state", "accepted")}

    def post_reset(self, _request: Request, body: Body) -> Any:
        """Return the named parts, or all of them, to their initial state."""
        self._world.reset(tuple(body.get("parts", PARTS)))
        return {"reset": body.get("parts", PARTS)}


ADMIN: dict[str, tuple[str, ...]] = {
    "": ("index",),
    "clock": ("get_clock", "post_clock"),
    "switches": ("get_switches", "post_switches"),
    "faults": ("get_faults", "post_faults", "delete_faults"),
    "requests": ("get_requests",),
    "stats": ("get_stats",),
    "held": ("get_held",),
    "persons": ("get_persons",),
    "wicked": ("get_wicked",),
    "wicked/{endpoint}": ("get_wicked",),
    "keys": ("post_keys",),
    "reset": ("post_reset",),
}


def admin_routes(world: World) -> list[Route]:
    """Return one route per path and verb."""
    return routes(Admin(world), ADMIN, world.advance)
