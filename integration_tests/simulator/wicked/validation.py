"""The inbound fields and their checks (docs/vendors/wicked-reports.md 2.2 to 2.8).

Written independently of the destination's table in `api/endpoints.py`: two readings of one document, which
`integration_tests/test_field_tables.py` compares. By default, whatever the vendor's SDK refuses is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

_DATETIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_NO_VALUE = (None, "")
_MISSING = object()


@dataclass(frozen=True)
class Field:
    """One field; `longest` counts characters.

    `need` is `filled` (a value is required), `present` (the key is required, "" and null are accepted), `free` (may be
    missing or empty), `not_blank` (may be missing, but not empty) or `one_of` (one of an order's two needs a value).
    """

    name: str
    kind: str
    longest: int = 500
    need: str = "free"
    least: int | None = None


def _texts(names: str, longest: int = 500, need: str = "free") -> tuple[Field, ...]:
    return tuple(Field(name, "text", longest, need) for name in names.split())


_SYSTEM = Field("SourceSystem", "text", 255, "filled")
_ID = Field("SourceID", "id", 500, "filled")
_ORDER_ID = Field("OrderID", "id", 500, "filled")
_CREATED = Field("CreateDate", "datetime", 19, "filled")
#: 2.4: ProductID must be present but may be empty; Qty and PPU may be 0
_LINE = (
    Field("ProductID", "text", 500, "present"),
    Field("Qty", "integer", 18, "filled"),
    Field("PPU", "number", 18, "filled"),
)
#: 2.5: a refund is a positive amount with a refund status; an empty status counts as APPROVED
_PAYMENT = (
    Field("PaymentDate", "datetime", 19, "filled"),
    Field("Amount", "number", 18, "filled", least=0),
    Field("Status", "text", 500, "present"),
    Field("Currency", "currency", 3),
)

RULES: dict[str, tuple[Field, ...]] = {
    "contacts": (
        _SYSTEM,
        _ID,
        _CREATED,
        Field("Email", "email", 500, "filled"),
        *_texts("FirstName LastName City State Country IP_Address Phone"),
    ),
    "orders": (
        _SYSTEM,
        _ID,
        _CREATED,
        Field("ContactID", "text", 500, "one_of"),
        Field("ContactEmail", "email", 500, "one_of"),
        Field("OrderTotal", "number", 18, "filled"),
        Field("OrderCurrency", "currency", 3),
        *_texts("Country City State", 255),
        *_texts("SubscriptionID IP_Address"),
    ),
    "orderitems": (_SYSTEM, _ORDER_ID, _ID, *_LINE),
    "orderpayments": (_SYSTEM, _ORDER_ID, *_PAYMENT),
    "products": (
        _SYSTEM,
        _ID,
        Field("ProductName", "text", 500, "filled"),
        Field("ProductPrice", "number", 18, "filled"),
    ),
    "marketing": (
        Field("Date_Time", "datetime", 19, "filled"),
        Field("Clicks", "integer", 18, "filled", least=0),
        Field("Cost", "number", 18, "filled", least=0),
        *_texts("AdId AccountId", need="filled"),
        *_texts("Source Medium Campaign Content Term SourceSystem", need="not_blank"),
        Field("LastUpdatedDate", "datetime", 19),
        Field("ConversionCount", "integer", 18, least=0),
        Field("ConversionValue", "number", 18, least=0),
        *_texts("AdStatus CampaignStatus AdGroupStatus AdSetStatus AdType CampaignId AdGroupId"),
    ),
    "clicks": (
        Field("Email", "email", 255, "filled"),
        Field("Date_Time", "datetime", 19, "filled"),
        Field("Timezone", "text", 10, "filled"),
        Field("ConversionType", "text", 50, "filled"),
        Field("IP_Address", "text", 50, "not_blank"),
        Field("TimeOffset", "integer", 18),  # may be negative: the FAQ allows it, the SDK does not ([seed] wins)
        *_texts("Source Medium Campaign Content Term OrderID"),
        *_texts("WickedId WickedSource", 100),
    ),
}
#: nested rows inherit SourceSystem and OrderID; the line's id has another name there (2.4)
NESTED: dict[str, tuple[str, tuple[Field, ...]]] = {
    "OrderItems": ("orderitems", (Field("OrderItemID", "id", 500, "filled"), *_LINE)),
    "OrderPayments": ("orderpayments", _PAYMENT),
}
KNOWN_FIELDS: dict[str, frozenset[str]] = {
    endpoint: frozenset(field.name for field in fields) | (frozenset(NESTED) if endpoint == "orders" else frozenset())
    for endpoint, fields in RULES.items()
}


def _text(value: Any, field: Field) -> str | None:
    if not isinstance(value, str):
        return "must be text"
    return f"is longer than {field.longest} characters" if len(value) > field.longest else None


def _email(value: Any, field: Field) -> str | None:
    problem = _text(value, field)
    if problem is None and ("@" not in value[1:-1] or any(character.isspace() for character in value)):
        return "is not an e-mail address"
    return problem


def _currency(value: Any, _field: Field) -> str | None:
    return None if isinstance(value, str) and re.fullmatch("[A-Z]{3}", value) else "must be a code of three capitals"


def _datetime(value: Any, _field: Field) -> str | None:
    if isinstance(value, str) and _DATETIME.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return None
    return "must be a date as YYYY-MM-DD HH:MM:SS"


def _integer(value: Any, field: Field) -> str | None:
    text = str(value)  # a decimal such as 1.0 keeps its point, so it is not a whole number
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", text):
        return "must be a whole number"
    return _within(text, field)


def _number(value: Any, field: Field) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        return "must be a number"
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return _within(text, field) if _NUMBER.fullmatch(text) else "must be a number"


def _within(text: str, field: Field) -> str | None:
    if len(text) > field.longest:
        return f"has more than {field.longest} digits"
    if field.least is not None and Decimal(text) < field.least:
        return f"must not be below {field.least}"
    return None


_CHECKS: dict[str, Callable[[Any, Field], str | None]] = {
    "text": _text,
    "id": _text,
    "email": _email,
    "currency": _currency,
    "datetime": _datetime,
    "integer": _integer,
    "number": _number,
}


class RowValidator:
    """Checks rows with the current switches."""

    def __init__(self, switches: Mapping[str, str]) -> None:
        self._lenient_ids = switches["wicked.ids"] == "lenient"
        self._both_contact_keys = switches["wicked.contact_keys"] == "both_present"
        self._checks = dict(_CHECKS)
        if switches["wicked.email"] == "unchecked":
            self._checks["email"] = _text

    def problem(self, endpoint: str, row: Any) -> str | None:
        """Return the first error of a row, or None."""
        if not isinstance(row, dict):
            return "The row must be an object"
        problems = self._problems(RULES[endpoint], row)
        problem = next(problems, None)
        if problem is None and endpoint == "orders":
            problem = self._contact_problem(row) or next(self._nested_problems(row), None)
        return problem

    def _problems(self, fields: tuple[Field, ...], row: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for field in fields:
            value = row.get(field.name, _MISSING)
            problem = self._missing(field, value)
            if problem is None and value is not _MISSING and value not in _NO_VALUE:
                if field.kind == "id" and self._lenient_ids:
                    value = str(value)
                problem = self._checks[field.kind](value, field)
            if problem is not None:
                yield f"{prefix}{field.name} {problem}"

    def _missing(self, field: Field, value: Any) -> str | None:
        if field.need in ("free", "one_of") or (field.need == "not_blank" and value is _MISSING):
            return None
        if value is _MISSING:
            return "is missing"
        if field.need == "present":
            return None
        blank = value in _NO_VALUE or (isinstance(value, str) and not value.strip())
        # the SDK's notEmpty is PHP's `empty`, which is true for the text "0" as well (2.1)
        return "is empty" if blank or (field.kind == "id" and value == "0" and not self._lenient_ids) else None

    def _contact_problem(self, row: dict[str, Any]) -> str | None:
        if self._both_contact_keys and not {"ContactID", "ContactEmail"} <= row.keys():
            return "ContactID and ContactEmail must both be present"
        if row.get("ContactID") in _NO_VALUE and row.get("ContactEmail") in _NO_VALUE:
            return "ContactID or ContactEmail must have a value"
        return None

    def _nested_problems(self, row: dict[str, Any]) -> Iterator[str]:
        for name, (_endpoint, fields) in NESTED.items():
            nested = row.get(name)
            if nested is None:
                continue
            if not isinstance(nested, list):
                yield f"{name} must be an array"
                continue
            for index, inner in enumerate(nested):
                if not isinstance(inner, dict):
                    yield f"{name}[{index}] must be an object"
                else:
                    yield from self._problems(fields, inner, f"{name}[{index}].")
