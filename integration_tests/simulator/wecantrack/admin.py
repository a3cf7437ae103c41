"""The wecantrack part of the admin API, directly under /_sim/: rows, scenario, mutations, throttle, oracle."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
from starlette.requests import Request
from starlette.routing import Route

from ..admin_routes import Body, routes
from ..clock import parse_instant
from ..oracle import table
from ..sales import Rules
from . import editing
from .mutations import Mutation
from .oracle import OracleSettings, expected_orders
from .scenario import ScenarioSettings, build_scenario
from .state import Wecantrack

#: `recognise` is the former spelling of `recognize`
_ORACLE_PARAMETERS = frozenset(
    {
        "at", "orders", "recognize", "recognise", "on_reinstatement", "smallest_change", "revenue_basis", "currency",
        "identity", "not_before", "lag_seconds",
    }
)  # fmt: skip


class WecantrackAdmin:
    """Handlers of the wecantrack side."""

    def __init__(self, state: Wecantrack) -> None:
        self._state = state

    def get_mutations(self, _request: Request, _body: Body) -> Any:
        """Return the scheduled changes between pages, and the journal of those made."""
        return self._state.mutations.as_json()

    def post_mutations(self, request: Request, body: Body) -> Any:
        """Schedule one change between pages."""
        body["rows"] = tuple((int(account), str(key)) for account, key in body.get("rows", ()))
        self._state.mutations.schedule(Mutation(**body))
        return self.get_mutations(request, body)

    def delete_mutations(self, _request: Request, _body: Body) -> Any:
        """Clear schedule and journal."""
        self._state.mutations.reset()
        return {}

    def post_scenario(self, _request: Request, body: Body) -> Any:
        """Replace all transactions by generated ones."""
        if isinstance(body.get("start"), str):
            body["start"] = parse_instant(body["start"])
        scenario = build_scenario(ScenarioSettings(**body), self._state.clock.second())
        self._state.accounts = scenario.accounts
        self._state.transactions.load(scenario.transactions)
        self._state.advance()
        return {**scenario.summary(), "now_visible": self._state.transactions.visible}

    def get_transactions(self, _request: Request, _body: Body) -> Any:
        """Return every visible row as the vendor's API serves it."""
        visible = (row for row in self._state.transactions.transactions if row.current)
        return orjson.Fragment(b"[" + b",".join(row.encoded() for row in visible) + b"]")

    def post_transactions(self, _request: Request, body: Body) -> Any:
        """Insert or update rows with explicit fields, at an instant or now."""
        at = parse_instant(body["at"]) if "at" in body else self._state.clock.second()
        rows = [editing.upsert(self._state, row, at, body.get("website_id")) for row in body["rows"]]
        return {"rows": rows, "now_visible": self._state.transactions.visible}

    def get_truth(self, request: Request, _body: Body) -> Any:
        """Compute what Wicked Reports must store after syncs at the instants `at` (default: one, now)."""
        query = request.query_params
        if unknown := query.keys() - _ORACLE_PARAMETERS:
            raise ValueError(f"unknown parameters: {', '.join(sorted(unknown))}")
        instants = [parse_instant(text) for text in query.getlist("at")] or [self._state.clock.second()]
        settings = OracleSettings(
            rules=Rules(
                recognize=query.get("recognize", query.get("recognise", "pending")),
                on_reinstatement=query.get("on_reinstatement", "new_order"),
                smallest_change=Decimal(query.get("smallest_change", "0")),
            ),
            revenue_basis=query.get("revenue_basis", "commission_amount"),
            currency=query.get("currency", "transaction"),
            identity=tuple(query.getlist("identity")),
            not_before=parse_instant(query["not_before"]) if "not_before" in query else None,
            lag_seconds=int(query.get("lag_seconds", 0)),
        )
        orders = expected_orders(self._state.transactions.transactions, instants, settings)
        if query.get("orders") == "1":
            return {key: order.as_json() for key, order in orders.items()}
        return table(orders.values())

    def post_throttle(self, _request: Request, body: Body) -> Any:
        """Set the limit per minute of one path, or of all."""
        throttle = self._state.throttle
        throttle.set_limit(int(body["limit"]), body.get("path"))
        return {"default": throttle.default, "limits": throttle.limits}


WECANTRACK_ADMIN: dict[str, tuple[str, ...]] = {
    "mutations": ("get_mutations", "post_mutations", "delete_mutations"),
    "scenario": ("post_scenario",),
    "transactions": ("get_transactions", "post_transactions"),
    "truth": ("get_truth",),
    "throttle": ("post_throttle",),
}


def wecantrack_routes(state: Wecantrack, advance: Callable[[], None]) -> list[Route]:
    """Return one route per path and verb."""
    return routes(WecantrackAdmin(state), WECANTRACK_ADMIN, advance)
