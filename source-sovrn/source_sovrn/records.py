"""Converts rows to flat records, from either of the two published shapes (docs/vendors/sovrn.md B5).

The vendor documents a nested example (`account`, `commission`, `click`, `merchant`, `product`) and a flat schema with
other names. Which one is live is unknown [guess: nested], so both are recognized, row by row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .base.errors import BadResponseError

Row = dict[str, Any]
#: Column and conversion of a field.
_Column = tuple[str, "Callable[[Any], Any] | None"]

#: Groups of the nested shape, in order of precedence.
GROUPS = ("account", "commission", "click", "merchant")
UTM = ("Source", "Medium", "Campaign", "Term", "Content")
#: Field -> column, for both shapes; no name means different things in the two.
NAMES = {
    "accountId": "account_id",
    "campaignId": "campaign_id",
    "campaignName": "campaign_name",
    "revenueId": "revenue_id",
    "commissionId": "commission_id",
    "commissionDate": "commission_date",
    "updateDate": "update_date",
    "orderValue": "order_value",
    "publisherNetRevenue": "publisher_net_revenue",
    "publisherRevenue": "publisher_net_revenue",
    "programType": "program_type",
    "clickId": "click_id",
    "clickSid": "click_id",
    "clickDate": "click_date",
    "cuid": "cuid",
    "pageUrl": "page_url",
    "pageTitle": "page_title",
    "linkUrl": "link_url",
    "destinationUrl": "link_url",
    "clickUrl": "click_url",
    "sovrnProduct": "sovrn_product",
    "affProduct": "sovrn_product_code",
    "affProductSubType": "sovrn_product_sub_type",
    "country": "country",
    "device": "device",
    "deviceType": "device",
    "merchantGroupId": "merchant_group_id",
    "merchantGroupName": "merchant_group_name",
    "network": "network",
    "networkName": "network",
    "product": "products",
    "merchandise": "products",
}
#: Group of UTM values, in both shapes -> field -> column.
UTM_NAMES = {
    f"{side}UtmInfo": {f"utm{name}": f"{side}_utm_{name.lower()}" for name in UTM} for side in ("link", "page")
}
#: Columns of every record, in order; null if the row has no such field.
FIELDS = (
    "transaction_key",
    *dict.fromkeys(NAMES.values()),
    *(column for names in UTM_NAMES.values() for column in names.values()),
)
#: Code in the flat shape -> name in the nested one; UKN means unknown.
DEVICES = {"MBL": "Mobile", "DSK": "Desktop", "TBL": "Tablet", "UKN": None}
#: Code in the flat shape -> name, as found in public code, not in a document of the vendor (docs/vendors/sovrn.md B5).
PRODUCTS = {
    "UNK": "Unknown",
    "ORG": "JavaScript",
    "INS": "Insert",
    "WRA": "Link",
    "RAC": "Click API",
    "RAL": "Link API",
    "CUP": "Coupon",
    "TPA": "Product API",
    "PCR": "Price Comparison",
    "TXT": "In-Text",
    "SHG": "Galleries",
    "PRF": "Feed",
}
_EMPTY: Row = dict.fromkeys(FIELDS)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WHOLE = re.compile(r"[0-9]+\.0")
_NOT_WORD = re.compile(r"[^0-9a-z]+")


def transaction(row: Row) -> Row:
    """Return the flat record, with unknown fields under their snake-case names.

    Raises `BadResponseError` for a row without any id.
    """
    record = _EMPTY.copy()
    unknown: list[tuple[str, str, Any]] = []
    for group, part, names in _parts(row):
        for name, value in part.items():
            column = names.get(name)
            if column is None:
                if not (value is None or type(value) is dict) or not _is_part(group, name):
                    unknown.append((group, name, value))
                continue
            target, convert = column
            if convert is not None:
                value = convert(value)
            if record[target] is None:
                record[target] = value
            elif value is not None and value != record[target]:
                unknown.append((group, name, value))
    for group, name, value in unknown:
        record[_unused_name(record, group, name)] = value
    if record["sovrn_product"] is None and isinstance(record["sovrn_product_code"], str):
        record["sovrn_product"] = PRODUCTS.get(record["sovrn_product_code"], record["sovrn_product_code"])
    record["transaction_key"] = _key(record)
    return record


def key_hash_and_paid(row: Row) -> tuple[int, bool]:
    """Return the hash of a row's key and whether the row has a revenue; raise `BadResponseError` without any id.

    Faster than `transaction` for the usual row.
    """
    fields = row.get("commission")
    if type(fields) is not dict:
        fields = row
    ids = fields.get("revenueId"), fields.get("commissionId")
    revenue = fields.get("publisherNetRevenue", fields.get("publisherRevenue"))
    if ids[0] and ids[1] and revenue is not None:
        return hash(f"{ids[0]}:{ids[1]}"), True
    record = transaction(row)
    return hash(record["transaction_key"]), record["publisher_net_revenue"] is not None


def merchant_day(row: Row) -> Row:
    """Return a record of merchants_by_date, with its key in one column and amounts as decimal text."""
    if row.get("date") in (None, "") or row.get("merchantGroupId") in (None, ""):
        raise BadResponseError("a row of the totals has no date or no merchant")
    record = _renamed(row, ("merchantGroupId",), ("revenue", "conversionRate", "epc"))
    return {"merchant_day_key": f"{record['date']}:{record['merchant_group_id']}", **record}


def campaign(row: Row) -> Row:
    """Return a record of campaigns."""
    if row.get("campaignId") in (None, ""):
        raise BadResponseError("a campaign has no id")
    return _renamed(row, ("campaignId",), ())


def _parts(row: Row) -> list[tuple[str, Row, dict[str, _Column]]]:
    """Return group name, fields and known columns of the row itself and of each of its groups."""
    parts: list[tuple[str, Row, dict[str, _Column]]] = [("", row, _COLUMNS)]
    for group in GROUPS:
        part = row.get(group)
        if type(part) is dict:
            parts.append((group, part, _COLUMNS))
    click = row.get("click")
    for parent in (row, click) if type(click) is dict else (row,):
        for group, columns in _UTM_COLUMNS.items():
            part = parent.get(group)
            if type(part) is dict:
                parts.append((group.removesuffix("Info"), part, columns))
    return parts


def _is_part(group: str, name: str) -> bool:
    """Return whether `_parts` reads a group of this name in this place."""
    return (not group and name in GROUPS) or (group in ("", "click") and name in _UTM_COLUMNS)


def _unused_name(record: Row, group: str, name: str) -> str:
    """Return a column name that the record does not have: the field's, else prefixed with its group, else numbered."""
    column = snake_case(name)
    if group.endswith("Utm"):
        column = f"{snake_case(group)}_{column.removeprefix('utm_')}"
    wanted = f"{snake_case(group)}_{column}" if group and column in record else column
    unused, number = wanted, 2
    while unused in record:
        unused, number = f"{wanted}_{number}", number + 1
    return unused


@lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """Return `clickSID` as `click_sid`."""
    return _NOT_WORD.sub("_", _WORD_START.sub("_", name).lower()).strip("_") or "unnamed"


def _id_text(value: Any) -> Any:
    """Return an id as text: `revenueId` is text in the vendor's example and a number in its schema."""
    if type(value) is int:
        return str(value)
    return value[:-2] if isinstance(value, str) and _WHOLE.fullmatch(value) else value


def _as_text(value: Any) -> Any:
    """Return a whole number as text; `streaming_json` already returns fractions as decimal text."""
    return str(value) if type(value) is int else value


def _products(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [_renamed(item, ("productId",), ("price",)) if type(item) is dict else item for item in value]


def _renamed(row: Row, ids: tuple[str, ...], amounts: tuple[str, ...]) -> Row:
    record: Row = {}
    for name, value in row.items():
        record[_unused_name(record, "", name)] = (
            _id_text(value) if name in ids else _as_text(value) if name in amounts else value
        )
    return record


def _key(record: Row) -> str:
    """Return `revenue id:commission id`, which identifies a row [guess] (docs/vendors/sovrn.md B6), or `::click id`."""
    revenue, commission = record["revenue_id"], record["commission_id"]
    if revenue in (None, "") and commission in (None, ""):
        if record["click_id"] in (None, ""):
            raise BadResponseError("a transaction has no id")
        return f"::{record['click_id']}"
    first = "" if revenue is None else str(revenue)
    if ":" in first or "%" in first:
        first = first.replace("%", "%25").replace(":", "%3A")
    return f"{first}:{'' if commission is None else commission}"


_CONVERT: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("account_id", "campaign_id", "revenue_id", "commission_id", "click_id"), _id_text),
    "merchant_group_id": _id_text,
    **dict.fromkeys(("order_value", "publisher_net_revenue", "cuid"), _as_text),
    "program_type": lambda value: value.lower() if isinstance(value, str) else value,
    "device": lambda value: DEVICES.get(value, value) if isinstance(value, str) else value,
    "products": _products,
}
_COLUMNS: dict[str, _Column] = {name: (column, _CONVERT.get(column)) for name, column in NAMES.items()}
_UTM_COLUMNS: dict[str, dict[str, _Column]] = {
    group: {name: (column, None) for name, column in names.items()} for group, names in UTM_NAMES.items()
}
