"""wecantrack's transactions as affiliate sales (`apis/affiliate-facts.md` A5 to A9, D4).

Only the stream `transactions` carries sales. A transaction is edited in place and comes again on every change;
its dates are UTC as documented (A6), its amounts decimal text (A5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from destination_wicked_reports.api.endpoints import ORDERS
from destination_wicked_reports.api.fields import utc
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.affiliate.base import (
    EXCLUDED_NETWORK,
    OUTDATED,
    AffiliateNormalizer,
    AffiliateRules,
    Sale,
    Status,
    read_amount,
    read_id,
    rejected,
)
from destination_wicked_reports.mappings.affiliate.contacts import unpacked
from destination_wicked_reports.mappings.order_payments import cents
from destination_wicked_reports.model import OrderState, Record, Reject, Row, Skip

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

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of each record; a record sees what those before it have made of its order."""
        sales = [self._read(record) for record in records]
        # The ledger's name for a sale is that of its first order, whatever later orders it may get.
        start = self.rules.source_system + SEPARATOR
        keys = [start + sale.source_id if isinstance(sale, Sale) else "" for sale in sales]
        orders.load([key for key in keys if key])
        told: dict[str, OrderState] = {}
        for sale, key in zip(sales, keys, strict=True):
            if not isinstance(sale, Sale):
                yield sale
                continue
            state, changed = told.get(key) or orders.get(key), _stamp(sale)
            if state is not None and changed and changed < state.source_updated_at:
                yield Skip(OUTDATED, sale.record.sequence)
                continue
            try:
                rows = self._rows(sale, key, state)
            except FieldError as error:
                yield rejected(error, ORDERS.name, sale.record)
                continue
            for row in rows:
                if isinstance(row, Row) and row.order is not None:
                    row.order = told[key] = replace(row.order, source_updated_at=changed)
                yield row

    def _read(self, record: Record) -> Sale | Skip | Reject:
        try:
            return self.read(record)
        except FieldError as error:
            return rejected(error, ORDERS.name, record)

    def read(self, record: Record) -> Sale | Skip:
        """Return the sale, or a Skip for a network that another source brings already (affiliate-facts 0.10).

        Raises FieldError for a record that is no sale.
        """
        data = record.data
        # wecantrack does not always send network_id (A5); the account id is always there
        names = {str(data.get("network_id")).casefold(), str(data.get("user_network_account_id")).casefold()}
        if not self._excluded.isdisjoint(names):
            return Skip(EXCLUDED_NETWORK, record.sequence)
        # A transaction id is unique within an account only (A5).
        name = f"{read_id(data, 'user_network_account_id')}-{read_id(data, 'transaction_id')}"
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


def _cents(data: Mapping[str, Any], name: str) -> Decimal:
    amount = read_amount(data, name)
    if amount < 0:
        raise FieldError("OrderTotal", f"{name} is negative")
    return cents(amount)


def _stamp(sale: Sale) -> str:
    """Return when wecantrack last wrote the transaction, in a form that sorts; "" if that is no date."""
    try:
        return str(_time(sale.changed))
    except FieldError:
        return ""
