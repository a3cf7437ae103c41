"""The admin API of the BigCommerce side, under /_sim/bigcommerce/: rows, scenario, truth."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from ..admin import Body, handled
from ..clock import parse_instant
from ..world import World
from .oracle import expected
from .scenario import ShopSettings, build_shop


class BigcommerceAdmin:
    """One method per path and verb; a bad call is answered with 400 and the reason."""

    def __init__(self, world: World) -> None:
        self._world = world

    def post_rows(self, _request: Request, body: Body) -> Any:
        """Insert or change rows of one kind, at an instant or now: `{"kind": ..., "rows": [...], "at": ...}`."""
        at = parse_instant(body["at"]) if "at" in body else self._world.clock.second()
        steps = self._world.bigcommerce.script((at, body["kind"], row, row.pop("_worth", None)) for row in body["rows"])
        self._world.advance()
        return {"steps": steps}

    def post_scenario(self, _request: Request, body: Body) -> Any:
        """Make up a shop and add it to the script."""
        start = body.pop("start", None)
        settings = ShopSettings(start=self._world.clock.second() if start is None else parse_instant(start), **body)
        steps = self._world.bigcommerce.script(build_shop(settings))
        self._world.advance()
        return {"steps": steps}

    def get_truth(self, request: Request, _body: Body) -> Any:
        """Compute what Wicked must hold after syncs at the instants `at` (default: one, now)."""
        instants = [parse_instant(text) for text in request.query_params.getlist("at")]
        shown = self._world.switches["bigcommerce.deleted"] == "listed"
        found = expected(self._world.bigcommerce, instants or [self._world.clock.second()], deleted_shown=shown)
        return {order_id: order.shown() for order_id, order in found.items()}


BIGCOMMERCE_ADMIN: dict[str, tuple[str, ...]] = {
    "rows": ("post_rows",),
    "scenario": ("post_scenario",),
    "truth": ("get_truth",),
}


def bigcommerce_routes(world: World) -> list[Route]:
    """Make one route per path and verb."""
    admin = BigcommerceAdmin(world)
    return [
        handled(world, path, name.split("_", maxsplit=1)[0].upper(), getattr(admin, name))
        for path, names in BIGCOMMERCE_ADMIN.items()
        for name in names
    ]
