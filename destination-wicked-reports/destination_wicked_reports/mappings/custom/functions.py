"""The functions available in expressions in addition to JMESPath's own. They return null for a missing value.

Amounts stay decimals: `money` returns them, `sum` and `abs` keep them exact. Error texts are logged, so they never
quote a value. Arguments that are settings (time zone, format, pattern, decimal mark) must be constants, and are
validated when the expression is compiled.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jmespath.functions import Functions, signature

from destination_wicked_reports.api.fields import MOST_BITS, YEARS, decimal, local, number_text
from destination_wicked_reports.api.json_text import exact_number, parse_text
from destination_wicked_reports.errors import FieldError, SettingError
from destination_wicked_reports.mappings.mail_dates import read_mail_date
from destination_wicked_reports.mappings.patterns import Pattern
from destination_wicked_reports.mappings.revenue import cents

#: Units per second, by the name that `utc` accepts.
_UNITS = {"seconds": Decimal(1), "milliseconds": Decimal(1000), "microseconds": Decimal(1_000_000)}
#: Characters of the longest text that `money` and `utc` read.
_MAX_AMOUNT, _MAX_TIME = 64, 64
#: `1,234.50`, with a currency before or behind: three capital letters or a sign of Unicode's category Sc, also `US$`.
#: Commas must separate all thousands or be absent.
_AMOUNT = re.compile(
    r"([+-]?)(?:(?:[A-Z]{3}|[A-Z]{0,3}(?P<before>[^\w\s.,+-])) ?)?"
    r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]+)?"
    r"(?: ?(?:[A-Z]{3}|(?P<behind>[^\w\s.,+-])))?"
).fullmatch
#: Converts `1.234,50` to `1,234.50`.
_SWAP = str.maketrans(",.", ".,")
#: The minus sign and the blanks that spreadsheets and locales write.
_SIGNS = str.maketrans("\u2212\u00a0\u202f", "-  ")
#: `UTC-5` and `+02:00`: an offset, as Wicked's own forms name zones (docs/vendors/wicked-reports.md 4).
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(0?[0-9]|1[0-4])(?::?([0-5][0-9]))?").fullmatch
#: Literal text in a format, and its tokens.
_LITERAL = re.compile(r"\[[^\]]*\]|\\\\.")
_LETTERS = frozenset("YMDHhmsSAZzXxQdEeo")
_HALF_OF_DAY = re.compile(r"(?<![A-Za-z])[AaPp][Mm](?![A-Za-z])")
_ZONE_TOKENS = frozenset("ZzXx")
_local = local("")

#: Any number of values of any type; `ARGUMENT_COUNTS` limits the number.
_ANY: Any = {"types": [], "variadic": True}
MANY = 99
#: The minimum and maximum number of arguments of each function.
ARGUMENT_COUNTS = {
    "utc": (1, 3),
    "money": (1, 2),
    "lower": (1, 1),
    "trim": (1, 1),
    "parse": (1, 1),
    "concat": (1, MANY),
    "regex": (2, 2),
    "coalesce": (1, MANY),
}


class WickedFunctions(Functions):
    """JMESPath's functions and the additional ones, in the form its library expects."""

    @signature(_ANY)
    def _func_utc(self, value: Any, how: str = "UTC", form: str = "") -> str | None:
        """Return a time in UTC, from ISO 8601, RFC 2822, a number of seconds since 1970, or text in a given format."""
        if _blank(value):
            return None
        if how in _UNITS:
            return _from_epoch(value, _UNITS[how])
        if not isinstance(value, str):
            raise FieldError("", "utc(): got a number; write utc(…, 'seconds') or utc(…, 'milliseconds')")
        if len(value) > _MAX_TIME:
            raise FieldError("", f"utc(): a text of more than {_MAX_TIME} characters")
        if form:
            return _in_utc(_from_format(value, form), how)
        if not value[:4].isdigit():
            return _from_mail(value, how)
        try:
            moment: str = _local(value)
        except FieldError as error:
            raise FieldError("", f"utc(): {error.reason}") from None
        return moment[:-1] if moment.endswith("Z") else _in_utc(datetime.fromisoformat(moment), how)

    @signature(_ANY)
    def _func_money(self, value: Any, mark: str = ".") -> Decimal | None:
        """Return an amount in cents, rounded half up, from a number or from text such as `$1,234.50`.

        Brackets, percent signs and anything else that is not understood are refused.
        """
        if _blank(value):
            return None
        try:
            return cents(decimal("", _plain_amount(value, mark) if isinstance(value, str) else value))
        except (FieldError, ArithmeticError):
            raise FieldError("", "money(): not an amount such as 1,234.50 (or money(…, ',') for 1.234,50)") from None

    @signature(_ANY)
    def _func_trim(self, value: Any) -> str | None:
        """Return text without blanks at its ends."""
        return None if value is None else _text("trim", value).strip()

    @signature(_ANY)
    def _func_parse(self, value: Any) -> Any:
        """Return the value that JSON text holds; other values are unchanged."""
        if _blank(value) or not isinstance(value, str):
            return None if isinstance(value, str) else value
        missing = object()
        parsed = parse_text(value, missing)
        if parsed is missing:
            raise FieldError("", "parse(): not JSON")
        return parsed

    @signature(_ANY)
    def _func_lower(self, value: Any) -> str | None:
        """Return text in lower case."""
        return None if value is None else _text("lower", value).lower()

    @signature(_ANY)
    def _func_concat(self, *values: Any) -> str | None:
        """Return all values as one text, or null if one is missing, so that no id is built from some of its parts."""
        if any(value is None for value in values):
            return None
        return "".join(_text("concat", value) for value in values)

    @signature(_ANY)
    def _func_regex(self, value: Any, pattern: str) -> str | None:
        """Return the first match of a pattern, or its first group if it has one; null without a match."""
        if value is None:
            return None
        compiled = _pattern(pattern)
        match = compiled.search(_text("regex", value))
        found: str | None = match and match[1 if compiled.groups else 0]
        return found

    @signature(_ANY)
    def _func_coalesce(self, *values: Any) -> Any:
        """Return the first value that is neither null nor blank text."""
        return next((value for value in values if not _blank(value)), None)

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        """Replace JMESPath's to_string, which cannot write decimals and very long integers."""
        if type(value) is int:
            return _integer_text(value)
        if isinstance(value, Decimal):
            return f"{value:f}"
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)

    @signature({"types": []})
    def _func_to_number(self, value: Any) -> Any:
        """Replace JMESPath's to_number, which loses digits."""
        if type(value) is bool or not isinstance(value, (str, int, float, Decimal)):
            return None
        return exact_number(value) if isinstance(value, str) else value

    @signature({"types": ["array"]})
    def _func_sum(self, values: list[Any]) -> Decimal:
        """Replace JMESPath's sum, which is not exact."""
        return sum((number("sum", value) for value in values), Decimal(0))

    @signature({"types": []})
    def _func_abs(self, value: Any) -> Decimal | None:
        """Replace JMESPath's abs, which is not exact and fails for null."""
        return None if value is None else abs(number("abs", value))


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text(function: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if type(value) is int:
        return _integer_text(value)
    if isinstance(value, Decimal):
        return number_text("", value)
    raise FieldError("", f"{function}() takes texts and whole numbers; wrap other values in to_string(…)")


def _integer_text(value: int) -> str:
    if value.bit_length() > MOST_BITS:
        raise FieldError("", "an integer that is too long for any field")
    return str(value)


def number(function: str, value: Any) -> Decimal:
    """Return a number that is not text; raises FieldError, which names the function."""
    if isinstance(value, (str, bool)):
        raise FieldError("", f"{function}() takes numbers; wrap a text in money(…) or to_number(…)")
    try:
        return decimal("", value)
    except FieldError as error:
        raise FieldError("", f"{function}(): {error.reason}") from None


def _from_epoch(value: Any, unit: Decimal) -> str:
    try:
        moment = datetime.fromtimestamp(int(decimal("", value) // unit), timezone.utc)
    except (FieldError, ValueError, OverflowError, OSError, ArithmeticError):
        raise FieldError("", "utc(): not a number of seconds or milliseconds since 1970") from None
    return _in_utc(moment, "UTC")


def _from_mail(value: str, zone: str) -> str:
    moment = read_mail_date(value)
    if moment is None:
        raise FieldError(
            "",
            "utc(): not an ISO 8601 time, nor one such as Fri, 31 May 2024 13:45:00 +0000; for other forms, give a "
            "zone and a format: utc(…, 'UTC', 'MM/DD/YYYY h:mm A')",
        )
    return _in_utc(moment, zone)


def _from_format(value: str, form: str) -> datetime:
    """Return the time of a text in a format of pendulum's tokens; raises FieldError unless it is wholly understood.

    The time has a zone only if the format does.
    """
    import pendulum

    try:
        written = _HALF_OF_DAY.sub(lambda half: half[0].upper(), value) if "A" in _tokens(form) else value
        moment = pendulum.from_format(written, form, locale="en")
        if _loosely(moment.format(form, locale="en")) == _loosely(value):
            return moment if _tokens(form) & _ZONE_TOKENS else moment.naive()
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
        pass
    raise FieldError("", f"utc(): not a time in the format {form}")


@cache
def _tokens(form: str) -> frozenset[str]:
    """Return the letters of a format's tokens."""
    return frozenset(_LITERAL.sub("", form)) & _LETTERS


def _loosely(text: str) -> str:
    """Return a text without what may differ between a time and its format: zeros before numbers, capitals."""
    return re.sub(r"(?<![0-9.])0+(?=[0-9])", "", text).casefold()


def _zone(name: str) -> tzinfo:
    """Return a time zone by name or offset; raises KeyError, ValueError or OSError."""
    match = _OFFSET(name)
    if match is None:
        return ZoneInfo(name)
    offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    return timezone(-offset if match[1] == "-" else offset)


def _plain_amount(text: str, mark: str) -> str:
    """Return an amount as decimal text; raises FieldError for what is not wholly understood."""
    if len(text) <= _MAX_AMOUNT:
        text = text.translate(_SIGNS).strip()
        text = text.translate(_SWAP) if mark == "," else text
        match = _AMOUNT(text)
        if match is None:
            return text
        signs = [sign for sign in (match["before"], match["behind"]) if sign]
        if all(unicodedata.category(sign) == "Sc" for sign in signs):
            return f"{match[1]}{match[3].replace(',', '')}{match[4] or ''}"
    raise FieldError("", "not an amount")


@cache
def _pattern(pattern: str) -> Pattern:
    return Pattern(pattern, "regex()")


def _in_utc(moment: datetime, zone: str) -> str:
    """Return a time in UTC. In the hour that repeats when clocks go back, the first occurrence counts."""
    try:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=_zone(zone))
        moment = moment.astimezone(timezone.utc)
    except OverflowError:
        raise FieldError("", "utc(): a time outside the years 1970 to 2100") from None
    if moment.year not in YEARS:
        raise FieldError("", "utc(): a time outside the years 1970 to 2100")
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


# -- validation of second arguments ------------------------------------------------------------------------------------


#: A moment whose parts all differ, to try a format with.
_SAMPLE = (2024, 11, 27, 13, 45, 56, 789000)


def _check_time(how: str, form: str = "") -> None:
    if form and how in _UNITS:
        raise SettingError("utc() takes a format only after a time zone: utc(…, 'UTC', 'MM/DD/YYYY h:mm A')")
    if how not in _UNITS:
        try:
            _zone(how)
        except (KeyError, ValueError, OSError):
            raise SettingError(
                "the second argument of utc() must be 'seconds', 'milliseconds', 'microseconds' or a time zone such as "
                "'America/New_York' or 'UTC-5'"
            ) from None
    if form:
        _check_format(form)


def _check_format(form: str) -> None:
    """Refuse a format that cannot be read back or leaves a part of the time open."""
    import pendulum

    tokens = _tokens(form)
    if not (tokens >= {"Y", "M", "D"} or (tokens >= {"Y"} and "DDD" in form) or tokens & {"X", "x"}):
        raise SettingError(f"the format {form} lacks the year, the month or the day (YYYY, MM, DD)")
    if ("h" in tokens) != ("A" in tokens):
        raise SettingError(f"the format {form} needs both h and A for hours of half a day, or H for those of a day")
    sample = pendulum.datetime(*_SAMPLE)
    try:
        _from_format(sample.format(form, locale="en"), form)
    except (FieldError, ValueError, KeyError, TypeError, AttributeError):
        raise SettingError(
            f"the format {form} is not made of pendulum's tokens, such as MM/DD/YYYY h:mm A (other letters belong in "
            "[brackets])"
        ) from None


def _check_pattern(pattern: str) -> None:
    import regex

    try:
        regex.compile(pattern)
    except regex.error as error:
        raise SettingError(f"the pattern of regex() is not a regular expression ({error.msg})") from None


def _check_mark(mark: str) -> None:
    if mark not in (".", ","):
        raise SettingError("the second argument of money() must be the decimal mark, '.' or ','")


#: By function: the validator of its arguments after the first, which raises SettingError.
SETTINGS: dict[str, Callable[..., None]] = {"utc": _check_time, "regex": _check_pattern, "money": _check_mark}
