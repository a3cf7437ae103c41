"""Sovrn Commerce's transactions as affiliate sales (`apis/affiliate-facts.md` B5 to B7, D4, second half of D5).

Only the stream `transactions` carries sales. Sovrn knows no status, no currency and no time of day: what is there is
revenue until it is taken back, dollars are inferred from how Sovrn pays, and a day is written as its noon in UTC,
which is the same day in the US Eastern time that Wicked reports in.

A sale is the sum of its rows: its own, which is edited in place, and the negative ones that `adjustments.py` finds to
belong to it; or the CPC rows of one group in `rollups.py`. What Wicked should count is that sum, and never below zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timezone
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.errors import FieldError
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.sale_totals import SaleTotals
from destination_wicked_reports.mappings.affiliate.base import OUTDATED, AffiliateNormalizer, Sale, rejected
from destination_wicked_reports.mappings.affiliate.sovrn_cpc import CPC_WAITING, is_rollup, last_complete_day, utms
from destination_wicked_reports.mappings.affiliate.sovrn_records import Entry, SovrnReader, SovrnRules, day_of, noon
from destination_wicked_reports.mappings.affiliate.sovrn_returns import (
    AT_ONCE,
    EXCESS,
    UNMATCHED,
    aliases,
    orphans,
    parent,
)
from destination_wicked_reports.mappings.order_payments import cents
from destination_wicked_reports.model import LAST_SEQUENCE, ZERO, OrderState, Record, Reject, Row, SaleTotal, Skip

STREAM = "transactions"
WORTHLESS = "worth less than a cent so far, which makes no order"

Made = list[Row | Reject | Skip]
Told = dict[str, OrderState]


def utc_today() -> date:
    """Return today's date in UTC."""
    return datetime.now(timezone.utc).date()


