"""The BigCommerce part of the admin API, under /_sim/bigcommerce/: rows, scenario, oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from ..admin_routes import Body, routes
from ..clock import parse_instant
from .oracle import expected
from .scenario import ShopSettings, build_shop
from .state import Bigcommerce


class BigcommerceAdmin:
    """Handlers of the BigCommerce side."""

    def __init__(self, state: Bigcommerce) -> None:
        self._state = state

    def post_rows(self, _request: Request, body: Body) -> Any:
        """Insert or change rows of one kind, at an instant or now: `{"kind": ..., "rows": [...], "at": ...}`."""
        at = parse_instant(body["at"]) if "at" in body else self._state.clock.second()
        steps = self._state.store.script((at, body["kind"], row, row.pop("_worth", None)) for row in body["rows"])
        self._state.advance()
        return {"steps": steps}

    def post_scenario(self, _request: Request, body: Body) -> Any:
        """Generate a shop and add it to the script."""
        start = body.pop("start", None)
        settings = ShopSettings(start=self._state.clock.second() if start is None else parse_instant(start), **body)
        steps = self._state.store.script(build_shop(settings))
        self._state.advance()
        return {"steps": steps}

    def get_truth(self, request: Request, _body: Body) -> Any:
        """Compute what Wicked Reports must store after syncs at the instants `at` (default: one, now)."""
        instants = [parse_instant(text) for text in request.query_params.getlist("at")]
        listed = self._state.switches["bigcommerce.deleted"] == "listed"
        orders = expected(self._state.store, instants or [self._state.clock.second()], deleted_listed=listed)
        return {order_id: order.as_json() for order_id, order in orders.items()}


BIGCOMMERCE_ADMIN: dict[str, tuple[str, ...]] = {
    "rows": ("post_rows",),
    "scenario": ("post_scenario",),
    "truth": ("get_truth",),
}


def bigcommerce_routes(state: Bigcommerce, advance: Callable[[], None]) -> list[Route]:
    """Return one route per path and verb."""
    return routes(BigcommerceAdmin(state), BIGCOMMERCE_ADMIN, advance)
