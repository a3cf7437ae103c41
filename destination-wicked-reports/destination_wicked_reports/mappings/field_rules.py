"""Searches record fields by the rules of the configuration: a field path and a regular expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from destination_wicked_reports.api.json_text import decode_json_text


class FieldRule:
    """A compiled contact or subscription rule; `search` looks for its pattern in a text.

    `field` is a dotted path in which `*` matches every value at its level: `sub_ids.*`, `click_metadata.user`.
    """

    def __init__(self, field: str, pattern: str) -> None:
        name, *path = field.split(".")
        self._name = name
        self._path = tuple(path)
        self.search = re.compile(pattern).search

    def texts(self, data: Mapping[str, Any]) -> list[str]:
        """Return the texts at the path, in the order of the record."""
        return texts_at(data.get(self._name), self._path)


def texts_at(value: Any, path: tuple[str, ...]) -> list[str]:
    """Return the texts at a path below `value`; integers count as text.

    An empty map may also arrive as `[]` or null (docs/vendors/wecantrack.md A5).
    """
    if not path:
        if isinstance(value, str):
            return [value]
        return [str(value)] if type(value) is int else []
    value = decode_json_text(value)
    if path[0] == "*":
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [text for child in children for text in texts_at(child, path[1:])]
    return texts_at(value.get(path[0]), path[1:]) if isinstance(value, dict) else []