class SovrnNormalizer(AffiliateNormalizer):
    """Reads Sovrn's transactions. `today` tells which days are complete."""

    streams = frozenset({STREAM})
    source = "sovrn"

    def __init__(self, rules: SovrnRules, today: Callable[[], date] = utc_today) -> None:
        super().__init__(rules)
        self._today = today
        self._start = rules.source_system + SEPARATOR
        self._currency = rules.order_currency
        self._rolls_up = rules.cpc == "rollup"
        self._reader = SovrnReader(rules, self._contact_rules)

    def normalize(self, records: Sequence[Record], orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Return the rows of these records: sales first, so that a return finds its sale wherever it stands."""
        made: Made = []
        entries: list[Entry] = []
        for record in records:
            try:
                entry = self._reader.read(record)
            except FieldError as error:
                made.append(rejected(error, ORDERS.name, record))
                continue
            if isinstance(entry, Skip):
                made.append(entry)
            else:
                entries.append(entry)
        sums = orders.sale_totals
        parts = [entry.part for entry in entries]
        sales = [entry.part for entry in entries if not entry.cpc]
        sums.load({part.key for part in parts}, {part.sale_key for part in parts}, aliases(sales))
        orders.load(sums.loaded_keys() + [part.sale_key for part in sales])
        entries, outdated = _present(entries, sums)
        made += outdated
        read = {entry.part.key for entry in entries}
        told: Told = {}
        late: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.cpc:
                made += self._roll_up(entry, orders, told)
            elif entry.part.amount < 0 or entry.part.key in late:  # the words of one row keep their order
                late.setdefault(entry.part.key, []).append(entry)
            else:
                made += self._sell(entry, orders, told, read)
        for entry in (entry for words in late.values() for entry in words):
            if entry.part.amount < 0:
                made += self._take_back(entry, orders, told)
            else:
                made += self._sell(entry, orders, told, set())
        sums.save()
        return iter(_in_sequence(made))

    def finish(self, orders: OrderBook) -> Iterator[Row | Reject | Skip]:
        """Yield the rolled-up orders of the days that are complete by now, and the returns that found no sale.

        A rollup stays due until it is seen to have been told, so that one which did not arrive is told by a later run.
        """
        limit = last_complete_day(self._today()) if self._rolls_up else AT_ONCE
        for wholes in orders.sale_totals.pending(self._start, limit):
            orders.load([whole.key for whole in wholes])
            for whole in wholes:
                made = self._due(whole, orders)
                if not any(isinstance(row, Row) and row.order for row in made):
                    orders.sale_totals.update(whole.key, pending="")
                    if is_rollup(whole.key) and cents(whole.amount) < 0:
                        made.append(replace(_lost(EXCESS, "Amount", _record(whole)), from_ledger=True))
                yield from made
            orders.sale_totals.save()

    def clicked(self, sale: Sale) -> tuple[Any, Mapping[str, Any]]:
        """Return the click's day as its noon, and the UTMs of the page, else those of the link (B5, B10)."""
        data = sale.record.data
        try:
            when = noon(day_of(data, "click_date"))
        except FieldError:
            when = None
        return when, utms(data, "page") or utms(data, "link")

    # -- counting ---------------------------------------------------------------------------------------------------

    def _home(self, entry: Entry, orders: OrderBook) -> str:
        """Return the whole that a row counts for: once matched, always that one."""
        known = orders.sale_totals.contribution(entry.part.key)
        return entry.part.sale_key if known is None or is_rollup(known.sale_key) else known.sale_key

    def _sell(self, entry: Entry, orders: OrderBook, told: Told, read: set[str]) -> Made:
        """Count a row that takes nothing back, and the returns that were waiting for it, unless they are read anew."""
        made = self._count(entry, self._home(entry, orders), orders, told)
        for part in orphans(entry.part, orders.sale_totals, _states(orders, told)):
            whole = orders.sale_totals.total(part.sale_key)
            if whole is not None and part.key not in read:
                record = replace(_record(whole), sequence=entry.record.sequence)
                made += self._take_back(Entry.kept(record, part, whole.facts), orders, told)
        return made

    def _take_back(self, entry: Entry, orders: OrderBook, told: Told) -> Made:
        """Count a negative row for the sale it belongs to; without one it waits, and `finish` reports it."""
        state = _states(orders, told)
        own = entry.part.key
        home = self._home(entry, orders)
        if home == own and state(own) is None:
            found = parent(entry.part, orders.sale_totals, state)
            if found is None:
                self._move(entry, own, orders, AT_ONCE)
                return []
            home = found
        return self._count(entry, home, orders, told)

    def _count(self, entry: Entry, home: str, orders: OrderBook, told: Told) -> Made:
        """Let a row count for a whole, and tell what this changes there and where it counted before."""
        made: Made = []
        for key in self._move(entry, home, orders, ""):
            whole, state = orders.sale_totals.total(key), _states(orders, told)(key)
            if whole is None or (key != home and state is None):
                continue
            made += self._tell(whole, state, entry.record, entry.changed, told)
            if entry.part.amount < 0 and state is not None and cents(whole.amount) < 0:
                made.append(_lost(EXCESS, "Amount", entry.record))
        return made

    def _move(self, entry: Entry, home: str, orders: OrderBook, due: str) -> list[str]:
        """Let a row count for a whole; return the wholes that must be told now, the one it counted for before included.

        A rollup is never told now: it is made due again.
        """
        sums = orders.sale_totals
        known = sums.contribution(entry.part.key)
        sums.put(
            replace(entry.part, sale_key=home),
            entry.facts if home == entry.part.sale_key else None,
            due if home == entry.part.sale_key else None,
        )
        touched = [home]
        if known is not None and known.sale_key != home:
            touched.append(known.sale_key)
            before = sums.total(known.sale_key)
            if before is not None:
                again = orjson.loads(before.facts).get("commission_date") if is_rollup(before.key) else ""
                sums.update(before.key, pending=again)
        return [key for key in touched if not is_rollup(key)]

    def _roll_up(self, entry: Entry, orders: OrderBook, told: Told) -> Made:
        """Add a CPC row to its group, which `finish` tells once its day is complete."""
        whole = orders.sale_totals.total(entry.part.sale_key)
        if whole is not None:
            facts, before = orjson.loads(entry.facts), orjson.loads(whole.facts)
            facts["update_date"] = max(facts["update_date"], before["update_date"])
            entry = replace(entry, facts=orjson.dumps(facts))
        made: Made = []
        for key in self._move(entry, entry.part.sale_key, orders, entry.day):
            former = orders.sale_totals.total(key)
            state = _states(orders, told)(key)
            if former is not None and state is not None:  # a row that was no CPC row before
                made += self._tell(former, state, entry.record, entry.changed, told)
        if entry.day > last_complete_day(self._today()):
            made.append(Skip(CPC_WAITING, entry.record.sequence))
        return made

    # -- telling ----------------------------------------------------------------------------------------------------

    def _due(self, whole: SaleTotal, orders: OrderBook) -> Made:
        record = _record(whole)
        if whole.pending == AT_ONCE:
            return [_lost(UNMATCHED, "OrderID", record)]
        return self._tell(whole, orders.get(whole.key), record, noon(record.data["update_date"]), {})

    def _tell(self, whole: SaleTotal, state: OrderState | None, record: Record, changed: str, told: Told) -> Made:
        """Return the rows that bring Wicked from what it was told to what the whole is worth now."""
        amount = max(cents(whole.amount), ZERO)
        if state is None and not amount:
            return [Skip(WORTHLESS, record.sequence)]
        data = orjson.loads(whole.facts)
        source_id = whole.key.removeprefix(self._start)
        ordered = noon(data["commission_date"][:10])
        merchant = data.get("merchant_group_name")
        sale = Sale(
            record=Record(record.stream, data, record.sequence),
            source_id=source_id,
            status="approved",
            amount=amount,
            currency=self._currency,
            ordered=ordered,
            approved=ordered if state is None else changed,
            changed=changed,
            product_id=data.get("merchant_group_id"),
            product_name=merchant if isinstance(merchant, str) else "",
            click=str(data.get("click_id") or source_id),
        )
        try:
            rows = self._rows(sale, whole.key, state)
        except FieldError as error:
            return [rejected(error, ORDERS.name, record)]
        for row in rows:
            if isinstance(row, Row) and row.order is not None:
                told[whole.key] = row.order
        return rows


def _present(entries: Sequence[Entry], sums: SaleTotals) -> tuple[list[Entry], list[Skip]]:
    """Part the rows from former states of rows that counted already; of one day, the later word is the present one.

    Of a row without a date of its change nobody knows, so it counts, and what is known of the row's date stays known.
    """
    present: list[Entry] = []
    former: list[Skip] = []
    latest: dict[str, str] = {}
    for entry in entries:
        part = entry.part
        known = sums.contribution(part.key)
        last = latest.get(part.key, known.source_updated_at if known is not None else "")
        if part.source_updated_at and part.source_updated_at < last:
            former.append(Skip(OUTDATED, entry.record.sequence))
            continue
        latest[part.key] = part.source_updated_at or last
        present.append(replace(entry, part=replace(part, source_updated_at=latest[part.key])))
    return present, former


def _states(orders: OrderBook, told: Told) -> Callable[[str], OrderState | None]:
    return lambda key: told.get(key) or orders.get(key)


def _in_sequence(made: Made) -> Made:
    """Let no row stand before one of an earlier record: the delivery looks at the first of a queue for the oldest."""
    lowest = LAST_SEQUENCE
    for row in reversed(made):
        if isinstance(row, Row):
            lowest = row.sequence = min(row.sequence, lowest)
    return made


def _record(whole: SaleTotal) -> Record:
    """Return the record that the ledger kept of a sale; what is made of it holds no STATE back."""
    return Record(STREAM, orjson.loads(whole.facts), LAST_SEQUENCE)


def _lost(reason: str, field: str, record: Record) -> Reject:
    return Reject(reason, field, ORDER_PAYMENTS.name, record.stream, record.data, record.sequence)
