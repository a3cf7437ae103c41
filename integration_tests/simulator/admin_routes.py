"""Routes of the admin API: one handler per path and verb, JSON in and out, 400 with the reason for a bad call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Body = dict[str, Any]
Handler = Callable[[Request, Body], Any]


def routes(admin: object, paths: Mapping[str, tuple[str, ...]], advance: Callable[[], None]) -> list[Route]:
    """Route each path to the methods of `admin` named for it; a name starts with its verb, or is a plain GET.

    `advance` runs before every handler, so that it sees the simulation at the current time.
    """
    return [
        _route(path, name.split("_", maxsplit=1)[0].upper() if "_" in name else "GET", getattr(admin, name), advance)
        for path, names in paths.items()
        for name in names
    ]


def _route(path: str, method: str, handler: Handler, advance: Callable[[], None]) -> Route:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        advance()
        try:
            return _response(handler(request, orjson.loads(raw) if raw else {}))
        except (ValueError, KeyError, TypeError, re.error) as error:
            return _response({"error": f"{type(error).__name__}: {error}"}, 400)

    return Route(f"/{path}", endpoint, methods=[method])


def _response(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body, default=str), status, media_type="application/json")
