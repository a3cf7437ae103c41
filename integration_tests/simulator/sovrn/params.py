"""The query parameters of Sovrn's reports: checks and meaning (docs/vendors/sovrn.md B4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date

from .store import DATES, SovrnQuery
from .transactions import DEVICE_CODES, PRODUCT_CODES, UTM_FIELDS, SovrnRow

MAX_DAYS = 31
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_IDS = re.compile(r"[0-9,]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_DEVICES = ("DSK", "MBL", "TBL", "UKN")
_PRODUCTS = ("UNK", "ORG", "INS", "WRA", "RAC", "RAL", "CUP", "TPA", "PCR", "TXT", "SHG", "PRF")


class BadRequestError(Exception):
    """A parameter is missing or wrong; the text is invented, for Sovrn publishes none."""


def _day(parameters: Mapping[str, str], name: str) -> str:
    text = parameters[name]
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise BadRequestError(f"{name} must be a date as yyyy-mm-dd")


def _ids(parameters: Mapping[str, str], name: str) -> frozenset[int] | None:
    """Parse a comma-separated list of ids; each must be a number above 0 (B4)."""
    if name not in parameters:
        return None
    if not _IDS.fullmatch(parameters[name]):
        raise BadRequestError(f"{name} must match ^[0-9,]+$")
    ids = frozenset(int(part) for part in parameters[name].split(",") if part)
    if not ids or 0 in ids:
        raise BadRequestError(f"{name} must be greater than 0")
    return ids


def _choice(parameters: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    value = parameters.get(name)
    if value is not None and value not in choices:
        raise BadRequestError(f"{name} must be one of {', '.join(choices)}")
    return value


def transactions_query(parameters: Mapping[str, str]) -> SovrnQuery:
    """Parse the parameters of the transactions report; unknown ones are ignored."""
    days = tuple((name, _day(parameters, name)) for name in DATES if name in parameters)
    if not days:
        raise BadRequestError("at least one of clickDate, commissionDate and updateDate is required")
    return SovrnQuery(
        days,
        _ids(parameters, "campaignIds"),
        _ids(parameters, "merchantGroupIds"),
        _choice(parameters, "programType", ("CPC", "CPA")),
    )


def click_window(parameters: Mapping[str, str]) -> tuple[str, str]:
    """Parse the window of an aggregate: the end is exclusive, at most 31 days."""
    for name in ("clickDateStart", "clickDateEnd"):
        if name not in parameters:
            raise BadRequestError(f"{name} is required")
    start, end = _day(parameters, "clickDateStart"), _day(parameters, "clickDateEnd")
    days = (date.fromisoformat(end) - date.fromisoformat(start)).days
    if days < 1:  # [guess]
        raise BadRequestError("clickDateEnd must be after clickDateStart")
    if days > MAX_DAYS:
        raise BadRequestError(f"the date range must not exceed {MAX_DAYS} days")
    return start, end


def aggregate_filter(parameters: Mapping[str, str]) -> Callable[[SovrnRow], bool]:
    """Parse the filters of an aggregate; `subIds` has no counterpart in the rows and is ignored."""
    tests: list[Callable[[SovrnRow], bool]] = []
    campaigns, merchants = _ids(parameters, "campaignIds"), _ids(parameters, "merchantGroupIds")
    if campaigns is not None:
        tests.append(lambda row: row.common["campaignId"] in campaigns)
    if merchants is not None:
        tests.append(lambda row: row.common["merchantGroupId"] in merchants)
    if program := _choice(parameters, "programType", ("CPC", "CPA")):
        tests.append(lambda row: row.program_type.upper() == program)
    if product := _choice(parameters, "sovrnProduct", _PRODUCTS):
        tests.append(lambda row: PRODUCT_CODES.get(row.common.get("sovrnProduct", ""), "UNK") == product)
    if device := _choice(parameters, "deviceType", _DEVICES):
        tests.append(lambda row: DEVICE_CODES.get(row.common.get("device", ""), "UKN") == device)
    if (country := parameters.get("country")) is not None:
        if not _COUNTRY.fullmatch(country):
            raise BadRequestError("country must match ^[A-Z]{2}$")
        tests.append(lambda row: str(row.common.get("country", "")).upper() == country)
    if "cuids" in parameters:
        cuids = set(parameters["cuids"].split(","))
        tests.append(lambda row: row.cuid in cuids)
    tests += [
        _utm_test(f"{place}UtmInfo", utm, set(parameters[name].split(",")))
        for place in ("page", "link")
        for utm in UTM_FIELDS
        if (name := f"{place}Utm{utm[3:]}") in parameters
    ]
    return lambda row: all(test(row) for test in tests)


def _utm_test(block: str, utm: str, values: set[str]) -> Callable[[SovrnRow], bool]:
    return lambda row: row.common.get(block, {}).get(utm) in values
