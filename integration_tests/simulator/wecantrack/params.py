"""The parameters of GET /api/v3/transactions, checked as by Laravel (docs/vendors/wecantrack.md A3, A8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone

from .laravel import PhpQuery
from .store import DATE_TYPES

MAX_LIMIT = 1000
STATUSES = frozenset({"pending", "approved", "declined"})
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class TransactionParameters:
    """One request's parameters, valid only if `errors` is empty."""

    def __init__(self, query: PhpQuery, switches: Mapping[str, str]) -> None:
        self._query = query
        self.errors: dict[str, list[str]] = {}
        self.date_type = self._date_type()
        self.start = self._date("start_date")
        self.end = self._date("end_date")
        if self.start > self.end and not self.errors:  # [guess]
            self._refuse("end_date", "The end date field must be a date after or equal to start date.")
        statuses = self._items("status")
        for index, status in enumerate(statuses):
            if status not in STATUSES:
                self._refuse(f"status.{index}", f"The selected status.{index} is invalid.")
        self.statuses = frozenset(statuses) or None
        self.tags = frozenset(self._items("network_account_tags"))
        self.network_id = self._text("network_id")
        self.account_id = self._integer("network_account_id")
        self.website_id = self._integer("website_id")
        self.limit = self._limit(switches["wecantrack.over_limit"])

    def _refuse(self, name: str, message: str) -> None:
        self.errors.setdefault(name, []).append(message)

    def _date_type(self) -> str:
        value = self._query.get("date_type")
        if value is None:
            self._refuse("date_type", "The date type field is required.")
        elif value not in DATE_TYPES:
            self._refuse("date_type", "The selected date type is invalid.")
        return str(value)

    def _date(self, name: str) -> int:
        """Parse `Y-m-d\\TH:i:s` exactly, without zone or fraction and with all zeros, as UTC [guess]."""
        label, value = name.replace("_", " "), self._query.get(name)
        if value is None:
            self._refuse(name, f"The {label} field is required.")
            return 0
        if isinstance(value, str) and _DATE.fullmatch(value):
            try:
                return int(datetime.fromisoformat(value).replace(tzinfo=timezone.utc).timestamp())
            except ValueError:
                pass
        self._refuse(name, f"The {label} field must match the format Y-m-d\\TH:i:s.")
        return 0

    def _items(self, name: str) -> list[str]:
        value = self._query.get(name, {})
        if isinstance(value, str):
            self._refuse(name, f"The {name.replace('_', ' ')} field must be an array.")
            return []
        return list(value.values())

    def _text(self, name: str) -> str | None:
        value = self._query.get(name)
        if isinstance(value, dict):
            self._refuse(name, f"The {name.replace('_', ' ')} field must be a string.")
            return None
        return value

    def _integer(self, name: str) -> int | None:
        value = self._query.get(name)
        if value is None:
            return None
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
            return int(value)
        self._refuse(name, f"The {name.replace('_', ' ')} field must be an integer.")
        return None

    def _limit(self, over_limit: str) -> int:
        limit = self._integer("limit")
        if limit is None:
            return MAX_LIMIT
        if limit < 1:
            self._refuse("limit", "The limit field must be at least 1.")
        elif limit > MAX_LIMIT and over_limit == "422":
            self._refuse("limit", "The limit field must not be greater than 1000.")
        return min(limit, MAX_LIMIT)
