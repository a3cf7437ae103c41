"""Values on the wire: text, numbers, UTC seconds. A value that may not be sent is refused with a reason.

The rules are those of `apis/wicked-facts.md`, 2.1 to 2.8. Two of our own: a value is never bent to fit (no trimming,
no cutting, no rounding), and a number is written in one way only (no trailing zeros), so that the same row gives the
same bytes, and so the same digest, whichever host carried it: `"10.50"` and `10.5` are one amount.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson

from destination_wicked_reports.errors import BlankError, FieldError

Check = Callable[[Any], Any]

#: Both `decimal(18,2)` at Wicked and the SDK's "18 digits" (wicked-facts 2.3): the longest number in characters.
NUMBER_LIMIT = 18
YEARS = range(1970, 2101)

MISSING = "required, but missing or empty"
NULL_CHARACTER = "an id with a null character in it"
ZERO = '"0", which counts as empty for Wicked (wicked-facts 2.1: its validator is PHP\'s)'
_NOT_TEXT = "not text"
_FLOAT_ID = "a number with a fraction part where text is due; make it text or a whole number at the source"
_NOT_A_NUMBER = "not a number"
_NOT_WHOLE = "not a whole number"
_NEGATIVE = "negative"
_NOT_A_TIME = "not a date and time such as 2024-05-31 13:45:00 or 2024-05-31T13:45:00Z"
_NO_TIME = "a date without a time of day, which could be any of three days in Wicked's reports"
_NO_YEAR = "a date outside the years 1970 to 2100"
_TOO_LONG_NUMBER = f"a number of more than {NUMBER_LIMIT} characters"


class Kind(Enum):
    """What a field may hold."""

    TEXT = "text"
    MONEY = "number"
    AMOUNT = "number, 0 or more"
    INTEGER = "whole number"
    COUNT = "whole number, 0 or more"
    UTC = "date and time in UTC"
    LOCAL = "date and time in the zone that the row names"


def checker(kind: Kind, field: str, limit: int) -> Check:
    """Return the function that turns a value into what goes on the wire, or raises FieldError."""
    return _FACTORIES[kind](field, limit)


BLANKS = " \t\n\r\0\x0b"  # what PHP's trim takes off


def text(field: str, limit: int) -> Check:
    """Text and whole numbers, unchanged.

    Integral floats such as 12.0 are refused, too: a column of ids that has been through a float may have lost digits
    ("12.10" and "12.1" have become one), and that cannot be seen from one row.
    """

    def check(value: Any) -> str:
        written: str
        if isinstance(value, str):
            if not value.strip(BLANKS):
                raise BlankError(field, MISSING)
            written = value
        elif type(value) is int:
            written = str(value) if value.bit_length() <= 4096 else "9" * 1024  # Python will not spell out longer ones
        else:
            raise FieldError(field, _FLOAT_ID if isinstance(value, float) else _NOT_TEXT)
        if len(written) > limit:
            raise FieldError(field, f"longer than {limit} characters")
        return written

    return check


def identity(field: str, limit: int) -> Check:
    """Text that names a row in the ledger. No database keeps, or finds again, a text with a null character in it."""
    plain = text(field, limit)

    def check(value: Any) -> Any:
        written = plain(value)
        if "\0" in written:
            raise FieldError(field, NULL_CHARACTER)
        return written

    return check


_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?").fullmatch
#: Above zero and with a fraction part, as most amounts are: nothing to refuse, and only zeros to take off.
_COMMON_AMOUNT = re.compile(r"[1-9][0-9]*\.[0-9]+").fullmatch
_ANY_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*").fullmatch


def decimal(field: str, value: Any) -> Decimal:
    """Return a number exactly as it was written; a float counts as its shortest text."""
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
    """Return a number that keeps its digits all the way: it is written from text, never through float arithmetic."""

    def check(value: Any) -> int | float | orjson.Fragment:
        if type(value) is str and len(value) <= NUMBER_LIMIT and _COMMON_AMOUNT(value):
            return orjson.Fragment(value.rstrip("0").rstrip("."))
        if type(value) is float:
            # orjson writes the same shortest text that repr does, so most floats can go as they are.
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
    """A whole number, also written as 2.0 or "2.000000000", which is what a warehouse makes of it."""

    def check(value: Any) -> int:
        if type(value) is int:
            number = value
        elif isinstance(value, str) and _WHOLE(value):
            number = int(value.partition(".")[0])
        elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            number = int(value)
        else:
            raise FieldError(field, _NOT_WHOLE)
        if not -_TOO_BIG // 10 < number < _TOO_BIG:  # the sign is a character, too
            raise FieldError(field, _TOO_LONG_NUMBER)
        if minimum is not None and number < minimum:
            raise FieldError(field, _NEGATIVE)
        return number

    return check


_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:[.,][0-9]+)?"
    r"(?: ?(?:([Zz]|UTC)|([+-])(0[0-9]|1[0-4])(?::?([0-5][0-9]))?))?"
).fullmatch
#: The two forms nearly all values have, on days that every month has: sound without a look at the calendar.
_COMMON_TIME = re.compile(
    r"(?:20[0-9]{2}|19[7-9][0-9])-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+]00:00)?"
).fullmatch
#: What the fallback may look at: a full date, then a time of day. pendulum would also take "now" and "12:30".
_DATE_AND_TIME = re.compile(
    r"[0-9]{4}-?[0-9W][0-9-]*[ T][0-9:.,]+(Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?"
).fullmatch
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch


def utc(field: str) -> Check:
    """`YYYY-MM-DD HH:MM:SS` in UTC (wicked-facts 2.1), from ISO 8601 or from the same form.

    Without a zone the value is UTC already, as Wicked documents its dates. Fractions are cut: the second is Wicked's
    grain. A bare date and an epoch number are refused, for both leave open which moment is meant.
    """

    def check(value: Any) -> str:
        if isinstance(value, str) and _COMMON_TIME(value):
            return value if len(value) == 19 and value[10] == " " else f"{value[:10]} {value[11:19]}"
        return _moment(field, value)[0]

    return check


def local(field: str) -> Check:
    """`YYYY-MM-DD HH:MM:SS` on the clock that the row's `Timezone` names (wicked-facts 2.8), kept as it is.

    A value with a zone of its own comes back in UTC with a "Z" behind it: only a row whose Timezone is UTC can take
    it, which `endpoints.py` decides.
    """

    def check(value: Any) -> str:
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
    """Read the rarer forms of ISO 8601: no separators, no seconds, week and ordinal dates."""
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
    Kind.INTEGER: lambda field, _: whole(field, None),
    Kind.COUNT: lambda field, _: whole(field, 0),
    Kind.UTC: lambda field, _: utc(field),
    Kind.LOCAL: lambda field, _: local(field),
}
