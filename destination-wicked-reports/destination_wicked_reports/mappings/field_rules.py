"""Searches record fields by the rules of the configuration: a field path and a regular expression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.api.samples import plain
from destination_wicked_reports.mappings.patterns import Pattern


class FieldRule:
    """A compiled contact or subscription rule; `search` looks for its pattern in a text.

    `field` is a dotted path in which `*` matches every value at its level: `sub_ids.*`, `click_metadata.user`.
    """

    def __init__(self, field: str, pattern: str, name: str = "") -> None:
        self.field = field
        self._name, *path = field.split(".")
        self._path = tuple(path)
        self._search = Pattern(pattern, name or f"the rule for {field}").search

    def matches(self, data: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the first match in each text at the path, in the order of the record.

        Raises FieldError for a text that is too long or takes too long; see `Pattern`.
        """
        for text in texts_at(data.get(self._name), self._path):
            match = self._search(text)
            if match:
                yield match

    def searched(self, data: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the path and the text of everything that `matches` searches."""
        return _named_texts(data.get(self._name), self._path, plain(self._name))


def _named_texts(value: Any, path: tuple[str, ...], name: str) -> list[tuple[str, str]]:
    if not path:
        return [(name, text) for text in texts_at(value, path)]
    value = decode_json_text(value)
    if isinstance(value, list):
        value = {str(position): each for position, each in enumerate(value)} if path[0] == "*" else {}
    children = value if isinstance(value, dict) else {}
    keys = children if path[0] == "*" else [path[0]]
    return [
        found
        for key in keys
        if key in children
        for found in _named_texts(children[key], path[1:], f"{name}.{plain(key)}")
    ]


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
