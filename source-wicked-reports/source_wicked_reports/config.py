"""The configuration: how it may be written, what it becomes, and what is refused before a request."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from datetime import date, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airbyte_cdk.sources.declarative.transformations.config_transformations.config_transformation import (
    ConfigTransformation,
)

from .base.errors import config_error
from .base.rate_limit import utc_now

#: "by default ... 120 requests per minute" (reference, "Throttling")
REQUESTS_PER_MINUTE = 120
#: the sample's dates without a zone are four hours behind UTC in June, and the help pages speak of EST [guess]
ACCOUNT_TIME_ZONE = "America/New_York"
_DATES = ("start_date", "end_date")
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}:\d{2}(\.\d+)?Z?)?")
_KEY = re.compile(r"[\x21-\x7e]+")


class NormalizeConfig(ConfigTransformation):
    """Writes dates as bare days and contact ids as a list of texts, each once.

    `read_from` and `read_until` are added: the first day to read, one before the start, because the vendor's days may
    begin some hours after those of UTC, and the last one. What cannot be read is left for `refuse_bad_settings`, so
    that the refusal comes with its sentence.
    """

    def transform(self, config: MutableMapping[str, Any]) -> None:
        """Replace what can be read."""
        for name in _DATES:
            if isinstance(config.get(name), str) and (found := _DAY.fullmatch(config[name].strip())):
                config[name] = found[1]
        if isinstance(config.get("api_key"), str):
            config["api_key"] = config["api_key"].strip()
        ids = config.get("contact_ids")
        if ids is None or isinstance(ids, (str, list)):
            parts = ids.split(",") if isinstance(ids, str) else ids or []
            config["contact_ids"] = [text for text in dict.fromkeys(str(part).strip() for part in parts) if text]
        today = f"{utc_now():%Y-%m-%d}"
        config["read_from"] = _day_before(config.get("start_date"))
        end = config.get("end_date")
        config["read_until"] = min(end, today) if end and isinstance(end, str) else today


def _day_before(day: Any) -> Any:
    try:
        return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    except (ValueError, TypeError, OverflowError):
        return day


def refuse_bad_settings(config: Mapping[str, Any]) -> None:
    """Raise `config_error` for what a JSON schema cannot see."""
    if not _KEY.fullmatch(str(config.get("api_key") or "")):
        raise config_error(
            "The API key is empty or no key: copy it again from Wicked Reports, Authorizations, into API Key."
        )
    read = {name: _calendar_day(name, config[name]) for name in _DATES if config.get(name)}
    if "start_date" not in read:
        raise config_error("start_date is missing: say from which day on Wicked Reports is to be read.")
    if read.get("end_date", read["start_date"]) < read["start_date"]:
        raise config_error("end_date lies before start_date: move one of them, or remove end_date to read up to today.")
    if {".", ".."} & set(config.get("contact_ids") or ()):
        raise config_error('contact_ids holds "." or "..", which is no id: remove it.')
    account_zone(config)


def account_zone(config: Mapping[str, Any]) -> tzinfo:
    """Return the zone of the dates that come without one."""
    try:
        return ZoneInfo(str(config.get("account_time_zone") or ACCOUNT_TIME_ZONE).strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise config_error(
            "account_time_zone is no time zone: write a name of the IANA list, as America/New_York or Europe/Berlin."
        ) from None


def _calendar_day(name: str, text: Any) -> date:
    try:
        day = date.fromisoformat(str(text))
    except ValueError:
        raise config_error(f"{name} is not a day of the calendar: write it as 2025-01-31.") from None
    if day.year < 1970:
        raise config_error(f"{name} lies before 1970: write the first day that Wicked Reports has data of.")
    return day
