"""wecantrack's transactions as affiliate sales (`apis/affiliate-facts.md` A5 to A9, D4).

Only the stream `transactions` carries sales. A transaction is edited in place and comes again on every change;
its dates are UTC as documented (A6), its amounts decimal text (A5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from destination_wicked_reports.fields import NUMBER_LIMIT, FieldError, decimal, text, utc
from destination_wicked_reports.normalizers.affiliate import (
    EXCLUDED_NETWORK,
    AffiliateNormalizer,
    AffiliateRules,
    Sale,
    Status,
)
from destination_wicked_reports.normalizers.base import Record, Skip
from destination_wicked_reports.normalizers.identity import unpacked

CENT = Decimal("0.01")
_STATUSES: Mapping[str, Status] = {"pending": "pending", "approved": "approved", "declined": "declined"}
_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
#: wecantrack's click id holds the time of the click as yymmddHHMMSS (A5).
_CLICK_ID = re.compile(r"(?:WCT|wct)([0-9]{12})[A-Za-z0-9]{1,5}").fullmatch
_UTMS = {
    "utm_source": "Source",
    "utm_medium": "Medium",
    "utm_campaign": "Campaign",
    "utm_content": "Content",
    "utm_term": "Term",
}

_id = text("SourceID", 500)
_time = utc("Date_Time")


class WecantrackNormalizer(AffiliateNormalizer):
    """Reads wecantrack's transactions."""

    streams = frozenset({"transactions"})
    source = "wecantrack"

    def __init__(self, rules: AffiliateRules) -> None:
        super().__init__(rules)
        basis = "commission_amount" if rules.revenue_basis == "commission" else "sale_amount"
        self._amount = f"{basis}_euro" if rules.currency == "euro" else basis
        self._excluded = frozenset(network.casefold() for network in rules.exclude_networks)

    def read(self, record: Record) -> Sale | Skip:
        """Return the sale, or a Skip for a network that another source brings already (affiliate-facts 0.10)."""
        data = record.data
        network = data.get("network_id")
        if self._excluded and network is not None and str(network).casefold() in self._excluded:
            return Skip(EXCLUDED_NETWORK, record.sequence)
        # A transaction id is unique within an account only (A5).
        name = f"{_text(data, 'user_network_account_id')}-{_text(data, 'transaction_id')}"
        status = _STATUSES.get(str(data.get("status")).lower())
        if status is None:
            raise FieldError("Status", "status is none of pending, approved, declined")
        advertiser = data.get("advertiser_name")
        reference = data.get("reference")
        return Sale(
            record=record,
            source_id=f"wct-{name}",
            status=status,
            amount=_cents(data, self._amount),
            currency=self._currency(data),
            ordered=data.get("order_date"),
            approved=data.get("validation_date") or data.get("last_wct_update"),
            changed=data.get("last_wct_update"),
            product_id=data.get("advertiser_id"),
            product_name=advertiser if isinstance(advertiser, str) else "",
            click=reference if isinstance(reference, str) and reference else name,
        )

    def clicked(self, sale: Sale) -> tuple[Any, Mapping[str, Any]]:
        """Return the time in the click id, else the network's, which is often missing and not always UTC (A5, A6)."""
        data = sale.record.data
        metadata = unpacked(data.get("click_metadata"))
        utms = {}
        if isinstance(metadata, dict):
            for name, field in _UTMS.items():
                if isinstance(metadata.get(name), str):
                    utms[field] = metadata[name]
        match = _CLICK_ID(sale.click)
        if match:
            try:
                year, month, day, hour, minute, second = (match[1][place : place + 2] for place in range(0, 12, 2))
                return _time(f"20{year}-{month}-{day} {hour}:{minute}:{second}"), utms
            except FieldError:
                pass  # twelve digits that are no time: an id of the publisher's own making
        return data.get("click_date"), utms

    def _currency(self, data: Mapping[str, Any]) -> str:
        if self.rules.currency == "euro":
            return "EUR"
        currency = data.get("currency_id")
        if not currency:
            raise FieldError("OrderCurrency", "currency_id is missing, and amounts of unknown currency cannot be added")
        if not isinstance(currency, str) or not _CURRENCY(currency.upper()):
            raise FieldError("OrderCurrency", "currency_id is not a currency code of three letters")
        return currency.upper()


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if value is None:
        raise FieldError("SourceID", f"{name} is missing")
    try:
        checked: str = _id(value)
    except FieldError as error:
        raise FieldError(error.field, f"{name}: {error.reason}") from None
    return checked


def _cents(data: Mapping[str, Any], name: str) -> Decimal:
    """Return an amount in whole cents: rounded here, half up, and nowhere else."""
    value = data.get(name)
    if value is None or value == "":
        raise FieldError("OrderTotal", f"{name} is missing")
    try:
        amount = decimal("OrderTotal", value)
    except FieldError as error:
        raise FieldError(error.field, f"{name}: {error.reason}") from None
    if amount < 0:
        raise FieldError("OrderTotal", f"{name} is negative")
    if amount.adjusted() > NUMBER_LIMIT - 4:
        raise FieldError("OrderTotal", f"{name} has too many digits")
    return amount.quantize(CENT, ROUND_HALF_UP)
