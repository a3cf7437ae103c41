"""The application: which path belongs to which vendor, and the log and faults around every response."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from functools import partial

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
from .wecantrack.admin import wecantrack_routes
from .wicked import inbound as inbound_api
from .wicked.outbound import api as outbound_api
from .wicked.outbound.admin import outbound_routes
from .world import World

Answer = Callable[[Request, bytes], Response]


class VendorEndpoint:
    """One vendor's endpoints behind the request log and the faults."""

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
                return self._answer(request, body)
            except Exception:  # a bug must not look like a vendor's response
                traceback.print_exc()
                return PlainTextResponse("This is a bug in the simulator.", 500, {"X-Simulator-Bug": "1"})

        if fault is not None:
            world.log.close(entry, await wire.deliver(fault, scope, receive, send, process))
            return
        response = process()
        world.log.close(entry, response.status_code)
        await response(scope, receive, send)


async def _front_page(_request: Request) -> Response:
    """Serve the target of redirects: an HTML page, which a connector must not take for a response."""
    return HTMLResponse(wecantrack_api.HTML_PAGE)


def build_app(world: World) -> Starlette:
    """Build one application of all vendors, with their own paths, and the admin API."""
    wecantrack = VendorEndpoint(world, partial(wecantrack_api.answer, world.wecantrack))
    inbound = VendorEndpoint(world, partial(inbound_api.answer, world.wicked))
    outbound = VendorEndpoint(world, partial(outbound_api.answer, world.outbound))
    sovrn = VendorEndpoint(world, partial(sovrn_api.answer, world.sovrn))
    bigcommerce = VendorEndpoint(world, partial(bigcommerce_api.answer, world.bigcommerce))
    admin = [*admin_routes(world), *wecantrack_routes(world.wecantrack, world.advance)]
    return Starlette(
        routes=[
            Route("/", _front_page, methods=["GET"]),
            *(Route(path, wecantrack, methods=["GET"]) for path in wecantrack_api.PATHS),
            *(Route(path, inbound, methods=["POST"]) for path in inbound_api.PATHS),
            *(Route(path, outbound, methods=["GET"]) for path in outbound_api.PATHS),
            Route("/latest", inbound, methods=["GET"]),
            *(Route(path, sovrn, methods=["GET"]) for path in sovrn_api.PATHS),
            *(Route(path, bigcommerce, methods=["GET"]) for path in bigcommerce_api.PATHS),
            Mount("/_sim/outbound", routes=outbound_routes(world.outbound, world.advance)),
            Mount("/_sim/bigcommerce", routes=bigcommerce_routes(world.bigcommerce, world.advance)),
            Mount("/_sim/sovrn", routes=sovrn_routes(world.sovrn, world.advance)),
            Mount("/_sim", routes=admin),
        ]
    )
