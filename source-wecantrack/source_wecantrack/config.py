"""Normalization and validation of the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any

from airbyte_cdk.sources.declarative.transformations.config_transformations.config_transformation import (
    ConfigTransformation,
)

from .base.errors import config_error

WIRE_FORMAT = "%Y-%m-%dT%H:%M:%S"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_WHOLE_DAY = {"start_date": "T00:00:00", "end_date": "T23:59:59"}
_KEY = re.compile(r"[\x21-\x7e]+")


class NormalizeConfig(ConfigTransformation):
    """Rewrites `start_date` and `end_date` in wecantrack's format, `Y-m-dTH:i:s`; a plain date is the whole day.

    Unreadable values stay as they are; `validate` rejects them with a message.
    """

    def transform(self, config: MutableMapping[str, Any]) -> None:
        """Rewrite the dates in place."""
        for name, time in _WHOLE_DAY.items():
            text = config.get(name)
            if isinstance(text, str):
                config[name] = text + time if _DAY.fullmatch(text) else text.removesuffix("Z")


def validate(config: Mapping[str, Any]) -> None:
    """Raise `config_error` for an unusable API key, an invalid date, and an end before the start."""
    if not _KEY.fullmatch(str(config.get("api_key") or "")):
        raise config_error(
            "The API key is empty or has invalid characters. Copy it again from your wecantrack account, under Data "
            "Integrations > API, into API Key."
        )
    dates: dict[str, datetime] = {}
    for name in _WHOLE_DAY:
        if config.get(name):
            try:
                dates[name] = datetime.strptime(str(config[name]), WIRE_FORMAT)  # noqa: DTZ007 - both are UTC
            except ValueError:
                raise config_error(
                    f"{name} is not a valid date. Write it as 2025-01-31 or 2025-01-31T14:30:00Z (UTC)."
                ) from None
    if "start_date" not in dates:
        raise config_error("start_date is missing. Enter the date from which to read transactions.")
    if dates["start_date"].year < 1970:
        raise config_error("start_date is before 1970. Enter the first day for which wecantrack has data.")
    if dates.get("end_date", dates["start_date"]) < dates["start_date"]:
        raise config_error("end_date is before start_date. Change one of them, or remove end_date to read up to now.")
