"""Reads the orders that were sent from the ledger.

For affiliate and shop orders (every mapping except `native` and `custom`) the ledger stores the total, and what was
approved and refunded after each row. For other orders it stores ids and digests only; their amounts come from the
records. It stores no order dates, so an order that Wicked does not report has none.
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
from destination_wicked_reports.reconcile.orders import OrderId, PaymentTotals, SentOrder, Step, to_cents

IN_DOUBT_NOTE = "in doubt: the response to one of its rows was lost"


@dataclass(slots=True)
class SentRow:
    """When a row was sent, in UNIX seconds, and whether its outcome is unknown."""

    at: int
    in_doubt: bool


@dataclass(slots=True)
class LedgerOrders:
    """The orders of one store of a ledger.

    `rows` has every order and payment row by endpoint and key, `key_fingerprints` the API keys used to send them.
    """

    orders: dict[OrderId, SentOrder] = field(default_factory=dict)
    rows: dict[tuple[str, str], SentRow] = field(default_factory=dict)
    key_fingerprints: set[str] = field(default_factory=set)

    def was_filled_by(self, api_key: str) -> bool:
        """Return whether the rows were sent with this API key; True if there are none."""
        return not self.rows or fingerprint(api_key) in self.key_fingerprints


def read_ledger(connection: Connection, store: str) -> LedgerOrders:
    """Read the orders of one store, `live` or `test`."""
    found = LedgerOrders()
    names = connection.scalars(select(settings.c.name).where(settings.c.name.startswith(f"key.{store}.")))
    found.key_fingerprints = {name.rpartition(".")[2] for name in names}
    columns = (sent.c.endpoint, sent.c.key, sent.c.status, sent.c.sent_at)
    query = select(*columns).where(sent.c.store == store, sent.c.endpoint.in_([ORDERS.name, ORDER_PAYMENTS.name]))
    for row in connection.execute(query):
        sent_row = found.rows[row.endpoint, row.key] = SentRow(row.sent_at, row.status == IN_DOUBT)
        if row.endpoint == ORDERS.name:
            order = found.orders[_order_id(row.key)] = SentOrder(sent_row.at)
            if sent_row.in_doubt:
                order.notes.append(IN_DOUBT_NOTE)
    events = _events(connection, store) if inspect(connection).has_table(order_events.name) else {}
    for state in connection.execute(select(orders).where(orders.c.store == store)).mappings():
        _add_amounts(found, dict(state), events.get(state["key"], []))
    return found


def _order_id(key: str) -> OrderId:
    system, _, source_id = key.partition(SEPARATOR)
    return system, source_id


def _events(connection: Connection, store: str) -> dict[str, list[dict[str, Any]]]:
    """Return the state of each order after each of its rows, oldest first."""
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    query = select(order_events).where(order_events.c.store == store)
    for event in connection.execute(query.order_by(order_events.c.revision, order_events.c.payments)).mappings():
        events[event["order_key"]].append(dict(event))
    return events


def _add_amounts(found: LedgerOrders, state: dict[str, Any], events: list[dict[str, Any]]) -> None:
    """Add amounts to the orders of one sale, one order for each revision."""
    before: int | None = 0
    for revision in range(1, state["revision"] + 1):
        steps = [event for event in events if event["revision"] == revision]
        if revision == state["revision"] and (not steps or steps[-1]["payments"] < state["payments"]):
            # The events are incomplete: the final amounts are known, but not when each row was sent.
            steps.append({**state, "sent_at": steps[-1]["sent_at"] if steps else 0, "endpoint": "", "key": ""})
        order_id = _order_id(state["key"] if revision == 1 else f"{state['key']}-r{revision}")
        order = found.orders.get(order_id)
        if order is not None and steps:
            order.total, order.currency = to_cents(steps[0]["total"]), state["currency"]
            for step in steps:
                order.steps.append(Step(step["sent_at"], _payments(step, before)))
                sent_row = found.rows.get((step["endpoint"], step["key"]))
                if sent_row is not None and sent_row.in_doubt and IN_DOUBT_NOTE not in order.notes:
                    order.notes.append(IN_DOUBT_NOTE)
        before = steps[-1]["payments"] if steps else None


def _payments(event: dict[str, Any], before: int | None) -> PaymentTotals:
    """Return the payment totals of one order; payments are counted over all revisions of the sale."""
    number = None if before is None else event["payments"] - before
    return PaymentTotals(to_cents(event["approved"]), to_cents(event["refunded"]), number)
