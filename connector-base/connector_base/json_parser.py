"""Parses JSON without losing a digit or a row.

orjson parses the usual body. It rejects a whole body for one unpaired surrogate, one invalid byte or one NaN, and turns
numbers that a double cannot hold into rounded floats; such bodies go to a slower parser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from .errors import BadResponseError

_MAX_INT_CHARS = 18  # fits 64 bits in any case
_MAX_FLOAT_CHARS = 16  # 15 digits, which a double always keeps, and the point
_MAX_ZEROS = 400
#: Maps digits and the point to 0, E to e, and signs and everything that may stand before a number to a colon. A plain
#: search then finds where long numbers may be.
_DIGITS = bytes.maketrans(b"123456789.E,[ \t\r\n-+", b"0000000000e::::::::")
_LONG, _TINY = b":" + b"0" * 16, b"0e:000"  # orjson itself rejects what exceeds a double
_LONG_NUMBER = re.compile(
    rb"(?:\A|(?<=[:,\[ \t\r\n]))-?(?:[0-9]{19}|(?=[0-9.]{17})[0-9]+\.[0-9]|[0-9.]{16,}[eE]|[0-9.]+[eE][+-]?[0-9]{3})"
)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


@dataclass
class Repairs:
    """Counts what a strict parser would have rejected."""

    #: Values that JSON does not have, such as NaN; they become null.
    nulls: int = 0
    #: Whether invalid characters were replaced with U+FFFD.
    text: bool = False

    def null(self, _word: str) -> None:
        """Count one value; a `parse_constant` of the standard library's decoder."""
        self.nulls += 1


def loads(body: bytes, repairs: Repairs | None = None) -> Any:
    """Parse a whole body; numbers that a float would round become decimal text, and NaN and Infinity become null.

    Raises `BadResponseError` if it is not one JSON value, or nested more deeply than a writer of JSON accepts.
    """
    try:
        value = orjson.loads(body)
        if may_lose_digits(body):
            value = _parse_slowly(body, repairs or Repairs())
        orjson.dumps(value)
    except orjson.JSONDecodeError:
        value = _parse_slowly(body, repairs or Repairs())
        try:
            orjson.dumps(value)
        except orjson.JSONEncodeError:
            raise BadResponseError("the body is nested too deeply") from None
    except orjson.JSONEncodeError:
        raise BadResponseError("the body is nested too deeply") from None
    return value


def may_lose_digits(body: bytes) -> bool:
    """Return whether a number of the body may be one that orjson rounds; text that looks like one counts, too."""
    digits = body.translate(_DIGITS)
    # `rfind` compares the first character first, which is rarer in a body than the last one: it is twice as fast.
    if digits.rfind(_LONG) < 0 and digits.rfind(_TINY) < 0 and not digits.startswith(_LONG[1:]):
        return False
    return any(_LONG_NUMBER.match(body, start) for start in _number_starts(body, digits))


def _number_starts(body: bytes, digits: bytes) -> Iterator[int]:
    """Yield where numbers may start that contain a run of digits or an exponent that a float may not hold.

    `bytes.find` finds them, because the regular expression is slow to scan a body.
    """
    yield 0
    for found in _find_all(_LONG, digits):
        yield found + (body[found : found + 1] != b"-")
    for found in _find_all(_TINY, digits):
        before = digits[max(found - len(_LONG), 0) : found]
        start = found - len(before) + len(before.rstrip(b"0"))
        yield start - (body[start - 1 : start] == b"-")


def _find_all(needle: bytes, digits: bytes) -> Iterator[int]:
    found = digits.find(needle)
    while found >= 0:
        yield found
        found = digits.find(needle, found + len(needle))


def _parse_slowly(body: bytes, repairs: Repairs) -> Any:
    encoding = json.detect_encoding(body)
    try:
        text = body.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        text, repairs.text = body.decode(encoding, "replace"), True
    decoder = json.JSONDecoder(
        parse_float=exact_float, parse_int=exact_int, parse_constant=repairs.null, strict=False
    )  # `strict` rejects line breaks inside a text
    try:
        value = decoder.decode(text)
        return replace_surrogates(value, repairs) if _SURROGATE.search(text) else value
    except RecursionError:
        raise BadResponseError("the body is nested too deeply") from None
    except ValueError:
        raise BadResponseError("the body is not complete JSON") from None


def exact_int(number: str) -> int | str:
    """Return a whole number, or its text if it exceeds 64 bits."""
    if len(number) <= _MAX_INT_CHARS:
        return int(number)
    return int(number) if len(number) <= _MAX_INT_CHARS + 2 and -(1 << 63) <= int(number) < 1 << 63 else number


def exact_float(number: str) -> float | str:
    """Return a number with a fraction or an exponent, or its decimal text if a float would change its value."""
    value = float(number)
    if len(number) <= _MAX_FLOAT_CHARS and "e" not in number and "E" not in number:
        return value
    try:
        return value if Decimal(repr(value)) == Decimal(number) else decimal_text(number)
    except InvalidOperation:  # the exponent exceeds Decimal's range
        return number


def decimal_text(number: str) -> str:
    """Return a JSON number as plain decimal text: `7.5E-4` becomes `0.00075`."""
    if "e" in number or "E" in number:
        try:
            exact = Decimal(number)
        except InvalidOperation:  # the exponent exceeds Decimal's range
            return number
        if abs(exact.adjusted()) < _MAX_ZEROS:
            return format(exact, "f")
    return number


def replace_surrogates(value: Any, repairs: Repairs | None = None) -> Any:
    r"""Replace unpaired surrogates, such as `\ud83d` alone, which writers of JSON reject, with U+FFFD."""
    try:
        orjson.dumps(value)
    except TypeError:
        if isinstance(value, str):
            text = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins pairs
            if repairs is not None and text.count("\ufffd") > value.count("\ufffd"):
                repairs.text = True
            return text
        if isinstance(value, dict):
            return {
                replace_surrogates(name, repairs): replace_surrogates(inner, repairs) for name, inner in value.items()
            }
        if isinstance(value, list):
            return [replace_surrogates(inner, repairs) for inner in value]
    return value
