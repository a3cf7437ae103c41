"""Reads Sovrn Commerce's transactions as affiliate sales.

See docs/vendors/sovrn.md B5 to B7 for the records and docs/guides/affiliate-revenue.md Sovrn for the rules.

Only the stream `transactions` has sales. Sovrn reports no status, no currency and no time of day: a row is revenue
until it is taken back, the currency is a setting, and a day is sent as its noon in UTC, which is the same day in the US
Eastern time of Wicked Reports.

A sale is the sum of its rows: its own row, which Sovrn edits in place, and the separate returns matched with it
(`returns.py`), or the CPC rows of one group and day (`sovrn_cpc.py`). Wicked Reports should count that sum, but
never less than zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timezone
from decimal import Decimal

import orjson

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.mappings import ROLLUP_PREFIX, SovrnMapping
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.mappings.affiliate.base import (
    NO_ADDRESS,
    OUTDATED,
    AffiliateNormalizer,
    ClickDetails,
    Output,
    Sale,
    in_sequence,
    reject,
)
from destination_wicked_reports.mappings.affiliate.contact_lookup import ContactLookup, is_waiting
from destination_wicked_reports.mappings.affiliate.returns import (
    AT_ONCE,
    EXCESS,
    UNMATCHED,
    StateOf,
    find_sale,
    waiting_returns,
)
from destination_wicked_reports.mappings.affiliate.sovrn_cpc import (
    CPC_SKIPPED,
    CPC_WAITING,
    is_rollup,
    last_complete_day,
    read_utms,
)
from destination_wicked_reports.mappings.affiliate.sovrn_records import (
    SovrnReader,
    SovrnRow,
    is_cpc_row,
    noon,
    read_day,
)
from destination_wicked_reports.mappings.revenue import cents
from destination_wicked_reports.model import (
    LAST_SEQUENCE,
    ZERO,
    Record,
    Reject,
    Row,
    SaleState,
    SaleTotal,
    Skip,
    Stored,
)

STREAM = "transactions"
CPC_GROWTH = "CPC order that has grown by less than cpc_smallest_change, waiting"
#: After so many days without a payment, any growth of a CPC order is sent.
CPC_GROWTH_DAYS = 30
#: Sorts after every day.
_ALL_DAYS = "9999"
#: The states of orders after the rows made in this call, by ledger key.
LatestStates = dict[str, SaleState]


def utc_today() -> date:
    """Return today's date in UTC."""
    return datetime.now(timezone.utc).date()


