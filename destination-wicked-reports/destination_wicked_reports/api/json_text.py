"""Reads JSON without changing a digit, and more leniently than orjson where that is unambiguous.

orjson is fast, but turns integers beyond 64 bits and fractions of more than 15 digits into the nearest float, and
refuses what other writers produce: NaN and Infinity, numbers beyond a double, lone surrogates, bytes that are not
UTF-8, a byte order mark, control characters inside a text. `read_json` reads all of these and names the one that JSON
does not allow. A number that a float cannot hold becomes a Decimal, unless the caller asks for `orjson.Fragment`, which
orjson writes exactly as it was read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from destination_wicked_reports.base.json_parser import may_lose_digits

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Digits of the longest integer that Python converts; longer ones take quadratic time.
_INTEGER_LIMIT = 4300
#: Every number of at most so many characters fits a float or 64 bits.
_SHORT = 16

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?").fullmatch
_LONE_SURROGATE = re.compile("[\ud800-\udfff]").search

NOT_UTF8 = "bytes that are not UTF-8"
HALF_CHARACTER = "half a character (a lone surrogate)"
NOT_FINITE = "NaN or Infinity, which JSON does not have"
OUT_OF_RANGE = "a number beyond the range of a double"
HUGE_INTEGER = f"an integer of more than {_INTEGER_LIMIT:,} digits"


def read_json(content: bytes | str, exact: Callable[[str], Any] | None = None) -> tuple[Any, str]:
    """Return a value, and what in it JSON does not allow, "" if nothing.

    Raises ValueError if the content is not JSON, and RecursionError if it is nested too deep. `exact` makes the value
    of a number that would otherwise lose digits; by default it is an integer or a Decimal.
    """
    faults: list[str] = []

    def floating(text: str) -> Any:
        number = float(text)
        if math.isinf(number):
            faults.append(OUT_OF_RANGE)
            return exact(text) if exact else text
        return number if _holds(number, text) else (exact or Decimal)(text)

    def integer(text: str) -> Any:
        if len(text) < _SHORT:
            return int(text)
        if exact is not None:
            return int(text) if len(text) < 19 else exact(text)
        if len(text) > _INTEGER_LIMIT:
            faults.append(HUGE_INTEGER)
            return text
        return int(text)

    def constant(text: str) -> Any:
        faults.append(NOT_FINITE)
        return exact(text) if exact else text

    if isinstance(content, bytes):
        content = content.removeprefix(BYTE_ORDER_MARK)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode(errors="replace")
            faults.append(NOT_UTF8)
    else:
        text = content
    decoder = json.JSONDecoder(parse_float=floating, parse_int=integer, parse_constant=constant, strict=False)
    value = decoder.decode(text)
    if not faults and "\\u" in text and _has_half_character(value):
        faults.append(HALF_CHARACTER)
    return value, faults[0] if faults else ""


def exact_number(text: str) -> Any:
    """Return the number that a text holds, with every digit; None if it holds none."""
    text = text.strip()
    if len(text) > _INTEGER_LIMIT or not _NUMBER(text):
        return None
    if text.lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    if math.isinf(number):
        return None
    return number if _holds(number, text) else Decimal(text)


def _holds(number: float, text: str) -> bool:
    """Return whether a float stands for this text: it is the nearest double, written with this many digits."""
    if len(text) <= _SHORT:
        return True
    written = Decimal(text)
    if not written or Decimal(repr(number)) == written:
        return True
    # "59.899999999999999" is how C's %.17g writes 59.9; "99999999999999.99" is no double's value at 16 digits.
    digits = len(written.normalize().as_tuple().digits) if len(text) <= 28 else len(written.as_tuple().digits)
    return digits >= 17 and Decimal(format(number, f".{min(digits, 800) - 1}e")) == written


def _has_half_character(value: Any) -> bool:
    return _LONE_SURROGATE(json.dumps(value, ensure_ascii=False, default=str)) is not None


def decode_json_text(value: Any) -> Any:
    """Return the object or list that `value` holds as JSON text; any other value is returned unchanged."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return parse_text(value, value)
    return value


def parse_text(text: str, default: Any) -> Any:
    """Return the value of a JSON text with every digit, or `default` if it is not JSON."""
    try:
        value = orjson.loads(text)
        return read_json(text)[0] if may_lose_digits(text.encode()) else value
    except (ValueError, RecursionError):
        return default


def text_of(row: bytes, start: bytes) -> bytes:
    """Return the text of a field of an encoded row, b"" if it has none.

    `start` is the name as it stands in the row, such as `"Email":"`. Searching is ten times as fast as parsing: within
    a value, these quotes would be escaped. A value ends at its first quote, and its escapes stay.
    """
    found = row.find(start)
    if found < 0:
        return b""
    found += len(start)
    return row[found : row.find(b'"', found)]


def texts_of(row: bytes, start: bytes) -> Iterator[bytes]:
    """Yield the text of each field of this name in an encoded row and in its nested rows; see `text_of`."""
    return (rest[: rest.find(b'"')] for rest in row.split(start)[1:])
