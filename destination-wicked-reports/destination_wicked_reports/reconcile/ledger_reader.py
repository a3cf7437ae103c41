"""Reads the orders that were sent from the ledger.

For affiliate and shop orders (every mapping except `native` and `custom`) the ledger stores the payments of each row;
an order's total is its one APPROVED payment. For other orders it stores ids and digests only; their amounts come from
the records. It stores the dates of affiliate and shop orders only, so another order that Wicked does not report has
none. Orders that were sent before their source system was renamed in the ledger are those of the former name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Connection, select

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger.ledger import fingerprint
from destination_wicked_reports.ledger.outbox import decode_payments
from destination_wicked_reports.ledger.sale_json import decode_sale
from destination_wicked_reports.ledger.schema import sale_events, sales, sent, settings
from destination_wicked_reports.mappings.revenue import APPROVED, order_name
from destination_wicked_reports.model import IN_DOUBT, SaleState
from destination_wicked_reports.reconcile.orders import OrderId, SentOrder, Step, to_cents

IN_DOUBT_NOTE = "in doubt: the response to one of its rows was lost"


@dataclass(slots=True)
class SentRow:
    """When a row was sent, in UNIX seconds, and whether its outcome is unknown."""

    at: int
    in_doubt: bool


@dataclass(slots=True)
class LedgerOrders:
    """The orders of one store of a ledger.

    `rows` has every order and payment row by endpoint and key, `key_fingerprints` the API keys used to send them; see
    `refuse_other_account`.
    `sales` has the orders of each affiliate and shop sale by its key, `nets` what the sale counts for.
    """

    orders: dict[OrderId, SentOrder] = field(default_factory=dict)
    rows: dict[tuple[str, str], SentRow] = field(default_factory=dict)
    key_fingerprints: set[str] = field(default_factory=set)
    sales: dict[str, list[OrderId]] = field(default_factory=dict)
    nets: dict[str, Decimal] = field(default_factory=dict)


def read_ledger(connection: Connection, store: str) -> LedgerOrders:
    """Read the orders of one store, `live` or `test`."""
    found = LedgerOrders()
    found.key_fingerprints = key_fingerprints(connection, store)
    columns = (sent.c.endpoint, sent.c.key, sent.c.status, sent.c.sent_at)
    query = select(*columns).where(sent.c.store == store, sent.c.endpoint.in_([ORDERS.name, ORDER_PAYMENTS.name]))
    for row in connection.execute(query):
        sent_row = found.rows[row.endpoint, row.key] = SentRow(row.sent_at, row.status == IN_DOUBT)
        if row.endpoint == ORDERS.name:
            order = found.orders[order_id_of(row.key)] = SentOrder(sent_row.at)
            if sent_row.in_doubt:
                order.notes.append(IN_DOUBT_NOTE)
    events = select(sale_events).where(sale_events.c.store == store)
    for event in connection.execute(events.order_by(sale_events.c.sale_key, sale_events.c.version)):
        _add_payments(found, event)
    for row in connection.execute(select(sales.c.key, sales.c.state).where(sales.c.store == store)):
        sale = decode_sale(row.state)
        found.nets[row.key] = to_cents(sale.net)
        for order_id in found.sales.get(row.key, ()):
            found.orders[order_id].date = sale.ordered_at
        if sale.renamed:
            _use_former_names(found, row.key, sale)
    return found


def key_fingerprints(connection: Connection, store: str) -> set[str]:
    """Return the fingerprints of the API keys that the rows of a store were sent with."""
    names = connection.scalars(select(settings.c.name).where(settings.c.name.startswith(f"key.{store}.")))
    return {name.rpartition(".")[2] for name in names}


def refuse_other_account(config: Config, fingerprints: Collection[str]) -> None:
    """Raise ConfigurationError if rows were sent with other API keys than the configured one."""
    if fingerprint(config.api_key) not in fingerprints and not config.new_api_key:
        raise ConfigurationError(
            "The ledger was filled with another API key, so it may belong to another account. Use the "
            "configuration that it belongs to; if the key of the same account was renewed, set "
            '"new_api_key": true.'
        )


def order_id_of(key: str) -> OrderId:
    """Return the order that a key of the ledger stands for."""
    system, _, source_id = key.partition(SEPARATOR)
    return system, source_id


def _use_former_names(found: LedgerOrders, key: str, sale: SaleState) -> None:
    """Name the orders of a sale as Wicked has them; see `ledger/renaming.py`."""
    system, source_id = order_id_of(key)
    named = []
    for order_id in found.sales.get(key, ()):
        numbers = range(1, sale.order_count + 1)
        number = next(number for number in numbers if order_name(source_id, number) == order_id[1])
        named.append((sale.sent_as(number, system), order_id[1]))
        found.orders[named[-1]] = found.orders.pop(order_id)
    if named:
        found.sales[key] = named


def _add_payments(found: LedgerOrders, event: Any) -> None:
    """Add the payments of one row of a sale to the order that they belong to; a row carries those of one order."""
    payments = decode_payments(orjson.loads(event.payments))
    system, source_id = order_id_of(event.sale_key)
    order_id = system, order_name(source_id, payments[0].number)
    order = found.orders.get(order_id)
    if order is None:
        return
    if event.endpoint == ORDERS.name:
        order.total = to_cents(sum(payment.amount for payment in payments if payment.status == APPROVED))
        order.currency = event.currency
        found.sales.setdefault(event.sale_key, []).append(order_id)
    totals = order.payments
    for payment in payments:
        totals = totals.plus(payment.status, payment.amount)
    order.steps.append(Step(event.sent_at, totals))
    sent_row = found.rows.get((event.endpoint, event.key))
    if sent_row is not None and sent_row.in_doubt and IN_DOUBT_NOTE not in order.notes:
        order.notes.append(IN_DOUBT_NOTE)
