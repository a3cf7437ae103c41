"""Sales as JSON: compact for the ledger, whose largest table they fill, and by name for people and dead letters.

Amounts are decimal text in both forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from destination_wicked_reports.model import OpenOrder, SaleState


def encode_sale(sale: SaleState) -> str:
    """Return a sale as the ledger stores it: a JSON array of the fields of `SaleState` and `OpenOrder`, in order."""
    currency, open_orders, *others = sale
    orders = [(number, str(total), str(refunded), paid_at) for number, total, refunded, paid_at in open_orders]
    return orjson.dumps((currency, orders, *others)).decode()


def decode_sale(stored: str) -> SaleState:
    """Return a sale that `encode_sale` encoded."""
    return sale_of_array(orjson.loads(stored))


def sale_of_array(stored: Sequence[Any]) -> SaleState:
    """Return a sale from its parsed array, which may lack the last fields of `SaleState`."""
    orders = [OpenOrder(number, Decimal(total), Decimal(refunded), at) for number, total, refunded, at in stored[1]]
    return _of_tuples(SaleState(*stored), orders)


def sale_facts(sale: SaleState) -> dict[str, Any]:
    """Return a sale by field name, for JSON."""
    orders = [
        {**order._asdict(), "total": str(order.total), "refunded": str(order.refunded)} for order in sale.open_orders
    ]
    return {**sale._asdict(), "open_orders": orders}


def sale_of_facts(facts: Mapping[str, Any]) -> SaleState:
    """Return the sale that `sale_facts` described. Raises KeyError, TypeError, ValueError or ArithmeticError."""
    orders = [
        OpenOrder(order["number"], Decimal(order["total"]), Decimal(order["refunded"]), order["paid_at"])
        for order in facts["open_orders"]
    ]
    return _of_tuples(SaleState(**facts), orders)


def _of_tuples(sale: SaleState, orders: list[OpenOrder]) -> SaleState:
    """Return a sale with tuples where JSON has lists."""
    renamed = tuple([(name, last) for name, last in sale.renamed])
    return sale._replace(open_orders=tuple(orders), aliases=tuple(sale.aliases), renamed=renamed)
