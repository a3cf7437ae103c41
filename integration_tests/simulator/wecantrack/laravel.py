"""What every Laravel application does: query strings, validation errors and paginated bodies.

That wecantrack uses Laravel is an inference (docs/vendors/wecantrack.md 0.1, [derived]); the rules were read in
`laravel/framework` (A4, A8, [laravel]).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson

#: a parsed query: text, or for `name[]=` and `name[0]=` the items by PHP's keys.
PhpQuery = dict[str, "str | dict[str, str]"]

_BRACKETED = re.compile(r"([^\[]+)\[([^\]]*)\]")


def parse_query(query_string: str) -> PhpQuery:
    """Parse a query string as PHP does; `status=[]=approved`, a typo on the vendor's page, becomes plain text."""
    parsed: PhpQuery = {}
    for name, value in parse_qsl(query_string, keep_blank_values=True):
        match = _BRACKETED.match(name)
        if match is None:
            parsed[name] = value
            continue
        items = parsed.setdefault(match[1], {})
        if isinstance(items, str):
            items = parsed[match[1]] = {}
        items[match[2] or str(len(items))] = value
    # the ConvertEmptyStringsToNull middleware treats an empty parameter as missing
    return {name: value for name, value in parsed.items() if value not in ("", {})}


def build_query(parameters: PhpQuery) -> str:
    """Write parameters as `http_build_query` does: arrays come back as `status%5B0%5D=`."""
    pairs: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if isinstance(value, dict):
            pairs.extend((f"{name}[{key}]", item) for key, item in value.items())
        else:
            pairs.append((name, value))
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def validation_body(errors: dict[str, list[str]]) -> dict[str, Any]:
    """Build the body of a 422: the first message, the number of further ones, and all of them by parameter."""
    messages = [message for group in errors.values() for message in group]
    more = len(messages) - 1
    suffix = f" (and {more} more error{'s' if more > 1 else ''})" if more else ""
    return {"message": messages[0] + suffix, "errors": errors}


def page_number(text: str | dict[str, str] | None) -> int:
    """Parse `?page`: anything but an integer of 1 or more is page 1; pages after the last are not corrected."""
    return int(text) if isinstance(text, str) and re.fullmatch(r"\s*\+?\d{1,18}\s*", text) and int(text) >= 1 else 1


class Paginator:
    """Does what `LengthAwarePaginator::toArray()` does, around rows that are already encoded."""

    def __init__(self, *, path: str, parameters: PhpQuery, page: int, per_page: int, total: int, links: str) -> None:
        self._path = path
        self._parameters = {name: value for name, value in parameters.items() if name != "page"}
        self._page, self._per_page, self._total, self._links = page, per_page, total, links
        self._last_page = max(-(-total // per_page), 1)

    def _url(self, page: int) -> str:
        return f"{self._path}?{build_query({**self._parameters, 'page': str(page)})}"

    def body(self, rows: list[bytes]) -> bytes:
        """Return the whole body; `from` and `to` are null on an empty page."""
        page, first = self._page, (self._page - 1) * self._per_page + 1
        head = {"current_page": page}
        middle: dict[str, Any] = {
            "first_page_url": self._url(1),
            "from": first if rows else None,
            "last_page": self._last_page,
            "last_page_url": self._url(self._last_page),
        }
        if self._links != "off":
            middle["links"] = self._link_rows()
        tail = {
            "next_page_url": self._url(page + 1) if page < self._last_page else None,
            "path": self._path,
            "per_page": self._per_page,
            "prev_page_url": self._url(page - 1) if page > 1 else None,
            "to": first + len(rows) - 1 if rows else None,
            "total": self._total,
        }
        data = b',"data":[' + b",".join(rows) + b"],"
        return orjson.dumps(head)[:-1] + data + orjson.dumps({**middle, **tail})[1:]

    def _link_rows(self) -> list[dict[str, Any]]:
        page, last = self._page, self._last_page
        rows = [self._link("&laquo; Previous", page - 1 if page > 1 else None)]
        rows += [self._link("..." if n is None else str(n), n, active=n == page) for n in _window(page, last)]
        return [*rows, self._link("Next &raquo;", page + 1 if page < last else None)]

    def _link(self, label: str, page: int | None, *, active: bool = False) -> dict[str, Any]:
        link: dict[str, Any] = {"url": None if page is None else self._url(page), "label": label}
        if self._links == "with_page":
            link["page"] = page
        return {**link, "active": active}


def _window(page: int, last: int) -> list[int | None]:
    """Return the page numbers of Laravel's `UrlWindow` with three on each side; None stands for the ellipsis."""
    if last < 14:
        return list(range(1, last + 1))
    if page <= 7:
        return [*range(1, 11), None, last - 1, last]
    if page > last - 7:
        return [1, 2, None, *range(last - 9, last + 1)]
    return [1, 2, None, *range(page - 3, page + 4), None, last - 1, last]
