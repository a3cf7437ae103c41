"""The admin API of the Sovrn side, under /_sim/sovrn/: rows, scenario, pace, truth."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from ..admin import Body, handled
from ..clock import parse_instant
from ..wecantrack.oracle import table
from ..world import World
from . import editing, oracle
from .api import wire_of
from .oracle import SovrnTruthSettings
from .responses import BIG_DAY_ROWS, pack
from .scenario import SovrnSettings, build_big_day, build_scenario
from .store import Campaign, SovrnQuery
from .transactions import SovrnRow


class SovrnAdmin:
    """One method per path and verb; a bad call is answered with 400 and the reason."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get_transactions(self, _request: Request, _body: Body) -> Any:
        """Return every row that is visible now, nested, amounts as text."""
        return [editing.shown(self._world, row) for row in self._world.sovrn.rows if row.shown]

    def post_transactions(self, _request: Request, body: Body) -> Any:
        """Insert or update rows with explicit fields, at an instant or now."""
        at = parse_instant(body["at"]) if "at" in body else self._world.clock.second()
        rows = [editing.upsert(self._world, row, at) for row in body["rows"]]
        return {"rows": rows, "now_visible": self._world.sovrn.visible}

    def post_scenario(self, _request: Request, body: Body) -> Any:
        """Generate rows and put them in place of all others."""
        if isinstance(body.get("start"), str):
            body["start"] = parse_instant(body["start"])
        settings = SovrnSettings(**body)
        scenario = build_scenario(settings, self._world.clock.second())
        self._world.sovrn.seed = settings.seed
        self._world.sovrn.add_campaigns(scenario.campaigns)
        return {**scenario.summary(), "now_visible": self._load(scenario.rows)}

    def post_big_day(self, _request: Request, body: Body) -> Any:
        """Put one day of very many sales in place of all rows, encoded already, so that no reader waits for that."""
        world, day = self._world, str(body["day"])
        rows = build_big_day(parse_instant(day), int(body.get("transactions", 200_000)), int(body.get("seed", 7)))
        visible = self._load(rows)
        query, wire = SovrnQuery((("updateDate", day),)), wire_of(world)
        shown = world.sovrn.select(query, wire.zone)
        if len(shown) >= BIG_DAY_ROWS:
            world.sovrn.keep(query, wire, pack(shown, wire))
        return {"transactions": len(rows), "now_visible": visible}

    def _load(self, rows: list[SovrnRow]) -> int:
        self._world.sovrn.load(rows)
        self._world.advance()
        return self._world.sovrn.visible

    def get_truth(self, request: Request, _body: Body) -> Any:
        """Compute what Wicked must hold after syncs at the instants `at` (default: one, now)."""
        query = request.query_params
        instants = [parse_instant(text) for text in query.getlist("at")] or [self._world.clock.second()]
        settings = SovrnTruthSettings(
            revenue_basis=query.get("revenue_basis", "commission"),
            identity=tuple(query.getlist("identity")),
            not_before=parse_instant(query["not_before"]) if "not_before" in query else None,
            cpc=query.get("cpc") == "1",
            without_networks=tuple(query.getlist("without_networks")),
            currency=query.get("currency", "USD"),
            zone=self._world.switches["sovrn.day_zone"],
        )
        expected = oracle.expected(self._world.sovrn.rows, instants, settings)
        if query.get("unmatched") == "1":
            return expected.unmatched
        if query.get("orders") == "1":
            return {key: order.shown() for key, order in expected.orders.items()}
        return table(expected.orders.values())

    def post_campaigns(self, _request: Request, body: Body) -> Any:
        """Add sites: `{"campaigns": [{"campaign_id": n, "name": ...}]}`."""
        self._world.sovrn.add_campaigns(Campaign(**campaign) for campaign in body["campaigns"])
        return [campaign.row() for campaign in self._world.sovrn.campaigns.values()]

    def post_pace(self, _request: Request, body: Body) -> Any:
        """Set `interval_seconds` (0: no limit) and `block_minutes`; the next call is free."""
        pace = self._world.sovrn_pace
        pace.configure(body.get("interval_seconds"), body.get("block_minutes"))
        return {"interval_seconds": pace.interval, "block_minutes": pace.block_minutes, "refused": pace.refused}


SOVRN_ADMIN: dict[str, tuple[str, ...]] = {
    "transactions": ("get_transactions", "post_transactions"),
    "scenario": ("post_scenario",),
    "big_day": ("post_big_day",),
    "truth": ("get_truth",),
    "campaigns": ("post_campaigns",),
    "pace": ("post_pace",),
}


def sovrn_routes(world: World) -> list[Route]:
    """Make one route per path and verb."""
    admin = SovrnAdmin(world)
    return [
        handled(world, path, name.split("_", maxsplit=1)[0].upper(), getattr(admin, name))
        for path, names in SOVRN_ADMIN.items()
        for name in names
    ]
