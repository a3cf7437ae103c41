"""Normalization and validation of the configuration."""

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

#: For an empty `account_time_zone`; a test keeps it equal to the default in the spec. In the vendor's sample, dates
#: without a zone are four hours behind UTC in June (docs/vendors/wicked-reports.md 5.3) [guess].
ACCOUNT_TIME_ZONE = "America/New_York"
_DATES = ("start_date", "end_date")
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}:\d{2}(\.\d+)?Z?)?")
_KEY = re.compile(r"[\x21-\x7e]+")


class NormalizeConfig(ConfigTransformation):
    """Rewrites dates as plain days and contact ids as a list of texts; adds `read_from` and `read_until`.

    `read_from` is the first day to read: the day before `start_date`, because the vendor's days may begin some hours
    after those of UTC. `read_until` is the last one: `end_date`, but no later than today. Unreadable values stay as
    they are; `validate` rejects them with a message.
    """

    def transform(self, config: MutableMapping[str, Any]) -> None:
        """Rewrite the configuration in place."""
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


def validate(config: Mapping[str, Any]) -> None:
    """Raise `config_error` for values that the JSON schema of the spec accepts but that cannot be used."""
    if not _KEY.fullmatch(str(config.get("api_key") or "")):
        raise config_error(
            "The API key is empty or has invalid characters. Copy it again from the Authorizations page in Wicked "
            "Reports into API Key."
        )
    dates = {name: _parse_day(name, config[name]) for name in _DATES if config.get(name)}
    if "start_date" not in dates:
        raise config_error("start_date is missing. Enter the day from which to read.")
    if dates.get("end_date", dates["start_date"]) < dates["start_date"]:
        raise config_error("end_date is before start_date. Change one of them, or remove end_date to read up to today.")
    if {".", ".."} & set(config.get("contact_ids") or ()):
        raise config_error('contact_ids has the entry "." or "..", which is not an id. Remove it.')
    account_zone(config)


def account_zone(config: Mapping[str, Any]) -> tzinfo:
    """Return the time zone of dates that Wicked Reports sends without one."""
    try:
        return ZoneInfo(str(config.get("account_time_zone") or ACCOUNT_TIME_ZONE).strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise config_error(
            "account_time_zone is not a time zone. Use an IANA name, such as America/New_York or Europe/Berlin."
        ) from None


def _parse_day(name: str, text: Any) -> date:
    try:
        day = date.fromisoformat(str(text))
    except ValueError:
        raise config_error(f"{name} is not a valid date. Write it as 2025-01-31.") from None
    if day.year < 1970:
        raise config_error(f"{name} is before 1970. Enter the first day for which Wicked Reports has data.")
    return day
