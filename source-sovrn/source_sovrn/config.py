"""Normalization and validation of the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from datetime import date
from typing import Any

from airbyte_cdk.sources.declarative.transformations.config_transformations.config_transformation import (
    ConfigTransformation,
)

from .base.errors import config_error
from .base.rate_limit import utc_now

_ID_LISTS = ("campaign_ids", "merchant_group_ids")
_DATES = ("start_date", "end_date")
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}:\d{2}(\.\d+)?Z?)?")
_ID = re.compile(r"0*[1-9][0-9]*")
_COMMA_LIST = re.compile(r"([1-9][0-9]*(,[1-9][0-9]*)*)?")
_KEY = re.compile(r"[\x21-\x7e]+")


class NormalizeConfig(ConfigTransformation):
    """Rewrites dates as plain days, id lists as `1,2,3`, and the key without its scheme; adds `read_until`.

    `read_until` is the last day to read: `end_date`, but no later than today. Unreadable values stay as they are;
    `validate` rejects them with a message.
    """

    def transform(self, config: MutableMapping[str, Any]) -> None:
        """Rewrite the configuration in place."""
        for name in _DATES:
            if isinstance(config.get(name), str) and (found := _DAY.fullmatch(config[name].strip())):
                config[name] = found[1]
        for name in _ID_LISTS:
            config[name] = _comma_list(config.get(name))
        if isinstance(config.get("secret_key"), str):
            config["secret_key"] = config["secret_key"].strip().removeprefix("secret ").strip()
        today = f"{utc_now():%Y-%m-%d}"
        end = config.get("end_date")
        config["read_until"] = min(end, today) if end and isinstance(end, str) else today


def _comma_list(value: Any) -> Any:
    """Return ids as `1,2,3` without duplicates; return anything but positive whole numbers unchanged."""
    if value in (None, "", []):
        return ""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    texts = [str(part).strip() for part in parts if not isinstance(part, bool)]
    if len(texts) < len(parts) or not all(_ID.fullmatch(text) for text in texts):
        return value
    return ",".join(dict.fromkeys(text.lstrip("0") for text in texts))


def validate(config: Mapping[str, Any]) -> None:
    """Raise `config_error` for values that the vendor would reject, before the first report request has to wait."""
    if not _KEY.fullmatch(str(config.get("secret_key") or "")):
        raise config_error(
            "The secret key is empty or has invalid characters. Copy it again from your Sovrn account into Secret Key."
        )
    dates = {name: _parse_day(name, config[name]) for name in _DATES if config.get(name)}
    if "start_date" not in dates:
        raise config_error("start_date is missing. Enter the day from which to read transactions.")
    if dates["start_date"].year < 1970:
        raise config_error("start_date is before 1970. Enter the first day for which Sovrn has data.")
    if dates.get("end_date", dates["start_date"]) < dates["start_date"]:
        raise config_error("end_date is before start_date. Change one of them, or remove end_date to read up to today.")
    for name in _ID_LISTS:
        if not _COMMA_LIST.fullmatch(str(config.get(name, ""))):
            raise config_error(
                f"{name} must be positive whole numbers, in a list or separated by commas, as in 100,200."
            )


def _parse_day(name: str, text: Any) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise config_error(f"{name} is not a valid date. Write it as 2025-01-31.") from None
