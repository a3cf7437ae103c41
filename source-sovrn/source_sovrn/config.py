"""The configuration: how it may be written, what it becomes for the vendor, and what is refused before a request."""

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

#: the vendor's minute and a second: "a minimum gap of 60 seconds between each request"
REQUEST_INTERVAL_SECONDS = 61.0
#: date_type -> the vendor's parameter
DATE_PARAMETERS = {"update_date": "updateDate", "commission_date": "commissionDate", "click_date": "clickDate"}
_IDS = ("campaign_ids", "merchant_group_ids")
_DATES = ("start_date", "end_date")
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}:\d{2}(\.\d+)?Z?)?")
_ID = re.compile(r"0*[1-9][0-9]*")
_COMMA_LIST = re.compile(r"([1-9][0-9]*(,[1-9][0-9]*)*)?")
_KEY = re.compile(r"[\x21-\x7e]+")


class NormalizeConfig(ConfigTransformation):
    """Writes the configuration as Sovrn takes it: bare days, ids as a comma list, the key without its scheme.

    `read_until` is added: the last day to read. What cannot be read is left for `refuse_bad_settings`, so that the
    refusal comes with its sentence.
    """

    def transform(self, config: MutableMapping[str, Any]) -> None:
        """Replace what can be read."""
        for name in _DATES:
            if isinstance(config.get(name), str) and (found := _DAY.fullmatch(config[name].strip())):
                config[name] = found[1]
        for name in _IDS:
            config[name] = _comma_list(config.get(name))
        if isinstance(config.get("secret_key"), str):
            config["secret_key"] = config["secret_key"].strip().removeprefix("secret ").strip()
        today = f"{utc_now():%Y-%m-%d}"
        end = config.get("end_date")
        config["read_until"] = min(end, today) if end and isinstance(end, str) else today


def _comma_list(value: Any) -> Any:
    """Return ids as `1,2,3`, each once; anything that is no list of numbers above 0 comes back as it is."""
    if value in (None, "", []):
        return ""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    texts = [str(part).strip() for part in parts if not isinstance(part, bool)]
    if len(texts) < len(parts) or not all(_ID.fullmatch(text) for text in texts):
        return value
    return ",".join(dict.fromkeys(text.lstrip("0") for text in texts))


def refuse_bad_settings(config: Mapping[str, Any]) -> None:
    """Raise `config_error` for what the vendor would refuse a minute later."""
    if not _KEY.fullmatch(str(config.get("secret_key") or "")):
        raise config_error("The secret key is empty or no key: copy it again from your Sovrn account into Secret Key.")
    read = {name: _calendar_day(name, config[name]) for name in _DATES if config.get(name)}
    if "start_date" not in read:
        raise config_error("start_date is missing: say from which day on transactions are to be read.")
    if read.get("end_date", read["start_date"]) < read["start_date"]:
        raise config_error("end_date lies before start_date: move one of them, or remove end_date to read up to today.")
    for name in _IDS:
        if not _COMMA_LIST.fullmatch(str(config.get(name, ""))):
            raise config_error(f"{name} must be whole numbers greater than 0, in a list or with commas, as in 100,200.")


def _calendar_day(name: str, text: Any) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise config_error(f"{name} is not a day of the calendar: write it as 2025-01-31.") from None
