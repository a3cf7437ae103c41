"""Counts with a few samples, in words that may be logged: no value of a record but the ids of orders and products."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ORDER_ITEMS, ORDERS, PRODUCTS
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.model import LAST_SEQUENCE, Reject, Row

#: Samples of one reason.
MOST_SAMPLES = 3
#: Reasons that are counted apart; the others are counted together.
MOST_REASONS = 50
OTHER_REASONS = "other reasons"

#: Endpoints whose ids do not identify a person.
_IMPERSONAL = frozenset({PRODUCTS.name, ORDERS.name, ORDER_ITEMS.name})
#: Columns that hold the id of a record, in this order.
_ID_COLUMNS = ("transaction_key", "transaction_id", "SourceID", "id")
_PLAIN_ID = re.compile(r"[\w.~:/#-]{1,60}", re.ASCII).fullmatch
_LONGEST_REASON = 300
#: What a text of Wicked Reports may quote.
_QUOTED = re.compile(r"""\S+@\S+|"[^"]*"|'[^']*'|`[^`]*`|\S*[0-9]{3}\S*""")
_SHORTEST_VALUE = 3
_LONGEST_SHAPE = 40
#: Characters that a shape shows.
_SHOWN = frozenset(" -_.@:;,|/\\=&?+#~%")


@dataclass(slots=True)
class Sampled:
    """How often something happened, and the first samples of it."""

    count: int = 0
    samples: list[str] = field(default_factory=list)

    def add(self, sample: str) -> None:
        """Count one more."""
        self.count += 1
        if sample and len(self.samples) < MOST_SAMPLES:
            self.samples.append(sample)


def add_reason(counts: dict[Any, Sampled], key: Any, other: Any, sample: str) -> None:
    """Count one more for `key`, or for `other` once there are too many keys."""
    if key not in counts and len(counts) >= MOST_REASONS:
        key = other
    counts.setdefault(key, Sampled()).add(sample)


def name_of_row(row: Row) -> str:
    """Return the id of a row, or the position of its record if the id may identify a person; "" if there is neither."""
    key = row.sale_key or (row.key if row.endpoint in _IMPERSONAL else "")
    return _name(key.partition(SEPARATOR)[2].replace(SEPARATOR, "/"), row.sequence)


def name_of_reject(reject: Reject) -> str:
    """Return the id of a record that makes no row, or its position."""
    return name_of_record(reject.row if reject.endpoint in _IMPERSONAL else {}, reject.sequence)


def name_of_record(data: Mapping[str, Any], sequence: int) -> str:
    """Return the id of a record, or its position in the input."""
    found = next((data[column] for column in _ID_COLUMNS if column in data), None)
    return _name(str(found) if isinstance(found, str | int) else "", sequence)


def _name(identity: str, sequence: int) -> str:
    if _PLAIN_ID(identity):
        return identity
    return f"record {sequence:,}" if 0 < sequence < LAST_SEQUENCE else ""


def shape(text: str) -> str:
    """Return a text with every letter as `a` or `A` and every digit as `0`: enough to fix a pattern, and no value."""
    masked = "".join(
        "A" if each.isupper() else "0" if each.isdigit() else _mask(each) for each in text[:_LONGEST_SHAPE]
    )
    return masked + ("…" if len(text) > _LONGEST_SHAPE else "")


def _mask(character: str) -> str:
    if character.isalpha():
        return "a"
    return character if character in _SHOWN else "?"


def plain(name: str) -> str:
    """Return the name of a column, or `?` if it is no plain name."""
    return name if _PLAIN_ID(name) else "?"


def without_values(reason: str, row: Row) -> str:
    """Return a reason that Wicked Reports gave without what it may quote: the row's values, addresses, numbers."""
    for value in sorted(set(_texts(orjson.loads(row.body))), key=len, reverse=True):
        if len(value) >= _SHORTEST_VALUE:
            reason = reason.replace(value, "…")
    return _QUOTED.sub("…", reason)[:_LONGEST_REASON]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None:
        yield str(value)
