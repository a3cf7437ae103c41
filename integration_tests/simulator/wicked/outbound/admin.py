"""The outbound part of the admin API, under /_sim/outbound/: processing, seeding, rows, oracle, throttle, mutations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from ...admin_routes import Body, routes
from ...oracle import sums_as_text
from . import oracle
from .api import all_rows
from .mutations import OutboundMutation
from .scenario import SeedSettings, seed
from .snapshot import RESOURCES
from .state import Outbound


class OutboundAdmin:
    """Handlers of the outbound side."""

    def __init__(self, state: Outbound) -> None:
        self._state = state

    def post_process(self, _request: Request, _body: Body) -> Any:
        """Process the inbound rows now; return the number of visible rows by kind."""
        self._state.process()
        return self._visible()

    def _visible(self) -> dict[str, int]:
        snapshot = self._state.snapshot()
        return {kind: len(snapshot.records(kind)) for kind in RESOURCES}

    def post_seed(self, _request: Request, body: Body) -> Any:
        """Add generated contacts, orders and clicks; process them unless `process` is false."""
        process = body.pop("process", True)
        made = seed(self._state.store, SeedSettings(**body), self._state.switches)
        if process:
            self._state.process()
        return {"made": made, "visible": self._visible()}

    def get_rows(self, request: Request, _body: Body) -> Any:
        """Return every visible row of one kind as the vendor's API serves it."""
        return all_rows(self._state, request.path_params["kind"])

    def get_truth(self, request: Request, _body: Body) -> Any:
        """Sum up the inbound rows by day and currency, or by order with `orders=1`."""
        zone = request.query_params.get("zone", "utc")
        if request.query_params.get("orders") == "1":
            return [sums_as_text(row) for row in oracle.by_order(self._state.store, self._state.switches, zone)]
        return oracle.by_day(self._state.store, self._state.switches, zone)

    def get_pace(self, _request: Request, _body: Body) -> Any:
        """Return the limit, counts of served and refused requests, the busiest 60 seconds, and reasons for each 400."""
        throttle = self._state.throttle
        return {
            "limit": throttle.limit,
            "served": throttle.served,
            "refused": throttle.refused,
            "busiest_minute": throttle.busiest,
            "complaints": list(self._state.bad_requests),
        }

    def post_pace(self, request: Request, body: Body) -> Any:
        """Set the limit per minute (0: no limit)."""
        self._state.throttle.set_limit(int(body["limit"]))
        return self.get_pace(request, body)

    def get_mutations(self, _request: Request, _body: Body) -> Any:
        """Return the scheduled changes between pages, and the journal of those made."""
        return self._state.mutations.as_json()

    def post_mutations(self, request: Request, body: Body) -> Any:
        """Schedule one change between pages."""
        self._state.mutations.schedule(OutboundMutation(**body))
        return self.get_mutations(request, body)

    def delete_mutations(self, _request: Request, _body: Body) -> Any:
        """Clear schedule and journal."""
        self._state.mutations.reset()
        return {}

    def delete_cursors(self, _request: Request, _body: Body) -> Any:
        """Expire every cursor: its hash is refused from now on."""
        self._state.cursors.reset()
        return {}


OUTBOUND_ADMIN: dict[str, tuple[str, ...]] = {
    "process": ("post_process",),
    "seed": ("post_seed",),
    "rows/{kind}": ("get_rows",),
    "truth": ("get_truth",),
    "pace": ("get_pace", "post_pace"),
    "mutations": ("get_mutations", "post_mutations", "delete_mutations"),
    "cursors": ("delete_cursors",),
}


def outbound_routes(state: Outbound, advance: Callable[[], None]) -> list[Route]:
    """Return one route per path and verb."""
    return routes(OutboundAdmin(state), OUTBOUND_ADMIN, advance)
