"""Reads wecantrack's transactions as affiliate sales (docs/vendors/wecantrack.md A5, docs/vendors/wecantrack.md A7).

Only the stream `transactions` has sales. wecantrack edits a transaction in place and lists it again after each change.
Dates are documented as UTC (docs/vendors/wecantrack.md A6); amounts are decimal text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from destination_wicked_reports.api.endpoints import ORDERS
from destination_wicked_reports.api.fields import utc
from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.mappings import WecantrackMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.mappings.affiliate.base import (
    EXCLUDED_NETWORK,
    OUTDATED,
    AffiliateNormalizer,
    Sale,
    Status,
    read_amount,
    read_id,
    reject,
)
from destination_wicked_reports.mappings.payments_and_refunds import cents
from destination_wicked_reports.model import OrderState, Record, Reject, Row, Skip

_STATUSES: Mapping[str, Status] = {"pending": "pending", "approved": "approved", "declined": "declined"}
_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
#: A click id of wecantrack contains the time of the click as yymmddHHMMSS (docs/vendors/wecantrack.md A5).
_CLICK_ID = re.compile(r"(?:WCT|wct)([0-9]{12})[A-Za-z0-9]{1,5}").fullmatch
_UTMS = {
    "utm_source": "Source",
    "utm_medium": "Medium",
    "utm_campaign": "Campaign",
    "utm_content": "Content",
    "utm_term": "Term",
}

_utc_time = utc("Date_Time")


class WecantrackNormalizer(AffiliateNormalizer):
    """Reads wecantrack's transactions."""

    streams = frozenset({"transactions"})
    source = "wecantrack"

    def __init__(self, mapping: WecantrackMapping) -> None:
        super().__init__(mapping)
        self._in_euro = mapping.currency == "euro"
        amount = "commission_amount" if mapping.revenue_basis == "commission" else "sale_amount"
        self._amount_field = f"{amount}_euro" if self._in_euro else amount
        self._excluded = frozenset(network.casefold() for network in mapping.exclude_networks)

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of each record. Earlier records of the same call count for the later ones."""
        sales = [self._read(record) for record in records]
        # The ledger key of a sale is that of its first order; later orders of the sale share it.
        key_prefix = self.mapping.source_system + SEPARATOR
        keys = [key_prefix + sale.source_id if isinstance(sale, Sale) else "" for sale in sales]
        orders.load([key for key in keys if key])
        latest: dict[str, OrderState] = {}
        for sale, key in zip(sales, keys, strict=True):
            if not isinstance(sale, Sale):
                yield sale
                continue
            state, updated_at = latest.get(key) or orders.get(key), _updated_at(sale)
            if state is not None and updated_at and updated_at < state.source_updated_at:
                yield Skip(OUTDATED, sale.record.sequence)
                continue
            try:
                rows = self._rows(sale, key, state)
            except FieldError as error:
                yield reject(error, ORDERS.name, sale.record)
                continue
            for row in rows:
                if isinstance(row, Row) and row.order is not None:
                    row.order = latest[key] = replace(row.order, source_updated_at=updated_at)
                yield row

    def _read(self, record: Record) -> Sale | Skip | Reject:
        try:
            return self.read(record)
        except FieldError as error:
            return reject(error, ORDERS.name, record)

    def read(self, record: Record) -> Sale | Skip:
        """Return the sale, or a Skip for an excluded network; raises FieldError for an invalid record."""
        data = record.data
        # wecantrack does not always send network_id, but always the account id (docs/vendors/wecantrack.md A5).
        ids = {str(data.get("network_id")).casefold(), str(data.get("user_network_account_id")).casefold()}
        if not self._excluded.isdisjoint(ids):
            return Skip(EXCLUDED_NETWORK, record.sequence)
        # Transaction ids are unique per account only (docs/vendors/wecantrack.md A5).
        transaction_id = f"{read_id(data, 'user_network_account_id')}-{read_id(data, 'transaction_id')}"
        status = _STATUSES.get(str(data.get("status")).lower())
        if status is None:
            raise FieldError("Status", "status is not pending, approved or declined")
        advertiser = data.get("advertiser_name")
        reference = data.get("reference")
        return Sale(
            record=record,
            source_id=f"wct-{transaction_id}",
            status=status,
            amount=_cents(data, self._amount_field),
            currency=self._currency(data),
            ordered_at=data.get("order_date"),
            approved_at=data.get("validation_date") or data.get("last_wct_update"),
            updated_at=data.get("last_wct_update"),
            product_id=data.get("advertiser_id"),
            product_name=advertiser if isinstance(advertiser, str) else "",
            click_id=reference if isinstance(reference, str) and reference else transaction_id,
        )

    def click_details(self, sale: Sale) -> tuple[Any, Mapping[str, Any]]:
        """Return the click's time and UTMs.

        The time comes from the click id, else from `click_date`, which is often missing and not always UTC
        (docs/vendors/wecantrack.md A6).
        """
        data = sale.record.data
        metadata = decode_json_text(data.get("click_metadata"))
        utms = {}
        if isinstance(metadata, dict):
            for name, field in _UTMS.items():
                if isinstance(metadata.get(name), str):
                    utms[field] = metadata[name]
        match = _CLICK_ID(sale.click_id)
        if match:
            try:
                year, month, day, hour, minute, second = (match[1][start : start + 2] for start in range(0, 12, 2))
                return _utc_time(f"20{year}-{month}-{day} {hour}:{minute}:{second}"), utms
            except FieldError:
                pass  # The digits are not a time: the publisher set an id of its own.
        return data.get("click_date"), utms

    def _currency(self, data: Mapping[str, Any]) -> str:
        if self._in_euro:
            return "EUR"
        currency = data.get("currency_id")
        if not currency:
            raise FieldError("OrderCurrency", "currency_id is missing")
        if not isinstance(currency, str) or not _CURRENCY(currency.upper()):
            raise FieldError("OrderCurrency", "currency_id is not a three-letter currency code")
        return currency.upper()


def _cents(data: Mapping[str, Any], name: str) -> Decimal:
    amount = read_amount(data, name)
    if amount < 0:
        raise FieldError("OrderTotal", f"{name} is negative")
    return cents(amount)


def _updated_at(sale: Sale) -> str:
    """Return when wecantrack last updated the transaction, in a sortable form; "" if the date is invalid."""
    try:
        return str(_utc_time(sale.updated_at))
    except FieldError:
        return ""
