"""Decodes JSON values that a warehouse or cache stored as text."""

from __future__ import annotations

from typing import Any

import orjson


def decode_json_text(value: Any) -> Any:
    """Return the object or list that `value` holds as JSON text; any other value is returned unchanged."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value
