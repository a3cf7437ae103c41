"""Reads wecantrack's transactions as affiliate sales (docs/vendors/wecantrack.md A5, docs/vendors/wecantrack.md A7).

Only the stream `transactions` has sales. wecantrack edits a transaction in place and lists it again after each change.
Dates are documented as UTC (docs/vendors/wecantrack.md A6); amounts are decimal text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.fields import utc
from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.mappings import WecantrackMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.mappings.affiliate.base import (
    EXCLUDED_NETWORK,
    NO_ADDRESS,
    OUTDATED,
    SMALL_CHANGE,
    AffiliateNormalizer,
    ClickDetails,
    Output,
    Sale,
    Status,
    in_sequence,
    read_amount,
    read_id,
    reject,
    sort_time,
)
from destination_wicked_reports.mappings.affiliate.contact_lookup import LAST_WAITING, ContactLookup, is_waiting
from destination_wicked_reports.mappings.affiliate.returns import (
    AT_ONCE,
    EXCESS,
    UNMATCHED,
    Candidate,
    alias,
    choose_sale,
    waiting_returns,
)
from destination_wicked_reports.mappings.revenue import cents
from destination_wicked_reports.mappings.sale_rows import sale_id
from destination_wicked_reports.model import (
    LAST_SEQUENCE,
    ZERO,
    Contribution,
    Record,
    Reject,
    Row,
    SaleState,
    SaleTotal,
    Skip,
    Stored,
)

_STATUSES: Mapping[str, Status] = {"pending": "pending", "approved": "approved", "declined": "declined"}
_CURRENCY = re.compile(r"[A-Z]{3}").fullmatch
#: A click id of wecantrack contains the time of the click as yymmddHHMMSS (docs/vendors/wecantrack.md A5).
_CLICK_ID = re.compile(r"(?:WCT|wct)" + "([0-9]{2})" * 6 + "[A-Za-z0-9]{1,5}").fullmatch
_UTMS = {
    "utm_source": "Source",
    "utm_medium": "Medium",
    "utm_campaign": "Campaign",
    "utm_content": "Content",
    "utm_term": "Term",
}

_CLICK_ID_INSIDE = re.compile(r"(?:WCT|wct)[0-9]{12}[A-Za-z0-9]{1,5}").search
STREAM = "transactions"

_utc_time = utc("Date_Time")


class WecantrackNormalizer(AffiliateNormalizer):
    """Reads wecantrack's transactions."""

    streams = frozenset({STREAM})
    source = "wecantrack"

    def __init__(
        self, mapping: WecantrackMapping, lookup: ContactLookup | None = None, *, durable: bool = True
    ) -> None:
        super().__init__(mapping, lookup, durable=durable)
        self._in_euro = mapping.currency == "euro"
        amount = "commission_amount" if mapping.revenue_basis == "commission" else "sale_amount"
        self._amount_field = f"{amount}_euro" if self._in_euro else amount
        self._excluded = frozenset(network.casefold() for network in mapping.exclude_networks)

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of each record. Earlier records of the same call count for the later ones."""
        sales: list[tuple[Sale, str]] = []
        for record in records:
            sale = self._read(record)
            if isinstance(sale, Sale):
                sales.append((sale, self._sale_rows.key(sale.source_id)))
            else:
                yield sale
        keys = [key for _, key in sales]
        orders.load(keys)
        orders.record_times.load(keys)
        batch = _Batch(orders, {})
        self._prepare_lookup(((sale.record.data, batch.state(key)) for sale, key in sales), orders)
        has_returns = not orders.sale_totals.empty or any(sale.amount < 0 for sale, _ in sales)
        if self._lookup is None and not self._smallest_change and not has_returns:
            for sale, key in sales:
                yield from self._attempt(sale, key, batch, self._rows)
        else:
            yield from in_sequence([*self._with_returns(sales, batch)])
        orders.record_times.save()

    def _finish_sales(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield a dead letter for each return whose sale is not known, once, and the orders that waited long enough."""
        totals = orders.sale_totals
        for page in totals.pending(self._sale_rows.key(""), LAST_WAITING):
            waiting = [total for total in page if is_waiting(total)]
            if waiting:
                totals.load([total.key for total in waiting], [total.key for total in page], ())
                yield from self._finish_waiting(waiting, orders, partial(self._stored_sale, totals))
            for total in page:
                if total.pending != AT_ONCE:
                    continue
                record = Record(STREAM, orjson.loads(total.facts), LAST_SEQUENCE)
                letter = Reject(UNMATCHED, "OrderID", ORDER_PAYMENTS.name, STREAM, record.data, LAST_SEQUENCE)
                yield replace(letter, from_ledger=True)
                totals.update(total.key, pending="")
            totals.save()

    def _stored_sale(self, totals: SaleTotals, total: SaleTotal) -> Sale | Skip | Reject:
        """Return a sale that waits, worth what its returns left of it.

        The amount is in the currency of the time when it was read, which the mapping's `currency` may not be now.
        """
        sale = self._read(Record(STREAM, orjson.loads(total.facts), LAST_SEQUENCE))
        if not isinstance(sale, Sale):
            return sale
        own = totals.contribution(total.key)
        return replace(sale, amount=total.amount, currency=sale.currency if own is None else own.currency)

    def _forget_waiting(self, total: SaleTotal, totals: SaleTotals) -> None:
        """Mark a sale as not waiting any more, and delete its record."""
        totals.update(total.key, facts=b"{}", pending="")

    def _attempt(self, sale: Sale, key: str, batch: _Batch, make: Make) -> Output:
        """Return the rows that `make` makes of a sale; a record older than the latest one is skipped."""
        state, times = batch.state(key), batch.orders.record_times
        latest = max(times.get(key), "" if state is None else state.source_updated_at)
        if latest and "" < sort_time(sale.updated_at) < latest:
            return [Skip(OUTDATED, sale.record.sequence)]
        try:
            output = batch.note(make(sale, key, state))
        except FieldError as error:
            return [reject(error, ORDERS.name, sale.record)]
        if batch.settled(key) and not any(isinstance(one, Row) and one.sale_key for one in output):
            updated_at = sort_time(sale.updated_at)
            if updated_at > latest:
                times.note(key, updated_at)
        return output

    # -- returns ----------------------------------------------------------------------------------------------------

    def _with_returns(self, sales: Sequence[tuple[Sale, str]], batch: _Batch) -> Iterator[Row | Reject | Skip]:
        """Yield the rows of sales, then those of returns, so that a return finds a sale of the same call."""
        orders, totals = batch.orders, batch.orders.sale_totals
        names = {name for sale, _ in sales for name in sale.aliases}
        found = orders.find({name for sale, _ in sales if sale.amount < 0 for name in sale.aliases})
        keys = [key for _, key in sales]
        totals.load({*keys, *found}, {*keys, *found}, names)
        assigned = {one.sale_key for key in keys if (one := totals.contribution(key)) is not None}
        orders.load({*keys, *found, *assigned})
        batch.candidates.update(dict.fromkeys(found))
        returns: dict[str, list[Sale]] = {}
        for sale, key in sales:
            if (sale.amount < 0 and batch.state(key) is None) or key in returns:
                returns.setdefault(key, []).append(sale)  # keep the order of the versions of one row
            else:
                batch.candidates[key] = None
                yield from self._attempt(sale, key, batch, partial(self._sale_with_returns, batch=batch))
        for key, versions in returns.items():
            for sale in versions:
                is_return = sale.amount < 0 and batch.state(key) is None
                make = self._return if is_return else self._sale_with_returns
                yield from self._attempt(sale, key, batch, partial(make, batch=batch))
        totals.save()

    def _sale_with_returns(self, sale: Sale, key: str, state: SaleState | None, *, batch: _Batch) -> Output:
        """Return the rows of a sale less what its returns took back.

        A sale that has returns is itself stored as a contribution, so that its value is their sum.
        """
        totals, record = batch.orders.sale_totals, sale.record
        own, updated_at = totals.contribution(key), sort_time(sale.updated_at)
        if own is not None and updated_at and updated_at < own.source_updated_at:
            return [Skip(OUTDATED, record.sequence)]
        former = own.currency if own is not None else state.currency if state is not None else sale.currency
        moved = former != sale.currency
        waiting = waiting_returns(sale.aliases, totals, batch.state) if state is None or moved else []
        waiting = [one for one in waiting if one.key != key]
        must_wait = state is None and self._must_wait(sale)
        if own is None and not waiting and sale.amount >= 0 and not must_wait:
            output = self._rows(sale, key, state)
            if any(isinstance(one, Skip) and one.reason == SMALL_CHANGE for one in output):
                totals.put(Contribution(key, key, sale.amount, sale.aliases, updated_at, sale.currency))
            return output
        same_currency = state is None or state.currency == sale.currency
        sent = None if state is None else own.amount if own is not None and own.sale_key == key else state.net
        value = self._recognized(sale, sent, same_currency=same_currency)
        skipped: Output = []
        if isinstance(value, str):
            skipped = [Skip(value, record.sequence)]
            if state is not None or own is None:
                return skipped
            value = ZERO  # what an unsent sale was worth before must not be sent when its returns shrink
        if state is None and own is None and self._contact(sale) is None:
            return [self._without_contact(record)]
        before, total = totals.amount(key), totals.total(key)
        waits_since = "" if total is None else total.pending
        # An unsent sale is stored with its record: when its returns shrink, the first order is made of it.
        facts = orjson.dumps(record.data, default=str) if state is None else b"{}"
        totals.put(Contribution(key, key, value, sale.aliases, updated_at, sale.currency), facts, pending="")
        for one in waiting:
            totals.put(replace(one, sale_key=key))
            totals.update(one.key, pending="")
        reported = self._detach(own, sale, totals) if own is not None and moved else []
        left = totals.amount(key)
        output = skipped
        if must_wait and not skipped and left > 0:
            assert self._lookup is not None
            totals.update(key, pending=self._lookup.waiting(waits_since))
            output = [Stored(NO_ADDRESS, record.sequence)]
        elif not skipped:
            output = self._first_order(sale, key, left) if state is None else self._changes(sale, key, state, left)
        output = [*output, *reported]
        if own is not None and own.sale_key != key:  # it was a return of another sale, which has more left now
            output += self._parent_changes(sale, own.sale_key, batch)
        return output if skipped else [*output, *self._excess(sale, before, left)]

    @staticmethod
    def _detach(own: Contribution, sale: Sale, totals: SaleTotals) -> Output:
        """Let the returns wait that are not in the sale's new currency; report each."""
        record, output = sale.record, list[Row | Reject | Skip]()
        for one in {one.key: one for name in own.aliases for one in totals.related(name)}.values():
            if one.sale_key == own.key != one.key and one.currency != sale.currency:
                totals.put(replace(one, sale_key=one.key))
                row = {
                    "transaction": one.key.partition(SEPARATOR)[2],
                    "amount": str(one.amount),
                    "currency": one.currency,
                }
                letter = Reject(UNMATCHED, "OrderID", ORDER_PAYMENTS.name, record.stream, row, record.sequence)
                output.append(replace(letter, from_ledger=True))
        return output

    def _return(self, sale: Sale, key: str, _: SaleState | None, *, batch: _Batch) -> Output:
        """Return the rows of the sale that a negative row takes back from; without a sale, the row is stored."""
        totals, record = batch.orders.sale_totals, sale.record
        known, updated_at = totals.contribution(key), sort_time(sale.updated_at)
        if known is not None and updated_at and updated_at < known.source_updated_at:
            return [Skip(OUTDATED, record.sequence)]
        amount = self._recognized(sale, None if known is None else known.amount)
        if isinstance(amount, str):
            return [Skip(amount, record.sequence)]
        returned = Contribution(key, key, amount, sale.aliases, updated_at, sale.currency)
        former = known.sale_key if known is not None and known.sale_key != key else None
        sale_key = former if former is not None and self._currency_of(former, totals) == sale.currency else None
        sale_key = sale_key or self._find(returned, batch)
        if sale_key is None and former is None and self._contact(sale) is None:
            return [self._without_contact(record)]
        parent = None if sale_key is None else batch.state(sale_key)
        if sale_key is not None and parent is not None and totals.contribution(sale_key) is None:
            own = (parent.net, parent.aliases, parent.source_updated_at, parent.currency)
            totals.put(Contribution(sale_key, sale_key, *own))
        if known is not None and known.sale_key == key:
            totals.update(key, pending="")
        output: Output = []
        before = ZERO if sale_key is None else totals.amount(sale_key)
        if sale_key is None:
            totals.put(returned, orjson.dumps(record.data, default=str), AT_ONCE if amount else "")
        else:
            totals.put(replace(returned, sale_key=sale_key))
        if former not in (None, sale_key):  # the return has changed its currency, so its sale has more left now
            output += self._parent_changes(sale, str(former), batch)
        if sale_key is not None:
            output += self._parent_changes(sale, sale_key, batch)
            output += self._excess(sale, before, totals.amount(sale_key))
        return output

    @staticmethod
    def _currency_of(key: str, totals: SaleTotals) -> str:
        own = totals.contribution(key)
        return "" if own is None else own.currency

    def _parent_changes(self, sale: Sale, key: str, batch: _Batch) -> Output:
        """Return the rows of the sale `key` after the row `sale` took something back from it."""
        parent, totals = batch.state(key), batch.orders.sale_totals
        if parent is not None:
            sale = replace(sale, currency=self._currency_of(key, totals) or parent.currency)
            return self._changes(sale, key, parent, totals.amount(key), own_record=False)
        total = totals.total(key)
        if total is None or total.facts == b"{}":
            return []
        unsent = self.read(Record(STREAM, orjson.loads(total.facts), sale.record.sequence))
        # Another return may wait for the sale, or follow in this call.
        batch.candidates[key] = None
        return self._sale_with_returns(unsent, key, None, batch=batch) if isinstance(unsent, Sale) else []

    def _find(self, returned: Contribution, batch: _Batch) -> str | None:
        totals = batch.orders.sale_totals
        candidates = []
        for key in batch.candidates:
            state = batch.state(key)
            if state is not None:
                left = state.net if totals.total(key) is None else max(totals.amount(key), ZERO)
                candidates.append(Candidate(key, state.aliases, left))
        for one in {one.key: one for name in returned.aliases for one in totals.related(name)}.values():
            total = totals.total(one.key)
            if total is not None and is_waiting(total) and batch.state(one.key) is None:
                candidates.append(Candidate(one.key, one.aliases, max(total.amount, ZERO)))
        return choose_sale(returned, candidates)

    def _excess(self, sale: Sale, before: Decimal, left: Decimal) -> Output:
        """Report a negative row that takes back more than the sale is worth, and a sale that falls below its returns.

        The row is reported as often as it is read, the fall of the sale once.
        """
        if left >= 0 or sale.status == "declined" or (sale.amount >= 0 and left >= before):
            return []
        record = sale.record
        return [Reject(EXCESS, "Amount", ORDER_PAYMENTS.name, record.stream, record.data, record.sequence)]

    # -- records ----------------------------------------------------------------------------------------------------

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
        advertiser, reference, currency = data.get("advertiser_name"), data.get("reference"), self._currency(data)
        return Sale(
            record=record,
            source_id=sale_id(f"wct-{transaction_id}"),
            status=status,
            amount=cents(read_amount(data, self._amount_field)),
            currency=currency,
            ordered_at=data.get("order_date"),
            approved_at=data.get("validation_date") or data.get("last_wct_update"),
            updated_at=data.get("last_wct_update"),
            product_id=data.get("advertiser_id"),
            product_name=advertiser if isinstance(advertiser, str) else "",
            click_id=reference if isinstance(reference, str) and reference else transaction_id,
            read_aliases=partial(self._aliases, data, currency),
        )

    def _aliases(self, data: Mapping[str, Any], currency: str) -> tuple[str, ...]:
        """Return what a return has in common with its sale: the reference, else the click, else the order number.

        Each counts within one source system, account, advertiser and currency.
        """
        system = self.mapping.source_system
        scope = f"{data['user_network_account_id']}{SEPARATOR}{data.get('advertiser_id')}{SEPARATOR}{currency}"
        reference, order_ref = data.get("reference"), data.get("order_ref")
        found = [alias(system, f"reference{SEPARATOR}{scope}", str(reference))] if reference else []
        sub_ids = decode_json_text(data.get("sub_ids"))
        for sub_id in sub_ids.values() if isinstance(sub_ids, dict) else ():
            click = _CLICK_ID_INSIDE(sub_id) if isinstance(sub_id, str) else None
            if click is not None and click[0] != reference:
                found.append(alias(system, f"reference{SEPARATOR}{scope}", click[0]))
                break
        if order_ref:
            found.append(alias(system, f"order_ref{SEPARATOR}{scope}", str(order_ref)))
        return tuple(found)

    def click_details(self, sale: Sale) -> ClickDetails:
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
                year, month, day, hour, minute, second = match.groups()
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


class _Batch:
    """The sales of one call of `normalize`: their latest states, and the keys among which a return finds its sale."""

    def __init__(self, orders: OrderBook, candidates: dict[str, None]) -> None:
        self.orders = orders
        self.candidates = candidates
        self._latest: dict[str, SaleState] = {}

    def state(self, key: str) -> SaleState | None:
        """Return a sale after the last row made for it."""
        return self._latest.get(key) or self.orders.get(key)

    def settled(self, key: str) -> bool:
        """Tell whether no row of a sale is queued or in flight: a killed run would have to make it again."""
        return key not in self._latest and self.orders.queued_endpoint(key) is None

    def note(self, output: Output) -> Output:
        """Remember the states after these rows."""
        for row in output:
            if isinstance(row, Row) and row.sale is not None and row.sale_key is not None:
                self._latest[row.sale_key] = row.sale
        return output


Make = Callable[[Sale, str, SaleState | None], Output]
