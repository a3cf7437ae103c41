"""The dates of the configuration: how they may be written, and which cannot be meant."""

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
_PLAIN = re.compile(r"\d{4}-\d{2}-\d{2}")
_WHOLE_DAY = {"start_date": "T00:00:00", "end_date": "T23:59:59"}


class NormalizeConfig(ConfigTransformation):
    """Writes `start_date` and `end_date` as wecantrack takes them: `Y-m-dTH:i:s`, a plain date as the whole day.

    What cannot be read is left for `refuse_bad_dates`, so that the refusal comes with its sentence.
    """

    def transform(self, config: MutableMapping[str, Any]) -> None:
        """Replace the dates that can be read."""
        for name, rest in _WHOLE_DAY.items():
            text = config.get(name)
            if isinstance(text, str):
                config[name] = text + rest if _PLAIN.fullmatch(text) else text.removesuffix("Z")


def refuse_bad_dates(config: Mapping[str, Any]) -> None:
    """Raise `config_error` for a date that is not in the calendar, and for an end before the start."""
    read: dict[str, datetime] = {}
    for name in _WHOLE_DAY:
        if config.get(name):
            try:
                read[name] = datetime.strptime(str(config[name]), WIRE_FORMAT)  # noqa: DTZ007 - compared with its like
            except ValueError:
                raise config_error(
                    f"{name} is not a date of the calendar: write it as 2025-01-31 or 2025-01-31T14:30:00Z (UTC)."
                ) from None
    if "start_date" not in read:
        raise config_error("start_date is missing: say from which date on transactions are to be read.")
    if read.get("end_date", read["start_date"]) < read["start_date"]:
        raise config_error("end_date lies before start_date: move one of them, or remove end_date to read up to now.")
