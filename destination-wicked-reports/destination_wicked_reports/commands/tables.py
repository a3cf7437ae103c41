"""Prints plain tables and lines on a terminal; text of a record never reaches it with a control character."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from destination_wicked_reports.base.terminal_log import printable, printable_json

_WIDEST_CELL = 40


def print_lines(*lines: str) -> None:
    """Print lines."""
    sys.stdout.writelines(printable(line) + "\n" for line in lines)


def print_json(value: Any) -> None:
    """Print one JSON object on a line of its own."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    sys.stdout.write(printable_json(text) + "\n")


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool = False) -> None:
    """Print rows as JSON lines, or as a table with these columns."""
    if as_json:
        for row in rows:
            print_json(dict(row))
        return
    table = [list(columns), *([printable(str(row.get(column, ""))) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    print_lines(
        *("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table)
    )


def shortened(value: Any) -> str:
    """Return a value as one short cell of a table."""
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= _WIDEST_CELL else text[: _WIDEST_CELL - 1] + "…"
