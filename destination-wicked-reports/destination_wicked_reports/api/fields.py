"""Checks and encodes field values: text, numbers, times. Raises FieldError with a reason for a value that is invalid.

The rules come from docs/vendors/wicked-reports.md 2.1 to 2.8. Two are our own. A value is never altered to fit: no
trimming, cutting or rounding. A number has one notation, without trailing zeros, so that `"10.50"` and `10.5` give the
same bytes and the same digest whichever runtime delivers them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any

import orjson

from destination_wicked_reports.errors import BlankError, FieldError

Check = Callable[[Any], Any]

#: Characters of the longest number: `decimal(18,2)` at Wicked, "18 digits" in the SDK
#: (docs/vendors/wicked-reports.md 2.3).
NUMBER_LIMIT = 18
#: Bits of an integer that Python converts to text; no field is as long.
MOST_BITS = 4096
YEARS = range(1970, 2101)

MISSING = "required, but missing or empty"
NULL_CHARACTER = "an id that contains a null character"
#: The validator uses PHP's `empty` (docs/vendors/wicked-reports.md 2.1).
ZERO = '"0", which Wicked Reports treats as empty'
_NOT_TEXT = "not text"
_FLOAT_ID = "a number with a fraction part where text is required; make it text or a whole number at the source"
_NOT_A_NUMBER = "not a number"
_NOT_WHOLE = "not a whole number"
_NEGATIVE = "negative"
_NOT_A_TIME = "not a date and time such as 2024-05-31 13:45:00 or 2024-05-31T13:45:00Z"
_NO_TIME = "a date without a time of day, which is ambiguous"
_NO_YEAR = "a date outside the years 1970 to 2100"
_TOO_LONG_NUMBER = f"a number of more than {NUMBER_LIMIT} characters"


class Kind(Enum):
    """Data type of a field."""

    TEXT = "text"
    MONEY = "number"
    AMOUNT = "number, 0 or more"
    #: Wicked's documents allow a negative total, but what it then counts is unknown
    TOTAL = "number, 0 or more, by our own rule"
    INTEGER = "whole number"
    COUNT = "whole number, 0 or more"
    UTC = "date and time in UTC"
    LOCAL = "date and time in the time zone given in the row"


def checker(kind: Kind, field: str, limit: int) -> Check:
    """Return the function that encodes a value for JSON or raises FieldError."""
    return _FACTORIES[kind](field, limit)


#: Characters that PHP's `trim` removes.
BLANKS = " \t\n\r\0\x0b"


def text(field: str, limit: int) -> Check:
    """Accept text unchanged and integers as text.

    Integral floats such as 12.0 are refused: ids that went through a float may have lost digits ("12.10" and "12.1"
    became one value), which a single row does not show.
    """

    def check(value: Any) -> str:
        written: str
        if isinstance(value, str):
            if not value.strip(BLANKS):
                raise BlankError(field, MISSING)
            written = value
        elif type(value) is int:
            written = (
                str(value) if value.bit_length() <= MOST_BITS else "9" * 1024
            )  # Python refuses to convert longer ones
        else:
            raise FieldError(field, _FLOAT_ID if isinstance(value, float | Decimal) else _NOT_TEXT)
        if len(written) > limit:
            raise FieldError(field, f"longer than {limit} characters")
        return written

    return check


def identity(field: str, limit: int) -> Check:
    """Text that identifies a row in the ledger. Databases cannot store or find text with a null character."""
    plain = text(field, limit)

    def check(value: Any) -> Any:
        written = plain(value)
        if "\0" in written:
            raise FieldError(field, NULL_CHARACTER)
        return written

    return check


_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?").fullmatch
#: Fast path for most amounts: above zero with a fraction part, so that only trailing zeros have to go.
_COMMON_AMOUNT = re.compile(r"[1-9][0-9]*\.[0-9]+").fullmatch
_ANY_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*").fullmatch


def decimal(field: str, value: Any) -> Decimal:
    """Return the exact decimal value; a float is taken as its shortest representation."""
    if isinstance(value, str):
        if len(value) <= 64 and _ANY_NUMBER(value):
            return Decimal(value)
    elif type(value) is int:
        if value.bit_length() <= 64:
            return Decimal(value)
        raise FieldError(field, _TOO_LONG_NUMBER)
    elif isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite():
        return value
    raise FieldError(field, _NOT_A_NUMBER)


def number_text(field: str, value: Any) -> str:
    """Return a number as plain decimal text: no exponent, no leading or trailing zeros."""
    if isinstance(value, Decimal):
        value = str(value)
    if not (isinstance(value, str) and len(value) <= 64 and _PLAIN_NUMBER(value)):
        number = decimal(field, value)
        if not number:
            return "0"
        if abs(number.adjusted()) > NUMBER_LIMIT:
            raise FieldError(field, _TOO_LONG_NUMBER)
        value = f"{number:f}"
    if "." in value:
        value = value.rstrip("0").rstrip(".")
    if len(value) > NUMBER_LIMIT:
        raise FieldError(field, _TOO_LONG_NUMBER)
    return "0" if value == "-0" else value


def money(field: str, minimum: int | None) -> Check:
    """Encode a number from its text, never through float arithmetic, so that no digit changes."""

    def check(value: Any) -> int | float | orjson.Fragment:
        if type(value) is str and len(value) <= NUMBER_LIMIT and _COMMON_AMOUNT(value):
            return orjson.Fragment(value.rstrip("0").rstrip("."))
        if type(value) is float:
            # orjson writes the same shortest text as repr, so most floats can stay floats.
            digits = repr(value)
            if len(digits) <= NUMBER_LIMIT and "e" not in digits and "n" not in digits:  # no exponent, inf or nan
                if minimum is not None and value < minimum:
                    raise FieldError(field, _NEGATIVE)
                return int(value) if digits[-2:] == ".0" else value
        digits = number_text(field, value)
        if minimum is not None and digits[0] == "-":
            raise FieldError(field, _NEGATIVE)
        return orjson.Fragment(digits)

    return check


_TOO_BIG = 10**NUMBER_LIMIT
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,18}(?:\.0*)?\s*").fullmatch


def whole(field: str, minimum: int | None) -> Check:
    """Accept a whole number, also written as 2.0 or "2.000000000", as warehouses write it."""

    def check(value: Any) -> int:
        if type(value) is int:
            number = value
        elif isinstance(value, str) and _WHOLE(value):
            number = int(value.partition(".")[0])
        elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            number = int(value)
        else:
            raise FieldError(field, _NOT_WHOLE)
        if not -_TOO_BIG // 10 < number < _TOO_BIG:  # the sign is a character
            raise FieldError(field, _TOO_LONG_NUMBER)
        if minimum is not None and number < minimum:
            raise FieldError(field, _NEGATIVE)
        return number

    return check


_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:[.,][0-9]+)?"
    r"(?: ?(?:([Zz]|UTC)|([+-])(0[0-9]|1[0-4])(?::?([0-5][0-9]))?))?"
).fullmatch
#: Fast path: the two usual notations, on days 1 to 28, which need no calendar check.
_COMMON_TIME = re.compile(
    r"(?:20[0-9]{2}|19[7-9][0-9])-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+]00:00)?"
).fullmatch
#: Longer texts are not remembered by `_common_time`.
_LONGEST_COMMON_TIME = 40
#: Characters of `YYYY-MM-DD HH:MM:SS`.
_WITHOUT_ZONE = 19
#: Input for the fallback parser: a full date, then a time of day. pendulum alone would accept "now" and "12:30".
_DATE_AND_TIME = re.compile(
    r"[0-9]{4}-?[0-9W][0-9-]*[ T][0-9:.,]+(Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?"
).fullmatch
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


def utc(field: str) -> Check:
    """Convert ISO 8601 to `YYYY-MM-DD HH:MM:SS` in UTC (docs/vendors/wicked-reports.md 2.1).

    A value without a zone is UTC. Fractions of a second are dropped. A date without a time and an epoch number are
    refused as ambiguous.
    """

    def check(value: Any) -> str:
        usual = _common_time(value) if isinstance(value, str) and len(value) <= _LONGEST_COMMON_TIME else ""
        return usual or _moment(field, value)[0]

    return check


@lru_cache(maxsize=512)  # the rows of one sale repeat its times
def _common_time(text: str) -> str:
    """Return a time in a usual notation as it is sent, "" for any other text."""
    if not _COMMON_TIME(text):
        return ""
    return text if len(text) == _WITHOUT_ZONE and text[10] == " " else f"{text[:10]} {text[11:19]}"


def local(field: str) -> Check:
    """Convert to `YYYY-MM-DD HH:MM:SS` in the zone of the row's `Timezone` (docs/vendors/wicked-reports.md 2.8).

    A value with a zone is returned in UTC with a "Z" appended; `endpoints.py` accepts it only if `Timezone` is UTC.
    """

    def check(value: Any) -> str:
        if isinstance(value, str) and len(value) == _WITHOUT_ZONE and (usual := _common_time(value)):
            return usual
        moment, zoned = _moment(field, value)
        return f"{moment}Z" if zoned else moment

    return check


def _moment(field: str, value: Any) -> tuple[str, bool]:
    match = _TIME(value) if isinstance(value, str) else None
    if match is None:
        return _unusual_moment(field, value)
    day, clock, zulu, sign, hours, minutes = match.groups()
    try:
        year = date.fromisoformat(day).year
    except ValueError:
        raise FieldError(field, "a date that does not exist") from None
    if year not in YEARS:
        raise FieldError(field, _NO_YEAR)
    if sign is None:
        return f"{day} {clock}", zulu is not None
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
    moment = datetime.fromisoformat(f"{day} {clock}")
    return _written(field, moment - offset if sign == "+" else moment + offset), True


def _unusual_moment(field: str, value: Any) -> tuple[str, bool]:
    """Parse the rarer notations of ISO 8601: no separators, no seconds, week and ordinal dates."""
    if isinstance(value, str) and _DATE(value):
        raise FieldError(field, _NO_TIME)
    match = _DATE_AND_TIME(value) if isinstance(value, str) and len(value) <= 64 else None
    if match is None:
        raise FieldError(field, _NOT_A_TIME)
    import pendulum

    try:
        moment = pendulum.parse(value, exact=True)
    except (ValueError, OverflowError):
        raise FieldError(field, _NOT_A_TIME) from None
    if not isinstance(moment, pendulum.DateTime):
        raise FieldError(field, _NOT_A_TIME)
    return _written(field, moment.in_timezone("UTC").naive()), match[1] is not None


def _written(field: str, moment: datetime) -> str:
    if moment.year not in YEARS:
        raise FieldError(field, _NO_YEAR)
    return moment.isoformat(sep=" ", timespec="seconds")


_FACTORIES: dict[Kind, Callable[[str, int], Check]] = {
    Kind.TEXT: text,
    Kind.MONEY: lambda field, _: money(field, None),
    Kind.AMOUNT: lambda field, _: money(field, 0),
    Kind.TOTAL: lambda field, _: money(field, 0),
    Kind.INTEGER: lambda field, _: whole(field, None),
    Kind.COUNT: lambda field, _: whole(field, 0),
    Kind.UTC: lambda field, _: utc(field),
    Kind.LOCAL: lambda field, _: local(field),
}
