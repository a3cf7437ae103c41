"""Reads Sovrn's records: the amount of a row, the sale it contributes to, and its day.

See docs/vendors/sovrn.md B5 and docs/vendors/sovrn.md B6. Amounts are decimal text with four or more decimals, and
dates have no time of day. A row has a revenue id, a commission id or both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import orjson

from destination_wicked_reports.api.fields import NULL_CHARACTER, utc
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.mappings import SovrnMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.affiliate.base import EXCLUDED_NETWORK, read_amount, read_id
from destination_wicked_reports.mappings.affiliate.returns import alias
from destination_wicked_reports.mappings.affiliate.sovrn_cpc import SHARED_FIELDS, UTMS, rollup_id
from destination_wicked_reports.mappings.revenue import cents
from destination_wicked_reports.mappings.sale_rows import sale_id
from destination_wicked_reports.model import Contribution, Record, Skip

#: The ids that relate rows to each other.
_RELATING_IDS = ("click_id", "commission_id", "merchant_group_id")
#: The fields that the ledger stores to make a sale's rows when a return arrives without the sale's own record.
_STORED_FIELDS = (
    "account_id",
    "revenue_id",
    "commission_id",
    "commission_date",
    "update_date",
    "order_value",
    "publisher_net_revenue",
    "program_type",
    "click_id",
    "click_date",
    "merchant_group_id",
    "merchant_group_name",
    "page_utm",
    "link_utm",
    *(f"{side}_utm_{name}" for side in ("page", "link") for name in UTMS),
)
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00:00(?:\.0+)?(?:Z|[+]00:?00)?)?").fullmatch
#: The precision of stored amounts. Sovrn's documents show four decimals (docs/vendors/sovrn.md B5).
_FINEST = Decimal("1E-20")
_EXACT = Context(prec=100)


@dataclass(slots=True)
class SovrnRow:
    """One record as it counts.

    `contribution` is in cents, or exact for CPC rows; its sale is the row's own until a return is matched. `facts` is
    the JSON that the ledger stores of the record. `day` is the day of the commission, `changed_at` the noon of the day
    of the last change.
    """

    record: Record
    contribution: Contribution
    facts: bytes
    day: str
    changed_at: str
    is_cpc: bool = False

    @classmethod
    def stored(cls, record: Record, contribution: Contribution, facts: bytes) -> SovrnRow:
        """Return a row of an earlier run from what the ledger stores of it."""
        day = read_day(record.data, "commission_date")
        return cls(record, contribution, facts, day, _changed_at(record.data, day))


class SovrnReader:
    """Reads records according to the mapping's settings."""

    def __init__(self, mapping: SovrnMapping) -> None:
        self._by_sale_amount = mapping.revenue_basis == "sale_amount"
        self._excluded = frozenset(network.casefold() for network in mapping.exclude_networks)
        self._source_system = mapping.source_system
        self._key_prefix = mapping.source_system + SEPARATOR
        rule_fields = (rule.field.split(".")[0] for rule in mapping.contact_rules)
        self._stored_fields = tuple(dict.fromkeys((*_STORED_FIELDS, *rule_fields)))

    def read(self, record: Record) -> SovrnRow | Skip:
        """Return the record as it counts, or a Skip for what the configuration excludes; raises FieldError."""
        data = record.data
        network = data.get("network")
        if self._excluded and network is not None and str(network).casefold() in self._excluded:
            return Skip(EXCLUDED_NETWORK, record.sequence)
        is_cpc = is_cpc_row(data)
        account = read_id(data, "account_id")
        for name in _RELATING_IDS:
            if "\0" in str(data.get(name)):
                raise FieldError("SourceID", f"{name}: {NULL_CHARACTER}")
        day = read_day(data, "commission_date")
        changed_at = _changed_at(data, day)
        changed_day = changed_at[:10] if data.get("update_date") else ""
        amount = self._amount(data)
        key = self._key_prefix + sale_id(f"sovrn-{account}-{_own_id(data)}")
        if is_cpc:
            stored = {name: data[name] for name in SHARED_FIELDS if data.get(name) is not None}
            stored |= {"commission_date": day, "update_date": changed_at[:10]}
            rollup_key = self._key_prefix + rollup_id(data, account, day)
            contribution = Contribution(key, rollup_key, amount, (), changed_day)
        else:
            stored = {name: data[name] for name in self._stored_fields if data.get(name) is not None}
            click, commission = data.get("click_id"), data.get("commission_id")
            merchant = str(data.get("merchant_group_id") or "")
            names = [(name, str(value)) for name, value in (("commission", commission), ("click", click)) if value]
            aliases = tuple(
                alias(self._source_system, SEPARATOR.join((name, account, merchant)), value) for name, value in names
            )
            contribution = Contribution(key, key, cents(amount), aliases, changed_day)
        try:
            facts = orjson.dumps(stored)
        except TypeError:
            raise FieldError("", "contains a value that JSON cannot hold, or a number too long for it") from None
        return SovrnRow(record, contribution, facts, day, changed_at, is_cpc)

    def _amount(self, data: Mapping[str, Any]) -> Decimal:
        """Return the amount of a row.

        A return may repeat the sale's order value unchanged; the sign of its commission then marks it as a return.
        """
        amount = read_amount(data, "publisher_net_revenue")
        if self._by_sale_amount:
            value = read_amount(data, "order_value")
            amount = value.copy_abs().copy_negate() if amount < 0 else value
        return amount.quantize(_FINEST, ROUND_HALF_UP, _EXACT)


def is_cpc_row(data: Mapping[str, Any]) -> bool:
    """Tell whether a row pays per click."""
    return str(data.get("program_type")).casefold() == "cpc"


def _own_id(data: Mapping[str, Any]) -> str:
    """Return revenue id and commission id, of which one may be missing; without both, the click id.

    See docs/vendors/sovrn.md B6.
    """
    ids = [read_id(data, name) if data.get(name) not in (None, "") else "" for name in ("revenue_id", "commission_id")]
    return "-".join(ids) if any(ids) else f"click-{read_id(data, 'click_id')}"


def _changed_at(data: Mapping[str, Any], day: str) -> str:
    return noon(read_day(data, "update_date") if data.get("update_date") else day)


_utc_time = utc("CreateDate")


def read_day(data: Mapping[str, Any], name: str) -> str:
    """Return a date as YYYY-MM-DD; raises FieldError. A warehouse may have added midnight to it."""
    value = data.get(name)
    match = _DAY(value) if isinstance(value, str) else None
    if match is None:
        raise FieldError("CreateDate", f"{name} is missing or not a date such as 2024-05-31")
    try:
        noon(match[1])
    except FieldError as error:
        raise FieldError(error.field, f"{name}: {error.reason}") from None
    return match[1]


def noon(day: str) -> str:
    """Return the noon of a day in UTC. Midnight UTC would be the day before in Wicked Reports' US Eastern time.

    See docs/guides/affiliate-revenue.md Dates.
    """
    moment: str = _utc_time(f"{day} 12:00:00")
    return moment
