"""Refuses orders that the ledger has under another source system: they would be sent a second time.

The first orders of a source system that the ledger doesn't know are held and compared with what was sent under other
names. Nothing of the source system is sent and no STATE of these records is released before that. New orders of a
source system that the ledger knows are compared as they come: two connections may share a ledger, and one of them may
be given the other's name. Orders are the same if id, date and total are equal, for orders of the mappings `native` and
`custom` every field. A second shop or account has other ids or dates, so a few equal orders don't matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timezone
from decimal import Decimal

import orjson
from sqlalchemy import func, select

from destination_wicked_reports.api.endpoints import ORDERS
from destination_wicked_reports.api.rows import SEPARATOR, digest_of
from destination_wicked_reports.config.changes import SOURCE_SYSTEM, SettingChange
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.leases import scope_of
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.renaming import former_names, holds_orders, source_systems
from destination_wicked_reports.ledger.schema import sales, sent
from destination_wicked_reports.ledger.sql import starts_with
from destination_wicked_reports.model import OrderFacts, Row, SaleState

#: How many orders of a source system are compared.
COMPARED_ORDERS = 100
#: How many rows are held until then. More are sent; the orders among them are compared first.
MOST_HELD_ROWS = 10_000
#: A fifth of the orders, and at least three, or half of them, are too many to be accidental.
_SHARE, _LEAST = 5, 3


class SourceSystemGuard:
    """Holds rows of unknown source systems until their first orders were compared with the ledger."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        #: Source systems whose rows are sent; "" is that of rows without an id.
        self._passed: set[str] = {""}
        self._others: list[str] | None = None if not ledger.is_new else []
        self._held: list[Row] = []
        #: By unknown source system, its orders so far.
        self._facts: dict[str, list[OrderFacts]] = {}
        #: By known source system, how many of its new orders were compared.
        self._compared: Counter[str] = Counter()
        self._last_sent_of: dict[str, str] = {}

    def oldest(self) -> float:
        """Return the lowest sequence of what is held; infinity if nothing is."""
        facts = (fact.sequence for orders in self._facts.values() for fact in orders)
        return min([row.sequence for row in self._held] + list(facts), default=float("inf"))

    def admit(self, rows: Iterable[Row], stored: Iterable[OrderFacts]) -> list[Row]:
        """Return the rows that can be sent, in order; raises ConfigurationError for a changed source system."""
        added, stored = list(rows), list(stored)
        if self._others == [] or (not stored and self._all_passed({scope_of(row.key) for row in added})):
            return added
        known: dict[str, list[OrderFacts]] = {}
        for row in added:
            system = scope_of(row.key)
            unknown = self._is_unknown(system)
            if row.endpoint == ORDERS.name and (unknown or self._must_compare(system)):
                (self._facts if unknown else known).setdefault(system, []).append(_facts_of(system, row))
        for fact in stored:
            if self._is_unknown(fact.source_system):
                self._facts[fact.source_system].append(fact)
            elif self._must_compare(fact.source_system):
                known.setdefault(fact.source_system, []).append(fact)
        for system, orders in known.items():
            self._compare_new(system, orders)
        if not self._facts:
            return added
        self._held += added
        for system in [system for system, orders in self._facts.items() if len(orders) >= COMPARED_ORDERS]:
            self._compare(system)
        if self._facts and len(self._held) <= MOST_HELD_ROWS:
            return []
        return self.release()

    def release(self) -> list[Row]:
        """Compare the orders so far, and return everything held. A source system without an order stays unknown."""
        for system in list(self._facts):
            if self._facts[system]:
                self._compare(system)
        self._facts.clear()
        held, self._held = self._held, []
        return held

    def _all_passed(self, systems: Collection[str]) -> bool:
        """Tell whether rows of these source systems are sent without being compared."""
        return not self._facts and not any(self._is_unknown(one) or self._must_compare(one) for one in systems)

    def _is_unknown(self, system: str) -> bool:
        if system in self._passed:
            return False
        if system not in self._facts:
            if not self._other_systems(system) or holds_orders(self._ledger, system):
                self._passed.add(system)
                return False
            self._facts[system] = []
        return True

    def _other_systems(self, system: str) -> list[str]:
        if self._others is None:
            self._others = source_systems(self._ledger)
        return [other for other in self._others if other != system]

    def _must_compare(self, system: str) -> bool:
        """Tell whether orders of a known source system have to be compared, if they are new."""
        return self._compared[system] < COMPARED_ORDERS and bool(system and self._other_systems(system))

    def _compare_new(self, system: str, orders: list[OrderFacts]) -> None:
        """Compare those orders of a known source system that were not sent under it."""
        keys = [system + SEPARATOR + order.source_id for order in orders]
        sent_keys = self._ledger.known(ORDERS.name, keys)
        new = [order for order, key in zip(orders, keys, strict=True) if key not in sent_keys]
        self._compared[system] += len(new)
        self._refuse_same(system, new)

    def _compare(self, system: str) -> None:
        self._refuse_same(system, self._facts[system][:COMPARED_ORDERS])
        self._passed.add(system)
        self._compared[system] = COMPARED_ORDERS
        del self._facts[system]

    def _refuse_same(self, system: str, orders: list[OrderFacts]) -> None:
        for other in self._other_systems(system) if orders else ():
            last_sent = self._last_sent(other)
            known = [order for order in orders if order.created_at <= last_sent]
            same = self._count_same(known, other)
            if same and (2 * same >= len(known) or (same >= _LEAST and _SHARE * same >= len(known))):
                renamable = self._ledger.has_keys(sales, other + SEPARATOR) and not holds_orders(self._ledger, system)
                raise ConfigurationError(_refusal(system, other, same, len(known), renamable=renamable))

    def _last_sent(self, system: str) -> str:
        """Return when an order was last sent under this name; newer orders can't be known under it."""
        if system not in self._last_sent_of:
            self._last_sent_of[system] = self._read_last_sent(system)
        return self._last_sent_of[system]

    def _read_last_sent(self, system: str) -> str:
        query = select(func.max(sent.c.sent_at)).where(sent.c.store == self._ledger.store)
        query = query.where(sent.c.endpoint == ORDERS.name, starts_with(sent.c.key, system + SEPARATOR))
        with self._ledger.connection.begin():
            latest = self._ledger.connection.scalar(query)
        return f"{datetime.fromtimestamp(latest or 0, timezone.utc):%Y-%m-%d %H:%M:%S}"

    def _count_same(self, orders: list[OrderFacts], other: str) -> int:
        keys = {order: other + SEPARATOR + order.source_id for order in orders}
        states = self._ledger.sales(list(keys.values()))
        digests = self._ledger.known(ORDERS.name, list(keys.values()))
        return sum(_is_same(order, other, states.get(key), digests.get(key)) for order, key in keys.items())


