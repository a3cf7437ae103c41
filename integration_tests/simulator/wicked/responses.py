"""How Wicked Reports answers: JSON bodies and errors."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


def json_response(body: Any, status: int = 200) -> Response:
    """Answer as both of Wicked's APIs do."""
    return Response(orjson.dumps(body, default=str), status, media_type="application/json")


def error(message: str, status: int = 400, **more: Any) -> Response:
    """Answer in the shape of the outbound API's errors, the only one on record ([seed] S1; inbound [guess])."""
    return json_response({"status": "error", "message": message, **more}, status)
