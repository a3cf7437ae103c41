"""The wiring: which path belongs to which vendor, and what happens around every vendor's answer."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from . import wire
from .admin import admin_routes
from .bigcommerce import api as bigcommerce_api
from .bigcommerce.admin import bigcommerce_routes
from .clock import iso
from .sovrn import api as sovrn_api
from .sovrn.admin import sovrn_routes
from .wecantrack import api as wecantrack_api
from .wicked import inbound as inbound_api
from .wicked.outbound import api as outbound_api
from .wicked.outbound.admin import outbound_routes
from .world import World

Answer = Callable[[World, Request, bytes], Response]


class VendorEndpoint:
    """One vendor behind the log and the faults: read the body, note it, answer it or spoil the answer."""

    def __init__(self, world: World, answer: Answer) -> None:
        self._world = world
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        world, request = self._world, Request(scope, receive)
        body = await request.body()
        fault = world.faults.due(request.method, request.url.path, request.url.query)
        entry = world.log.open(
            at=iso(world.clock.now()),
            clock=world.clock.now(),
            monotonic=time.monotonic(),
            method=request.method,
            path=request.url.path,
            query=request.query_params.multi_items(),
            headers=dict(request.headers),
            body=body,
            fault=fault.kind if fault else None,
            processed=False,
        )

        def process() -> Response:
            entry.processed = True
            world.advance()
            try:
                return self._answer(world, request, body)
            except Exception:  # a mistake in here must not pass for a vendor's answer
                traceback.print_exc()
                return PlainTextResponse("This is a bug in the simulator.", 500, {"X-Simulator-Bug": "1"})

        if fault is not None:
            world.log.close(entry, await wire.deliver(fault, scope, receive, send, process))
            return
        response = process()
        world.log.close(entry, response.status_code)
        await response(scope, receive, send)


async def _front_page(_request: Request) -> Response:
    """Serve what a redirect leads to: a page for people, which a connector must not take for an answer."""
    return HTMLResponse(wecantrack_api.HTML_PAGE)


def build_app(world: World) -> Starlette:
    """Put all vendors and the admin API on one application; paths are the vendors' own, unchanged."""
    read_side = VendorEndpoint(world, wecantrack_api.answer)
    inbound = VendorEndpoint(world, inbound_api.answer)
    outbound = VendorEndpoint(world, outbound_api.answer)
    reports = VendorEndpoint(world, sovrn_api.answer)
    shop = VendorEndpoint(world, bigcommerce_api.answer)
    return Starlette(
        routes=[
            Route("/", _front_page, methods=["GET"]),
            *(Route(path, read_side, methods=["GET"]) for path in wecantrack_api.PATHS),
            *(Route(path, inbound, methods=["POST"]) for path in inbound_api.PATHS),
            *(Route(path, outbound, methods=["GET"]) for path in outbound_api.PATHS),
            Route("/latest", inbound, methods=["GET"]),
            *(Route(path, reports, methods=["GET"]) for path in sovrn_api.PATHS),
            *(Route(path, shop, methods=["GET"]) for path in bigcommerce_api.PATHS),
            Mount("/_sim/outbound", routes=outbound_routes(world)),
            Mount("/_sim/bigcommerce", routes=bigcommerce_routes(world)),
            Mount("/_sim/sovrn", routes=sovrn_routes(world)),
            Mount("/_sim", routes=admin_routes(world)),
        ]
    )
