"""The functions available in expressions in addition to JMESPath's own. They return null for a missing value.

Amounts stay decimals: `money` returns them, `sum` and `abs` keep them exact. Error texts are logged, so they never
quote a value. A second argument that is a setting (time zone, pattern, decimal mark) must be a constant, and is
validated when the expression is compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from jmespath.functions import Functions, signature

from destination_wicked_reports.api.fields import MOST_BITS, YEARS, decimal, local, number_text
from destination_wicked_reports.api.json_text import exact_number
from destination_wicked_reports.errors import FieldError, SettingError
from destination_wicked_reports.mappings.revenue import cents

#: Units per second, by the name that `utc` accepts.
_UNITS = {"seconds": Decimal(1), "milliseconds": Decimal(1000)}
#: `1,234.50`, optionally after a currency. Commas must separate all thousands or be absent.
_GROUPED = re.compile(r"([+-]?)(?:[^\W\d_]{3} ?|[^\w\s.,+-] ?)?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]+)?").fullmatch
_TRAILING_CURRENCY = re.compile(r"\s*(?:[^\W\d_]{3}|[^\w\s.,+-])$")
#: Converts `1.234,50` to `1,234.50`.
_SWAP = str.maketrans(",.", ".,")
_local = local("")

#: Any number of values of any type; `ARGUMENT_COUNTS` limits the number.
_ANY: Any = {"types": [], "variadic": True}
MANY = 99
#: The minimum and maximum number of arguments of each function.
ARGUMENT_COUNTS = {
    "utc": (1, 2),
    "money": (1, 2),
    "lower": (1, 1),
    "concat": (1, MANY),
    "regex": (2, 2),
    "coalesce": (1, MANY),
}


class WickedFunctions(Functions):
    """JMESPath's functions and the additional ones, in the form its library expects."""

    @signature(_ANY)
    def _func_utc(self, value: Any, how: str = "UTC") -> str | None:
        """Return a time in UTC, from ISO 8601, RFC 2822, or a number of seconds or milliseconds since 1970."""
        if _blank(value):
            return None
        if how in _UNITS:
            return _from_epoch(value, _UNITS[how])
        if not isinstance(value, str):
            raise FieldError("", "utc(): got a number; write utc(…, 'seconds') or utc(…, 'milliseconds')")
        if not value[:4].isdigit():
            return _from_mail(value, how)
        try:
            moment: str = _local(value)
        except FieldError as error:
            raise FieldError("", f"utc(): {error.reason}") from None
        return moment[:-1] if moment.endswith("Z") else _in_utc(datetime.fromisoformat(moment), how)

    @signature(_ANY)
    def _func_money(self, value: Any, mark: str = ".") -> Decimal | None:
        """Return an amount in cents, rounded half up, from a number or from text such as `$1,234.50`."""
        if _blank(value):
            return None
        if isinstance(value, str):
            swapped = value.translate(_SWAP) if mark == "," else value
            match = _GROUPED(_TRAILING_CURRENCY.sub("", swapped.strip()))
            if match:
                value = f"{match[1]}{match[2].replace(',', '')}{match[3] or ''}"
        try:
            return cents(decimal("", value))
        except (FieldError, ArithmeticError):
            raise FieldError("", "money(): not an amount such as 1,234.50 (or money(…, ',') for 1.234,50)") from None

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
        match = re.search(pattern, _text("regex", value))
        return match and match[1 if match.re.groups else 0]

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
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise FieldError("", "utc(): not an ISO 8601 time, nor one such as Fri, 31 May 2024 13:45:00 +0000") from None
    return _in_utc(moment, zone)


def _in_utc(moment: datetime, zone: str) -> str:
    """Return a time in UTC. In the hour that repeats when clocks go back, the first occurrence counts."""
    try:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        moment = moment.astimezone(timezone.utc)
    except OverflowError:
        raise FieldError("", "utc(): a time outside the years 1970 to 2100") from None
    if moment.year not in YEARS:
        raise FieldError("", "utc(): a time outside the years 1970 to 2100")
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


# -- validation of second arguments ------------------------------------------------------------------------------------


def _check_time(how: str) -> None:
    if how in _UNITS:
        return
    try:
        ZoneInfo(how)
    except (KeyError, ValueError, OSError):
        raise SettingError(
            "the second argument of utc() must be 'seconds', 'milliseconds' or a time zone such as 'America/New_York'"
        ) from None


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise SettingError(f"the pattern of regex() is not a regular expression ({error.msg})") from None


def _check_mark(mark: str) -> None:
    if mark not in (".", ","):
        raise SettingError("the second argument of money() must be the decimal mark, '.' or ','")


#: By function: the validator of its second argument, which raises SettingError.
SETTINGS: dict[str, Callable[[str], None]] = {"utc": _check_time, "regex": _check_pattern, "money": _check_mark}
