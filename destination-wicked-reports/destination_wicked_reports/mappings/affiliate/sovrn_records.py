"""What one row of Sovrn's says: how much, for which sale, and of which day (`apis/affiliate-facts.md` B5, B6).

Amounts are decimal text of four decimals and more, dates are days; ids are text, and one of the two may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from hashlib import blake2b
from typing import Any, Literal

import orjson

from destination_wicked_reports.api.fields import NULL_CHARACTER, utc
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.mappings.affiliate.base import EXCLUDED_NETWORK, AffiliateRules, read_amount, read_id
from destination_wicked_reports.mappings.affiliate.contacts import ContactRule
from destination_wicked_reports.mappings.affiliate.sovrn_cpc import CPC_SKIPPED, SHARED, UTMS, rollup_id
from destination_wicked_reports.mappings.order_payments import cents
from destination_wicked_reports.model import Contribution, Record, Skip

#: By these a row is found as another's kin, whether or not they are in its own name.
_SHARED_IDS = ("click_id", "commission_id", "merchant_group_id")
#: What the rows of a sale are made from; a return may come without the sale's own row, so the ledger keeps it.
_KEPT = (
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
#: Fractions of a cent are kept this far; the vendor shows four decimals (B5).
_FINEST = Decimal("1E-20")
_EXACT = Context(prec=100)


@dataclass(slots=True, frozen=True, kw_only=True)
class SovrnRules(AffiliateRules):
    """What the user decides about Sovrn's revenue. `recognize` and `currency` do not apply to it."""

    order_currency: str = "USD"
    cpc: Literal["skip", "rollup"] = "skip"


@dataclass(slots=True)
class Entry:
    """A record as it counts: `part` in cents, exact for CPC; its whole is what it makes if it belongs to no other.

    `day` is that of the commission and `changed` the moment of the last change.
    """

    record: Record
    part: Contribution
    facts: bytes
    day: str
    changed: str
    cpc: bool = False

    @classmethod
    def kept(cls, record: Record, part: Contribution, facts: bytes) -> Entry:
        """Return a row of an earlier run as the ledger kept it."""
        day = day_of(record.data, "commission_date")
        return cls(record, part, facts, day, _changed(record.data, day))


class SovrnReader:
    """Reads records by the user's rules."""

    def __init__(self, rules: SovrnRules, contact_rules: list[ContactRule]) -> None:
        self._rolls_up = rules.cpc == "rollup"
        self._by_sale = rules.revenue_basis == "sale_amount"
        self._excluded = frozenset(network.casefold() for network in rules.exclude_networks)
        self._start = rules.source_system + SEPARATOR
        self._kept = tuple(dict.fromkeys((*_KEPT, *(rule.field.split(".")[0] for rule in contact_rules))))

    def read(self, record: Record) -> Entry | Skip:
        """Return how a record counts, raise FieldError, or return a Skip for what configuration leaves out (D6)."""
        data = record.data
        network = data.get("network")
        if self._excluded and network is not None and str(network).casefold() in self._excluded:
            return Skip(EXCLUDED_NETWORK, record.sequence)
        cpc = str(data.get("program_type")).casefold() == "cpc"
        if cpc and not self._rolls_up:
            return Skip(CPC_SKIPPED, record.sequence)
        account = read_id(data, "account_id")
        for name in _SHARED_IDS:
            if "\0" in str(data.get(name)):
                raise FieldError("SourceID", f"{name}: {NULL_CHARACTER}")
        day = day_of(data, "commission_date")
        changed = _changed(data, day)
        stamp = changed[:10] if data.get("update_date") else ""
        amount = self._amount(data)
        key = f"{self._start}sovrn-{account}-{_own_id(data)}"
        if cpc:
            kept = {name: data[name] for name in SHARED if data.get(name) is not None}
            kept |= {"commission_date": day, "update_date": changed[:10]}
            part = Contribution(key, self._start + rollup_id(data, account, day), amount, source_updated_at=stamp)
        else:
            kept = {name: data[name] for name in self._kept if data.get(name) is not None}
            click, commission = data.get("click_id"), data.get("commission_id")
            same_click = ("click", self._start, account, str(click), str(data.get("merchant_group_id") or ""))
            same_commission = ("commission", self._start, account, str(commission))
            part = Contribution(
                key,
                key,
                cents(amount),
                _alias(same_click) if click else "",
                _alias(same_commission) if commission else "",
                stamp,
            )
        try:
            facts = orjson.dumps(kept)
        except TypeError:
            raise FieldError("", "a value that is no JSON, or a number too long for it") from None
        return Entry(record, part, facts, day, changed, cpc)

    def _amount(self, data: Mapping[str, Any]) -> Decimal:
        """Return what a row is worth. A return may keep the order's value as it was: the commission tells the sign."""
        amount = read_amount(data, "publisher_net_revenue")
        if self._by_sale:
            value = read_amount(data, "order_value")
            amount = value.copy_abs().copy_negate() if amount < 0 else value
        return amount.quantize(_FINEST, ROUND_HALF_UP, _EXACT)


def _alias(parts: tuple[str, ...]) -> str:
    """Return what rows have in common as a name that fits into an index, however long its parts are."""
    named = SEPARATOR.join(parts)
    return named if len(named) <= 200 else blake2b(named.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _own_id(data: Mapping[str, Any]) -> str:
    """Return revenue id and commission id, of which one may be missing (B6); without both, a click is all there is."""
    ids = [read_id(data, name) if data.get(name) not in (None, "") else "" for name in ("revenue_id", "commission_id")]
    return "-".join(ids) if any(ids) else f"click-{read_id(data, 'click_id')}"


def _changed(data: Mapping[str, Any], day: str) -> str:
    return noon(day_of(data, "update_date") if data.get("update_date") else day)


_time = utc("CreateDate")


def day_of(data: Mapping[str, Any], name: str) -> str:
    """Return a date, also if a warehouse gave it a midnight."""
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
    """Return the noon of a day in UTC: midnight would be the day before in US Eastern (D4)."""
    moment: str = _time(f"{day} 12:00:00")
    return moment