class SovrnNormalizer(AffiliateNormalizer):
    """Reads Sovrn's transactions. `today` determines which days of CPC rows are complete."""

    streams = frozenset({STREAM})
    source = "sovrn"

    def __init__(
        self,
        mapping: SovrnMapping,
        today: Callable[[], date] = utc_today,
        lookup: ContactLookup | None = None,
        *,
        durable: bool = True,
    ) -> None:
        super().__init__(mapping, lookup, durable=durable)
        self._today = today
        self._key_prefix = mapping.source_system + SEPARATOR
        self._currency = mapping.order_currency
        self._rolls_up = mapping.cpc == "rollup"
        self._cpc_smallest_change = Decimal(mapping.cpc_smallest_change)
        self._reader = SovrnReader(mapping)
        #: whether the ledger has CPC orders, None if unknown
        self._has_rollups: bool | None = None

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Return the rows of these records. Sales are processed first, so that each return finds its sale."""
        output: Output = []
        rows: list[SovrnRow] = []
        for record in records:
            row = self._read(record, orders.sale_totals)
            if not isinstance(row, SovrnRow):
                output.append(row)
            else:
                rows.append(row)
        sums = orders.sale_totals
        contributions = [row.contribution for row in rows]
        sales = [row.contribution for row in rows if not row.is_cpc]
        sums.load(
            {one.key for one in contributions},
            {one.sale_key for one in contributions},
            {name for one in sales for name in one.aliases},
        )
        orders.load(sums.loaded_keys() + [one.sale_key for one in sales])
        if not self._rolls_up:
            output += [Skip(CPC_SKIPPED, row.record.sequence) for row in rows if row.is_cpc]
            rows = [row for row in rows if not row.is_cpc or _is_rolled_up(row, sums)]
        self._prepare_lookup(((row.record.data, orders.get(row.contribution.sale_key)) for row in rows), orders)
        rows, outdated = _drop_outdated(rows, sums)
        output += outdated
        present_keys = {row.contribution.key for row in rows}
        latest: LatestStates = {}
        returns: dict[str, list[SovrnRow]] = {}
        for row in rows:
            key = row.contribution.key
            if row.is_cpc:
                output += self._add_cpc(row, orders, latest)
            elif row.contribution.amount < 0 or key in returns:  # keep the order of the versions of one row
                returns.setdefault(key, []).append(row)
            else:
                output += self._add_sale(row, orders, latest, present_keys)
        for row in (row for versions in returns.values() for row in versions):
            if row.contribution.amount < 0:
                output += self._add_return(row, orders, latest)
            else:
                output += self._add_sale(row, orders, latest, set())
        sums.save()
        return iter(in_sequence(output))

    def _finish_sales(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the CPC orders of complete days, and dead letters for the returns without a sale.

        A CPC order stays due until a later run finds it sent, so one that did not arrive is sent again.
        """
        limit = last_complete_day(self._today()) if self._rolls_up else _ALL_DAYS
        for totals in orders.sale_totals.pending(self._key_prefix, limit):
            orders.load([total.key for total in totals])
            waiting = []
            for total in totals:
                if is_rollup(total.key) and not self._rolls_up:
                    yield from self._take_back(total, orders)
                    continue
                if self._may_wait(total, orders.get(total.key)):
                    waiting.append(total)
                    continue
                if self._growth_waits(total, orders.get(total.key)):
                    yield Skip(CPC_GROWTH, LAST_SEQUENCE)
                    continue
                output = self._finish_total(total, orders)
                if not any(isinstance(row, Row) and row.sale for row in output):
                    orders.sale_totals.update(total.key, pending="")
                    if is_rollup(total.key) and cents(total.amount) < 0:
                        output.append(replace(_dead_letter(EXCESS, "Amount", _stored_record(total)), from_ledger=True))
                yield from output
            yield from self._finish_waiting(waiting, orders, self._stored_sale)
            orders.sale_totals.save()

    def click_details(self, sale: Sale) -> ClickDetails:
        """Return the noon of the click's day, and the UTMs of the page, else those of the link.

        See docs/vendors/sovrn.md B5 and docs/vendors/sovrn.md B10.
        """
        data = sale.record.data
        try:
            clicked_at = noon(read_day(data, "click_date"))
        except FieldError:
            clicked_at = None
        return clicked_at, read_utms(data, "page") or read_utms(data, "link")

    def _read(self, record: Record, sums: SaleTotals) -> SovrnRow | Skip | Reject:
        """Return a record as it counts. CPC rows are skipped without a look, unless CPC orders were sent before."""
        if not self._rolls_up and is_cpc_row(record.data):
            if self._has_rollups is None:
                self._has_rollups = sums.holds(self._key_prefix + ROLLUP_PREFIX)
            if not self._has_rollups:
                return Skip(CPC_SKIPPED, record.sequence)
        try:
            return self._reader.read(record)
        except FieldError as error:
            return reject(error, ORDERS.name, record)

    # -- contributions ----------------------------------------------------------------------------------------------

    def _sale_of(self, row: SovrnRow, orders: OrderBook) -> str:
        """Return the key of the sale that a row contributes to; a match made earlier stays."""
        known = orders.sale_totals.contribution(row.contribution.key)
        return row.contribution.sale_key if known is None or is_rollup(known.sale_key) else known.sale_key

    def _add_sale(self, row: SovrnRow, orders: OrderBook, latest: LatestStates, present_keys: set[str]) -> Output:
        """Add a sale, and the returns that waited for it except those in `present_keys`, which are read again now."""
        output = self._add(row, self._sale_of(row, orders), orders, latest)
        for waiting in waiting_returns(row.contribution.aliases, orders.sale_totals, _state_of(orders, latest)):
            total = orders.sale_totals.total(waiting.sale_key)
            if total is not None and waiting.key not in present_keys:
                record = replace(_stored_record(total), sequence=row.record.sequence)
                output += self._add_return(SovrnRow.stored(record, waiting, total.facts), orders, latest)
        return output

    def _add_return(self, row: SovrnRow, orders: OrderBook, latest: LatestStates) -> Output:
        """Add a negative row to the sale it belongs to. Without a sale it waits, and `finish` reports it."""
        state_of = _state_of(orders, latest)
        own_key = row.contribution.key
        sale_key = self._sale_of(row, orders)
        if sale_key == own_key and state_of(own_key) is None:
            found = find_sale(row.contribution, orders.sale_totals, state_of)
            if found is None:
                self._assign(row, own_key, orders, AT_ONCE)
                return []
            sale_key = found
        return self._add(row, sale_key, orders, latest)

    def _add(self, row: SovrnRow, sale_key: str, orders: OrderBook, latest: LatestStates) -> Output:
        """Assign a row to a sale; return the rows for that sale and for the one it was assigned to before."""
        output: Output = []
        before = cents(orders.sale_totals.amount(sale_key))
        for key in self._assign(row, sale_key, orders, ""):
            total, state = orders.sale_totals.total(key), _state_of(orders, latest)(key)
            if total is None or (key != sale_key and state is None):
                continue
            output += self._update_order(total, state, row.record, row.changed_at, latest, orders.sale_totals)
            left = cents(total.amount)
            if state is not None and left < 0 and (row.contribution.amount < 0 or left < before):
                output.append(_dead_letter(EXCESS, "Amount", row.record))
        return output

    def _assign(self, row: SovrnRow, sale_key: str, orders: OrderBook, due: str) -> list[str]:
        """Assign a row to a sale; return the keys of the sales that changed, without CPC orders.

        A CPC order that changed becomes due again instead.
        """
        sums = orders.sale_totals
        contribution = row.contribution
        known, total = sums.contribution(contribution.key), sums.total(sale_key)
        own, waits = sale_key == contribution.sale_key, total is not None and is_waiting(total)
        sums.put(
            replace(contribution, sale_key=sale_key),
            row.facts if own else None,
            due if own and not waits else None,
        )
        changed_keys = [sale_key]
        if known is not None and known.sale_key != sale_key:
            changed_keys.append(known.sale_key)
            former = sums.total(known.sale_key)
            if former is not None:
                due_again = orjson.loads(former.facts).get("commission_date") if is_rollup(former.key) else ""
                sums.update(former.key, pending=due_again)
        return [key for key in changed_keys if not is_rollup(key)]

    def _add_cpc(self, row: SovrnRow, orders: OrderBook, latest: LatestStates) -> Output:
        """Add a CPC row to its group, which `finish` sends once the day is complete."""
        total = orders.sale_totals.total(row.contribution.sale_key)
        if total is not None:
            facts, known_facts = orjson.loads(row.facts), orjson.loads(total.facts)
            facts["update_date"] = max(facts["update_date"], known_facts["update_date"])
            row = replace(row, facts=orjson.dumps(facts))
        output: Output = []
        for key in self._assign(row, row.contribution.sale_key, orders, row.day):
            former = orders.sale_totals.total(key)
            state = _state_of(orders, latest)(key)
            if former is not None and state is not None:  # the row was not a CPC row before
                output += self._update_order(former, state, row.record, row.changed_at, latest, orders.sale_totals)
        if self._rolls_up and row.day > last_complete_day(self._today()):
            output.append(Skip(CPC_WAITING, row.record.sequence))
        return output

    # -- orders -----------------------------------------------------------------------------------------------------

    def _growth_waits(self, total: SaleTotal, state: SaleState | None) -> bool:
        """Tell whether a CPC order that was sent has grown too little to send it now."""
        if state is None or not state.open_orders or not is_rollup(total.key):
            return False
        growth = cents(total.amount) - state.net
        last_day = date.fromisoformat(max(order.paid_at for order in state.open_orders)[:10])
        recent = (self._today() - last_day).days < CPC_GROWTH_DAYS
        return ZERO < growth < self._cpc_smallest_change and recent

    def _take_back(self, total: SaleTotal, orders: OrderBook) -> Output:
        """Return the refunds of a CPC order that was sent before `cpc` was set to `skip`.

        The order stays due, so that it counts again if `cpc` is set back to `rollup`.
        """
        state = orders.get(total.key)
        if state is None or not state.open_orders:
            return []
        return self._finish_total(replace(total, amount=ZERO), orders)

    def _may_wait(self, total: SaleTotal, state: SaleState | None) -> bool:
        """Tell whether a sale waits for the address of its contact, or is a CPC order that may have to wait now."""
        return is_waiting(total) or (self._lookup is not None and state is None and is_rollup(total.key))

    def _stored_sale(self, total: SaleTotal) -> Sale:
        """Return a sale as the ledger stores it."""
        record = _stored_record(total)
        return self._sale(total, None, record, noon(record.data["update_date"]))

    def _finish_total(self, total: SaleTotal, orders: OrderBook) -> Output:
        record = _stored_record(total)
        if total.pending == AT_ONCE:
            return [_dead_letter(UNMATCHED, "OrderID", record)]
        changed_at, sums = noon(record.data["update_date"]), orders.sale_totals
        return self._update_order(total, orders.get(total.key), record, changed_at, {}, sums)

    def _update_order(
        self,
        total: SaleTotal,
        state: SaleState | None,
        record: Record,
        changed_at: str,
        latest: LatestStates,
        sums: SaleTotals,
    ) -> Output:
        """Return the rows that change the order from `state` to what the sale is worth now."""
        sale = self._sale(total, state, record, changed_at)
        try:
            if state is None and self._must_wait(sale):
                assert self._lookup is not None
                sums.update(total.key, pending=self._lookup.waiting(total.pending))
                return [Stored(NO_ADDRESS, record.sequence)]
            rows = self._rows(sale, total.key, state)
        except FieldError as error:
            return [reject(error, ORDERS.name, record)]
        if is_waiting(total):
            sums.update(total.key, pending="")
        for row in rows:
            if isinstance(row, Row) and row.sale is not None:
                latest[total.key] = row.sale
        return rows

    def _sale(self, total: SaleTotal, state: SaleState | None, record: Record, changed_at: str) -> Sale:
        """Return a sale, worth the sum of its rows."""
        amount = max(cents(total.amount), ZERO)
        data = orjson.loads(total.facts)
        source_id = total.key.removeprefix(self._key_prefix)
        ordered_at = noon(data["commission_date"][:10])
        merchant = data.get("merchant_group_name")
        return Sale(
            record=Record(record.stream, data, record.sequence),
            source_id=source_id,
            status="approved",
            amount=amount,
            currency=self._currency,
            ordered_at=ordered_at,
            approved_at=ordered_at if state is None else changed_at,
            updated_at=changed_at,
            product_id=data.get("merchant_group_id"),
            product_name=merchant if isinstance(merchant, str) else "",
            click_id=str(data.get("click_id") or source_id),
        )


