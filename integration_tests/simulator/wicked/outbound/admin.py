"""The admin API of the outbound side, under /_sim/outbound/: processing, seeding, rows, truth, pace, mutations."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from ...admin import Body, handled
from ...world import World
from . import oracle as truth
from .api import everything
from .mutations import OutboundMutation
from .scenario import SeedSettings, seed
from .snapshot import RESOURCES


class OutboundAdmin:
    """One method per path and verb; a bad call is answered with 400 and the reason."""

    def __init__(self, world: World) -> None:
        self._world = world

    def post_process(self, _request: Request, _body: Body) -> Any:
        """Force a processing tick."""
        self._world.outbound.process()
        return self._visible()

    def _visible(self) -> dict[str, int]:
        book = self._world.outbound.book()
        return {kind: len(book.records(kind)) for kind in RESOURCES}

    def post_seed(self, _request: Request, body: Body) -> Any:
        """Make up contacts, orders and clicks beside those that are there, and process them if `process`."""
        process = body.pop("process", True)
        made = seed(self._world.wicked, SeedSettings(**body), self._world.switches)
        if process:
            self._world.outbound.process()
        return {"made": made, "visible": self._visible()}

    def get_rows(self, request: Request, _body: Body) -> Any:
        """Return every visible row of one kind, as the wire would carry it."""
        return everything(self._world, request.path_params["kind"])

    def get_truth(self, request: Request, _body: Body) -> Any:
        """Sum up the inbound rows per day and currency, or tell each order with `orders=1`."""
        zone = request.query_params.get("zone", "utc")
        if request.query_params.get("orders") == "1":
            return [truth.shown(row) for row in truth.by_order(self._world.wicked, zone)]
        return truth.by_day(self._world.wicked, zone)

    def get_pace(self, _request: Request, _body: Body) -> Any:
        """Tell the limit, what was served and refused, and the busiest 60 seconds; and why requests were bad."""
        throttle = self._world.outbound.throttle
        return {
            "limit": throttle.limit,
            "served": throttle.served,
            "refused": throttle.refused,
            "busiest_minute": throttle.busiest,
            "complaints": list(self._world.outbound.complaints),
        }

    def post_pace(self, request: Request, body: Body) -> Any:
        """Set the limit per minute (0: none)."""
        self._world.outbound.throttle.set_limit(int(body["limit"]))
        return self.get_pace(request, body)

    def get_mutations(self, _request: Request, _body: Body) -> Any:
        """Show what changes between pages are scheduled, and which were made."""
        mutations = self._world.outbound.mutations
        return {"scheduled": [dict(vars(mutation)) for mutation in mutations.scheduled], "journal": mutations.journal}

    def post_mutations(self, request: Request, body: Body) -> Any:
        """Schedule one change between pages."""
        self._world.outbound.mutations.schedule(OutboundMutation(**body))
        return self.get_mutations(request, body)

    def delete_mutations(self, _request: Request, _body: Body) -> Any:
        """Forget schedule and journal."""
        self._world.outbound.mutations.reset()
        return {}

    def delete_cursors(self, _request: Request, _body: Body) -> Any:
        """Forget every open cursor, so that its hash is refused: an expired one."""
        self._world.outbound.cursors.reset()
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


def outbound_routes(world: World) -> list[Route]:
    """Make one route per path and verb."""
    admin = OutboundAdmin(world)
    return [
        handled(world, path, name.split("_", maxsplit=1)[0].upper(), getattr(admin, name))
        for path, names in OUTBOUND_ADMIN.items()
        for name in names
    ]
