"""The parameters of the outbound lists: what they must look like, and which instants they mean (5.1, 5.4)."""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .snapshot import EASTERN

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
#: "The difference between parameters from and to cannot exceed 30 days" (S1, "List all clicks").
MAX_DAYS = 30
#: the same of one contact's clicks (S1, "Retrieve the clicks of a specific contact").
MAX_CONTACT_DAYS = 180
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LIMIT = re.compile(r"[0-9]{1,9}")
ALWAYS = (-(2**62), 2**62)


class BadRequest(Exception):
    """A parameter is missing or wrong; the vendor answers all of it with one sentence, this text is for the log."""


@dataclass(frozen=True)
class ListQuery:
    """One list as it was asked for: what, of whom, from when to when, how many a page. Two equal ones are one query."""

    kind: str
    contact: str | None
    days: tuple[str, str] | None
    span: tuple[int, int]
    limit: int

    @property
    def unbounded(self) -> bool:
        """Whether no dates were given, which only a contact's clicks allow."""
        return self.days is None


def list_query(kind: str, contact: str | None, parameters: Mapping[str, str], switches: Mapping[str, str]) -> ListQuery:
    """Read and check the parameters of one list; unknown ones are ignored [guess]."""
    limit = _limit(parameters, switches)
    if kind == "clicks" and contact is not None and not {"from", "to"} & parameters.keys():
        return ListQuery(kind, contact, None, ALWAYS, limit)
    first, last = _day(parameters, "from"), _day(parameters, "to")
    if first > last:
        raise BadRequest("from is after to")
    most = {("clicks", True): MAX_DAYS, ("clicks", False): MAX_CONTACT_DAYS}.get((kind, contact is None))
    counted = (last - first).days + (switches["outbound.range"] == "days_counted")
    if most is not None and counted > most:
        raise BadRequest(f"from and to are more than {most} days apart")
    return ListQuery(kind, contact, (first.isoformat(), last.isoformat()), _span(first, last, switches), limit)


def _day(parameters: Mapping[str, str], name: str) -> date:
    text = parameters.get(name, "")
    if not _DAY.fullmatch(text):
        raise BadRequest(f"{name} must be a date as YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f"{name} is no day of the calendar") from None


def _limit(parameters: Mapping[str, str], switches: Mapping[str, str]) -> int:
    text = parameters.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if _LIMIT.fullmatch(text) else 0
    if limit > MAX_LIMIT and switches["outbound.over_limit"] == "clamp":
        return MAX_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"limit must be 1 to {MAX_LIMIT}")
    return limit


def _span(first: date, last: date, switches: Mapping[str, str]) -> tuple[int, int]:
    """Return the seconds that a range stands for, as `start <= second < end`, by the switches' reading of it."""
    zone = switches["outbound.day_zone"]
    start, next_start = midnight(first, zone), midnight(first + timedelta(days=1), zone)
    end, next_end = midnight(last, zone), midnight(last + timedelta(days=1), zone)
    starts = {"inclusive": start, "after_midnight": start + 1, "exclusive": next_start}
    ends = {"inclusive": next_end, "exclusive": end, "at_midnight": end + 1}
    return starts[switches["outbound.from"]], ends[switches["outbound.to"]]


def midnight(day: date, zone: str) -> int:
    """Return the second at which a day begins, in `utc` or `eastern`."""
    if zone == "utc":
        return timegm(day.timetuple())
    return int(datetime(day.year, day.month, day.day, tzinfo=EASTERN).timestamp())