def was_sent_under_former_name(ledger: Ledger, row: Row, digest: bytes) -> bool:
    """Tell whether a row was sent with the same content before its source system was renamed in the ledger."""
    system = scope_of(row.key)
    former = former_names(ledger, system)
    return any(digest == digest_of(with_source_system(row.body, system, name)) for name in former)


def _facts_of(system: str, row: Row) -> OrderFacts:
    fields = orjson.loads(row.body)
    total = Decimal(str(fields.get("OrderTotal") or 0))
    return OrderFacts(system, fields["SourceID"], fields.get("CreateDate") or "", total, row.sequence, row.body)


def with_source_system(body: bytes, name: str, other: str) -> bytes:
    """Return the body of a row with another SourceSystem."""
    own, renamed = (b'"SourceSystem":' + orjson.dumps(one) for one in (name, other))
    return body.replace(own, renamed, 1)


def _is_same(order: OrderFacts, other: str, sale: SaleState | None, digest: bytes | None) -> bool:
    if sale is not None:
        return sale.ordered_at == order.created_at and sale.net == order.total
    if digest is None or not order.body:
        return False
    return digest == digest_of(with_source_system(order.body, order.source_system, other))


def _refusal(system: str, other: str, same: int, compared: int, *, renamable: bool) -> str:
    change = SettingChange(SOURCE_SYSTEM, other, system)
    orders = "The first order" if compared == 1 else f"{same:,} of the first {compared:,} orders"
    verb = "is" if compared == 1 else "are"
    intended = (
        f' If you renamed it on purpose, set "accept_change" to "{change}": the ledger then counts them as sent.'
        if renamable
        else ""
    )
    return (
        f"{orders} of source system `{system}` {verb} in the ledger as sent under source system `{other}`, with equal "
        "dates and totals: every order would be sent a second time, and Wicked Reports cannot delete. Nothing of it "
        f"was sent. Set the source system back to `{other}`.{intended} If this is another shop or account, give it its "
        "own ledger."
    )
