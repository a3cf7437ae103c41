"""What a ledger remembers of the orders that were sent: all their names, and the amounts of those it measures.

Of affiliate and shop orders (every mapping but `native` and `custom`) the ledger keeps the total and what was approved
and refunded, after each row. Of others it keeps names and digests; their amounts come from the records themselves.
It keeps no date of an order, so an order that Wicked does not show has none either.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, inspect, select

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.ledger.ledger import fingerprint
from destination_wicked_reports.ledger.schema import order_events, orders, sent, settings
from destination_wicked_reports.model import IN_DOUBT
from destination_wicked_reports.reconcile.orders import Name, Paid, SentOrder, Step, money

HELD_NOTE = "held: Wicked's answer to a row of it was lost"


@dataclass(slots=True)
class Sending:
    """When a row was sent, in UNIX seconds, and whether its outcome is unknown."""

    at: int
    held: bool


@dataclass(slots=True)
class Memory:
    """The orders of a ledger, every order and payment row by endpoint and key, and the keys that filled it."""

    orders: dict[Name, SentOrder] = field(default_factory=dict)
    sendings: dict[tuple[str, str], Sending] = field(default_factory=dict)
    owners: set[str] = field(default_factory=set)

    def filled_by(self, api_key: str) -> bool:
        """Tell whether this API key filled the ledger; one without any order is everybody's."""
        return not self.sendings or fingerprint(api_key) in self.owners


def remember(connection: Connection, store: str) -> Memory:
    """Read what a ledger knows of the orders of one store, `live` or `test`."""
    memory = Memory()
    names = connection.scalars(select(settings.c.name).where(settings.c.name.startswith(f"key.{store}.")))
    memory.owners = {name.rpartition(".")[2] for name in names}
    columns = (sent.c.endpoint, sent.c.key, sent.c.status, sent.c.sent_at)
    query = select(*columns).where(sent.c.store == store, sent.c.endpoint.in_([ORDERS.name, ORDER_PAYMENTS.name]))
    for row in connection.execute(query):
        sending = memory.sendings[row.endpoint, row.key] = Sending(row.sent_at, row.status == IN_DOUBT)
        if row.endpoint == ORDERS.name:
            order = memory.orders[_name(row.key)] = SentOrder(sending.at)
            if sending.held:
                order.notes.append(HELD_NOTE)
    known = _events(connection, store) if inspect(connection).has_table(order_events.name) else {}
    for standing in connection.execute(select(orders).where(orders.c.store == store)).mappings():
        _measure(memory, dict(standing), known.get(standing["key"], []))
    return memory


def _name(key: str) -> Name:
    system, _, identity = key.partition(SEPARATOR)
    return system, identity


def _events(connection: Connection, store: str) -> dict[str, list[dict[str, Any]]]:
    """Return what was told of each order, oldest first."""
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    query = select(order_events).where(order_events.c.store == store)
    for event in connection.execute(query.order_by(order_events.c.revision, order_events.c.payments)).mappings():
        told[event["order_key"]].append(dict(event))
    return told


def _measure(memory: Memory, standing: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """Give the orders that stand for one sale, one per revision, their amounts."""
    before: int | None = 0
    for revision in range(1, standing["revision"] + 1):
        told = [event for event in events if event["revision"] == revision]
        if revision == standing["revision"] and (not told or told[-1]["payments"] < standing["payments"]):
            # Rows that a release without this history sent: what they came to is known, when each left is not.
            told.append({**standing, "sent_at": told[-1]["sent_at"] if told else 0, "endpoint": "", "key": ""})
        name = _name(standing["key"] if revision == 1 else f"{standing['key']}-r{revision}")
        order = memory.orders.get(name)
        if order is not None and told:
            order.total, order.currency = money(told[0]["total"]), standing["currency"]
            for event in told:
                order.steps.append(Step(event["sent_at"], _paid(event, before)))
                sending = memory.sendings.get((event["endpoint"], event["key"]))
                if sending is not None and sending.held and HELD_NOTE not in order.notes:
                    order.notes.append(HELD_NOTE)
        before = told[-1]["payments"] if told else None


def _paid(event: dict[str, Any], before: int | None) -> Paid:
    """Return what one order's payments add up to; they are numbered over all revisions of the sale."""
    number = None if before is None else event["payments"] - before
    return Paid(money(event["approved"]), money(event["refunded"]), number)
