"""The responses of both of Wicked Reports' APIs: JSON bodies and errors."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


def json_response(body: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(body, default=str), status, media_type="application/json")


def error(message: str, status: int = 400, **more: Any) -> Response:
    """Return an error in the outbound API's shape, the only documented one ([seed] S1; inbound [guess])."""
    return json_response({"status": "error", "message": message, **more}, status)
