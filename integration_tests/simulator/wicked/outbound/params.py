"""The parameters of the outbound lists and the instants they mean (docs/vendors/wicked-reports.md 5.1, 5.4)."""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .snapshot import EASTERN

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
#: "The difference between parameters from and to cannot exceed 30 days" (S1, "List all clicks")
MAX_DAYS = 30
#: the same for one contact's clicks (S1, "Retrieve the clicks of a specific contact")
MAX_CONTACT_DAYS = 180
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LIMIT = re.compile(r"[0-9]{1,9}")
ALWAYS = (-(2**62), 2**62)


class BadRequestError(Exception):
    """A parameter is missing or wrong. The text is for the log: the vendor has one message for all cases."""


@dataclass(frozen=True)
class ListQuery:
    """One list: kind, contact, days as requested, seconds as `start <= second < end`, and page size."""

    kind: str
    contact: str | None
    days: tuple[str, str] | None
    span: tuple[int, int]
    limit: int

    @property
    def unbounded(self) -> bool:
        """Whether no dates were given; only a contact's clicks allow that."""
        return self.days is None


def list_query(kind: str, contact: str | None, parameters: Mapping[str, str], switches: Mapping[str, str]) -> ListQuery:
    """Parse the parameters of one list; unknown ones are ignored [guess]."""
    limit = _limit(parameters, switches)
    if kind == "clicks" and contact is not None and not {"from", "to"} & parameters.keys():
        return ListQuery(kind, contact, None, ALWAYS, limit)
    first, last = _day(parameters, "from"), _day(parameters, "to")
    if first > last:
        raise BadRequestError("from is after to")
    max_days = {("clicks", True): MAX_DAYS, ("clicks", False): MAX_CONTACT_DAYS}.get((kind, contact is None))
    days = (last - first).days + (switches["outbound.range"] == "days_counted")
    if max_days is not None and days > max_days:
        raise BadRequestError(f"from and to are more than {max_days} days apart")
    return ListQuery(kind, contact, (first.isoformat(), last.isoformat()), _span(first, last, switches), limit)


def _day(parameters: Mapping[str, str], name: str) -> date:
    text = parameters.get(name, "")
    if not _DAY.fullmatch(text):
        raise BadRequestError(f"{name} must be a date as YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequestError(f"{name} is not a day of the calendar") from None


def _limit(parameters: Mapping[str, str], switches: Mapping[str, str]) -> int:
    text = parameters.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if _LIMIT.fullmatch(text) else 0
    if limit > MAX_LIMIT and switches["outbound.over_limit"] == "clamp":
        return MAX_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequestError(f"limit must be 1 to {MAX_LIMIT}")
    return limit


def _span(first: date, last: date, switches: Mapping[str, str]) -> tuple[int, int]:
    """Return the seconds of a range as `start <= second < end`, as the switches interpret it."""
    zone = switches["outbound.day_zone"]
    start, next_start = midnight(first, zone), midnight(first + timedelta(days=1), zone)
    end, next_end = midnight(last, zone), midnight(last + timedelta(days=1), zone)
    starts = {"inclusive": start, "after_midnight": start + 1, "exclusive": next_start}
    ends = {"inclusive": next_end, "exclusive": end, "at_midnight": end + 1}
    return starts[switches["outbound.from"]], ends[switches["outbound.to"]]


def midnight(day: date, zone: str) -> int:
    """Return the second at which a day begins in `utc` or `eastern`."""
    if zone == "utc":
        return timegm(day.timetuple())
    return int(datetime(day.year, day.month, day.day, tzinfo=EASTERN).timestamp())