def _drop_outdated(rows: Sequence[SovrnRow], sums: SaleTotals) -> tuple[list[SovrnRow], list[Skip]]:
    """Drop rows older than the version already counted; on equal dates the later row wins.

    A row without an update date always counts, and the update date known so far is kept for it.
    """
    present: list[SovrnRow] = []
    outdated: list[Skip] = []
    latest: dict[str, str] = {}
    for row in rows:
        contribution = row.contribution
        known = sums.contribution(contribution.key)
        last = latest.get(contribution.key, known.source_updated_at if known is not None else "")
        if contribution.source_updated_at and contribution.source_updated_at < last:
            outdated.append(Skip(OUTDATED, row.record.sequence))
            continue
        latest[contribution.key] = contribution.source_updated_at or last
        present.append(replace(row, contribution=replace(contribution, source_updated_at=latest[contribution.key])))
    return present, outdated


def _is_rolled_up(row: SovrnRow, sums: SaleTotals) -> bool:
    """Tell whether a CPC row counts in a CPC order of the ledger."""
    known = sums.contribution(row.contribution.key)
    return known is not None and is_rollup(known.sale_key)


def _state_of(orders: OrderBook, latest: LatestStates) -> StateOf:
    return lambda key: latest.get(key) or orders.get(key)


def _stored_record(total: SaleTotal) -> Record:
    """Return the record that the ledger stores of a sale. Rows made from it do not block any STATE."""
    return Record(STREAM, orjson.loads(total.facts), LAST_SEQUENCE)


def _dead_letter(reason: str, field: str, record: Record) -> Reject:
    return Reject(reason, field, ORDER_PAYMENTS.name, record.stream, record.data, record.sequence)
