"""The Sovrn part of the admin API, under /_sim/sovrn/: rows, scenario, throttle, oracle."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from ..admin_routes import Body, routes
from ..clock import parse_instant
from ..oracle import table
from ..sales import Rules
from . import editing, oracle
from .oracle import SovrnOracleSettings
from .responses import BIG_DAY_ROWS, compress
from .scenario import SovrnSettings, build_big_day, build_scenario
from .state import Sovrn
from .store import Campaign, SovrnQuery
from .transactions import SovrnRow


class SovrnAdmin:
    """Handlers of the Sovrn side."""

    def __init__(self, state: Sovrn) -> None:
        self._state = state

    def get_transactions(self, _request: Request, _body: Body) -> Any:
        """Return every visible row in its nested shape, amounts as text."""
        return [editing.served(self._state, row) for row in self._state.store.rows if row.current]

    def post_transactions(self, _request: Request, body: Body) -> Any:
        """Insert or update rows with explicit fields, at an instant or now."""
        at = parse_instant(body["at"]) if "at" in body else self._state.clock.second()
        rows = [editing.upsert(self._state, row, at) for row in body["rows"]]
        return {"rows": rows, "now_visible": self._state.store.visible}

    def post_scenario(self, _request: Request, body: Body) -> Any:
        """Replace all rows by generated ones."""
        if isinstance(body.get("start"), str):
            body["start"] = parse_instant(body["start"])
        settings = SovrnSettings(**body)
        scenario = build_scenario(settings, self._state.clock.second())
        self._state.store.seed = settings.seed
        self._state.store.add_campaigns(scenario.campaigns)
        return {**scenario.summary(), "now_visible": self._load(scenario.rows)}

    def post_big_day(self, _request: Request, body: Body) -> Any:
        """Replace all rows by one day of very many sales, and encode it now, so that no reader waits for that."""
        state, day = self._state, str(body["day"])
        rows = build_big_day(parse_instant(day), int(body.get("transactions", 200_000)), int(body.get("seed", 7)))
        visible = self._load(rows)
        query, row_format = SovrnQuery((("updateDate", day),)), state.row_format
        selected = state.store.select(query, row_format.zone)
        if len(selected) >= BIG_DAY_ROWS:
            state.store.cache(query, row_format, compress(selected, row_format))
        return {"transactions": len(rows), "now_visible": visible}

    def _load(self, rows: list[SovrnRow]) -> int:
        self._state.store.load(rows)
        self._state.advance()
        return self._state.store.visible

    def get_truth(self, request: Request, _body: Body) -> Any:
        """Compute what Wicked Reports must store after syncs at the instants `at` (default: one, now)."""
        query = request.query_params
        instants = [parse_instant(text) for text in query.getlist("at")] or [self._state.clock.second()]
        settings = SovrnOracleSettings(
            rules=Rules(
                on_reinstatement=query.get("on_reinstatement", "new_order"),
                smallest_change=Decimal(query.get("smallest_change", "0")),
            ),
            revenue_basis=query.get("revenue_basis", "commission"),
            identity=tuple(query.getlist("identity")),
            not_before=parse_instant(query["not_before"]) if "not_before" in query else None,
            cpc=query.get("cpc") == "1",
            cpc_smallest_change=Decimal(query.get("cpc_smallest_change", "1")),
            without_networks=tuple(query.getlist("without_networks")),
            currency=query.get("currency", "USD"),
            zone=self._state.switches["sovrn.day_zone"],
        )
        expected = oracle.expected(self._state.store.rows, instants, settings)
        if query.get("unmatched") == "1":
            return expected.unmatched
        if query.get("orders") == "1":
            return {key: order.as_json() for key, order in expected.orders.items()}
        return table(expected.orders.values())

    def post_campaigns(self, _request: Request, body: Body) -> Any:
        """Add sites: `{"campaigns": [{"campaign_id": n, "name": ...}]}`."""
        self._state.store.add_campaigns(Campaign(**campaign) for campaign in body["campaigns"])
        return [campaign.row() for campaign in self._state.store.campaigns.values()]

    def post_pace(self, _request: Request, body: Body) -> Any:
        """Set `interval_seconds` (0: no limit) and `block_minutes`; the next call is allowed."""
        throttle = self._state.throttle
        throttle.configure(body.get("interval_seconds"), body.get("block_minutes"))
        return {
            "interval_seconds": throttle.interval,
            "block_minutes": throttle.block_minutes,
            "refused": throttle.refused,
        }


SOVRN_ADMIN: dict[str, tuple[str, ...]] = {
    "transactions": ("get_transactions", "post_transactions"),
    "scenario": ("post_scenario",),
    "big_day": ("post_big_day",),
    "truth": ("get_truth",),
    "campaigns": ("post_campaigns",),
    "pace": ("post_pace",),
}


def sovrn_routes(state: Sovrn, advance: Callable[[], None]) -> list[Route]:
    """Return one route per path and verb."""
    return routes(SovrnAdmin(state), SOVRN_ADMIN, advance)
