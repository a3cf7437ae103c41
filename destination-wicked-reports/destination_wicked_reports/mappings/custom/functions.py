"""The functions that expressions have beside JMESPath's own: a missing value makes them null, never an error.

Amounts are decimals all the way: `money` makes them, `sum` and `abs` keep them exact. No reason quotes a value, for
reasons are logged. A second value that is a setting (a time zone, a pattern, a decimal mark) is written out in the
expression, and is checked before there is a record.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from jmespath.functions import Functions, signature

from destination_wicked_reports.api.fields import YEARS, decimal, local, number_text
from destination_wicked_reports.errors import FieldError, SettingError
from destination_wicked_reports.mappings.order_payments import cents

#: By the name that `utc` is told, how many make a second.
_UNITS = {"seconds": Decimal(1), "milliseconds": Decimal(1000)}
#: `1,234.50`, with a currency before it: commas stand before every third digit or nowhere.
_GROUPED = re.compile(r"([+-]?)(?:[^\W\d_]{3} ?|[^\w\s.,+-] ?)?([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]+)?").fullmatch
_CURRENCY_BEHIND = re.compile(r"\s*(?:[^\W\d_]{3}|[^\w\s.,+-])$")
#: From `1.234,50` to `1,234.50`.
_SWAP = str.maketrans(",.", ".,")
_local = local("")

#: Any number of values of any type; `TAKES` says how many they may really be.
_ANY: Any = {"types": [], "variadic": True}
MANY = 99
#: How many values each function takes, least and most.
TAKES = {"utc": (1, 2), "money": (1, 2), "lower": (1, 1), "concat": (1, MANY), "regex": (2, 2), "coalesce": (1, MANY)}


class WickedFunctions(Functions):
    """JMESPath's functions and ours, as its library wants them."""

    @signature(_ANY)
    def _func_utc(self, value: Any, how: str = "UTC") -> str | None:
        """A time in UTC, from ISO 8601, from RFC 2822, or from a number of seconds or milliseconds since 1970."""
        if _blank(value):
            return None
        if how in _UNITS:
            return _from_epoch(value, _UNITS[how])
        if not isinstance(value, str):
            raise FieldError("", "utc(): a number; say utc(…, 'seconds') or utc(…, 'milliseconds')")
        if not value[:4].isdigit():
            return _from_mail(value, how)
        try:
            moment: str = _local(value)
        except FieldError as error:
            raise FieldError("", f"utc(): {error.reason}") from None
        return moment[:-1] if moment.endswith("Z") else _in_utc(datetime.fromisoformat(moment), how)

    @signature(_ANY)
    def _func_money(self, value: Any, mark: str = ".") -> Decimal | None:
        """An amount in cents, rounded half up, from a number or from text such as `$1,234.50`."""
        if _blank(value):
            return None
        if isinstance(value, str):
            swapped = value.translate(_SWAP) if mark == "," else value
            match = _GROUPED(_CURRENCY_BEHIND.sub("", swapped.strip()))
            if match:
                value = f"{match[1]}{match[2].replace(',', '')}{match[3] or ''}"
        try:
            return cents(decimal("", value))
        except (FieldError, ArithmeticError):
            raise FieldError("", "money(): not an amount such as 1,234.50 (or money(…, ',') for 1.234,50)") from None

    @signature(_ANY)
    def _func_lower(self, value: Any) -> str | None:
        """Text in small letters."""
        return None if value is None else _text("lower", value).lower()

    @signature(_ANY)
    def _func_concat(self, *values: Any) -> str | None:
        """All values as one text; null if one is missing, so that no id is ever made of half its parts."""
        if any(value is None for value in values):
            return None
        return "".join(_text("concat", value) for value in values)

    @signature(_ANY)
    def _func_regex(self, value: Any, pattern: str) -> str | None:
        """What a pattern finds in a text: its first group if it has one; null if it finds nothing."""
        if value is None:
            return None
        match = re.search(pattern, _text("regex", value))
        return match and match[1 if match.re.groups else 0]

    @signature(_ANY)
    def _func_coalesce(self, *values: Any) -> Any:
        """The first value that is neither null nor blank text."""
        return next((value for value in values if not _blank(value)), None)

    @signature({"types": ["array"]})
    def _func_sum(self, values: list[Any]) -> Decimal:
        """JMESPath's own, but exact."""
        return sum((number("sum", value) for value in values), Decimal(0))

    @signature({"types": []})
    def _func_abs(self, value: Any) -> Decimal | None:
        """JMESPath's own, but exact, and null of null."""
        return None if value is None else abs(number("abs", value))


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text(function: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if type(value) is int or isinstance(value, Decimal):
        return number_text("", value)
    raise FieldError("", f"{function}() takes texts and whole numbers; write to_string(…) around other values")


def number(function: str, value: Any) -> Decimal:
    """Return a number that is none of text, or raise FieldError naming the function."""
    if isinstance(value, (str, bool)):
        raise FieldError("", f"{function}() takes numbers; write money(…) or tonumber(…) around a text")
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
        raise FieldError("", "utc(): neither ISO 8601 nor a time such as Fri, 31 May 2024 13:45:00 +0000") from None
    return _in_utc(moment, zone)


def _in_utc(moment: datetime, zone: str) -> str:
    """Return a moment in UTC. An hour that comes twice when clocks go back counts as its first time."""
    try:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        moment = moment.astimezone(timezone.utc)
    except OverflowError:
        raise FieldError("", "utc(): a time outside the years 1970 to 2100") from None
    if moment.year not in YEARS:
        raise FieldError("", "utc(): a time outside the years 1970 to 2100")
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


# -- settings, known before there is a record --------------------------------------------------------------------------


def _check_time(how: str) -> None:
    if how in _UNITS:
        return
    try:
        ZoneInfo(how)
    except (KeyError, ValueError, OSError):
        raise SettingError(
            "the second value of utc() is 'seconds', 'milliseconds' or a time zone such as 'America/New_York'"
        ) from None


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise SettingError(f"the pattern of regex() is no regular expression ({error.msg})") from None


def _check_mark(mark: str) -> None:
    if mark not in (".", ","):
        raise SettingError("the second value of money() is the decimal mark, '.' or ','")


#: By function: what raises SettingError for a second value that cannot be.
SETTINGS: dict[str, Callable[[str], None]] = {"utc": _check_time, "regex": _check_pattern, "money": _check_mark}
