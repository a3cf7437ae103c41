"""A transaction as one flat record, whichever of the two published shapes it came in (affiliate-facts B5).

The vendor's page shows a nested example (`account`, `commission`, `click`, `merchant`, `product`) and, as its schema,
a flat one with other names. Which one is live is not known [guess: nested], so each row is taken by the names it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .base.errors import BadReplyError

Row = dict[str, Any]
_Known = tuple[str, "Callable[[Any], Any] | None"]

#: the groups of the nested shape, in the order in which they are looked through
GROUPS = ("account", "commission", "click", "merchant")
UTM = ("Source", "Medium", "Campaign", "Term", "Content")
#: the vendor's name -> ours; names of both shapes, which do not contradict each other
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
    "linkUrl": "link_url",
    "destinationUrl": "link_url",
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
#: the groups of UTM values, in both shapes -> the vendor's names -> ours
UTM_NAMES = {
    f"{side}UtmInfo": {f"utm{name}": f"{side}_utm_{name.lower()}" for name in UTM} for side in ("link", "page")
}
#: every column that a record has, in order; what the row does not say is null
FIELDS = (
    "transaction_key",
    *dict.fromkeys(NAMES.values()),
    *(ours for names in UTM_NAMES.values() for ours in names.values()),
)
#: codes of the flat shape -> the names that the FAQ of the nested one gives; UKN is "not known", so null
DEVICES = {"MBL": "Mobile", "DSK": "Desktop", "TBL": "Tablet", "UKN": None}
#: [code labels]: found in public code, not in a document of the vendor's
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
_NO_WORD = re.compile(r"[^0-9a-z]+")


def transaction(row: Row) -> Row:
    """Return the flat record; nothing of the row is dropped, and a row without any id is no transaction."""
    record = _EMPTY.copy()
    others: list[tuple[str, str, Any]] = []
    for group, part, names in _parts(row):
        for name, value in part.items():
            known = names.get(name)
            if known is None:
                if not (value is None or type(value) is dict) or not _is_part(group, name):
                    others.append((group, name, value))
                continue
            ours, convert = known
            if convert is not None:
                value = convert(value)
            if record[ours] is None:
                record[ours] = value
            elif value is not None and value != record[ours]:
                others.append((group, name, value))
    for group, name, value in others:
        record[_free_name(record, group, name)] = value
    if record["sovrn_product"] is None and isinstance(record["sovrn_product_code"], str):
        record["sovrn_product"] = PRODUCTS.get(record["sovrn_product_code"], record["sovrn_product_code"])
    record["transaction_key"] = _key(record)
    return record


def glance(row: Row) -> tuple[int, bool]:
    """Return a number for the key of a row, and whether it tells a revenue; a row without any id is no transaction."""
    holder = row.get("commission")
    if type(holder) is not dict:
        holder = row
    ids = holder.get("revenueId"), holder.get("commissionId")
    revenue = holder.get("publisherNetRevenue", holder.get("publisherRevenue"))
    if ids[0] and ids[1] and revenue is not None:
        return hash(f"{ids[0]}:{ids[1]}"), True
    record = transaction(row)  # an unusual row is looked at as a whole
    return hash(record["transaction_key"]), record["publisher_net_revenue"] is not None


def merchant_day(row: Row) -> Row:
    """Return one row of merchantsbydate, its key in one column and its amounts as decimal text."""
    if row.get("date") in (None, "") or row.get("merchantGroupId") in (None, ""):
        raise BadReplyError("a row of the totals comes without its date or merchant")
    record = _renamed(row, ("merchantGroupId",), ("revenue", "conversionRate", "epc"))
    return {"merchant_day_key": f"{record['date']}:{record['merchant_group_id']}", **record}


def campaign(row: Row) -> Row:
    """Return one site with our names."""
    if row.get("campaignId") in (None, ""):
        raise BadReplyError("a campaign comes without its id")
    return _renamed(row, ("campaignId",), ())


def _parts(row: Row) -> list[tuple[str, Row, dict[str, _Known]]]:
    """Return the row and its groups, so that both shapes look alike: group, values, and the names they are known by."""
    parts: list[tuple[str, Row, dict[str, _Known]]] = [("", row, _KNOWN)]
    for group in GROUPS:
        part = row.get(group)
        if type(part) is dict:
            parts.append((group, part, _KNOWN))
    click = row.get("click")
    for holder in (row, click) if type(click) is dict else (row,):
        for group, known in _KNOWN_UTM.items():
            part = holder.get(group)
            if type(part) is dict:
                parts.append((group.removesuffix("Info"), part, known))
    return parts


def _is_part(group: str, name: str) -> bool:
    """Tell whether `_parts` looks for a part of this name in this place."""
    return (not group and name in GROUPS) or (group in ("", "click") and name in _KNOWN_UTM)


def _free_name(record: Row, group: str, name: str) -> str:
    """Return a name of ours that the record does not have yet: the bare one, else with its group, else numbered."""
    bare = snake_case(name)
    if group.endswith("Utm"):
        bare = f"{snake_case(group)}_{bare.removeprefix('utm_')}"
    wanted = f"{snake_case(group)}_{bare}" if group and bare in record else bare
    free, number = wanted, 2
    while free in record:
        free, number = f"{wanted}_{number}", number + 1
    return free


@lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """Return `clickSID` as `click_sid`."""
    return _NO_WORD.sub("_", _WORD_START.sub("_", name).lower()).strip("_") or "unnamed"


def _text(value: Any) -> Any:
    """Return an id as text: `revenueId` is text in the example and a number in the schema."""
    if type(value) is int:
        return str(value)
    return value[:-2] if isinstance(value, str) and _WHOLE.fullmatch(value) else value


def _as_text(value: Any) -> Any:
    """Return an amount, or what the user wrote, as text; a fraction is decimal text already."""
    return str(value) if type(value) is int else value


def _products(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [_renamed(item, ("productId",), ("price",)) if type(item) is dict else item for item in value]


def _renamed(row: Row, ids: tuple[str, ...], amounts: tuple[str, ...]) -> Row:
    record: Row = {}
    for name, value in row.items():
        record[_free_name(record, "", name)] = (
            _text(value) if name in ids else _as_text(value) if name in amounts else value
        )
    return record


def _key(record: Row) -> str:
    """Join revenue id and commission id, which Sovrn's model lets identify a row [guess] (affiliate-facts B6)."""
    revenue, commission = record["revenue_id"], record["commission_id"]
    if revenue in (None, "") and commission in (None, ""):
        if record["click_id"] in (None, ""):
            raise BadReplyError("a transaction comes without any id")
        return f"::{record['click_id']}"
    first = "" if revenue is None else str(revenue)
    if ":" in first or "%" in first:
        first = first.replace("%", "%25").replace(":", "%3A")
    return f"{first}:{'' if commission is None else commission}"


_CONVERT: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("account_id", "campaign_id", "revenue_id", "commission_id", "click_id"), _text),
    "merchant_group_id": _text,
    **dict.fromkeys(("order_value", "publisher_net_revenue", "cuid"), _as_text),
    "program_type": lambda value: value.lower() if isinstance(value, str) else value,
    "device": lambda value: DEVICES.get(value, value) if isinstance(value, str) else value,
    "products": _products,
}
_KNOWN: dict[str, _Known] = {name: (ours, _CONVERT.get(ours)) for name, ours in NAMES.items()}
_KNOWN_UTM: dict[str, dict[str, _Known]] = {
    group: {name: (ours, None) for name, ours in names.items()} for group, names in UTM_NAMES.items()
}
