"""Finds orders that Wicked may count differently by orders than by payments, among the rows of a run.

The mappings `native` and `custom` send what the user gives them. They report such orders at the end of the run
(docs/vendors/wicked-reports.md 10.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson

from destination_wicked_reports.api.endpoints import ORDER_PAYMENTS, ORDERS
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.mappings.base import BoundedDict
from destination_wicked_reports.mappings.revenue import APPROVED
from destination_wicked_reports.model import ZERO, Row

_MAX_ORDERS = 10_000
_MAX_SAMPLES = 3
#: Of one order, only the first so many payments are looked at.
_MAX_PAYMENTS = 50
#: Bits of `_Order.seen`: statuses (an empty one counts as APPROVED), and what was reported already.
_PAID, _NOT_PAID, _MIXED, _EXCEEDED = 1, 2, 4, 8
_STATUSES = {"": _PAID, APPROVED: _PAID, "DECLINED": _NOT_PAID, "FAILED": _NOT_PAID}


class _Order:
    """What the run showed of a paid order; `payments` are hashes of the keys of its payments, which may come again."""

    __slots__ = ("approved", "payments", "seen", "total")

    def __init__(self, total: Any) -> None:
        self.total = total
        self.approved = ZERO
        self.seen = 0
        self.payments: tuple[int, ...] = ()


class PaymentChecks:
    """Counts orders that mix APPROVED with DECLINED or FAILED, and orders with APPROVED payments beyond their total.

    Memory is bounded: the orders seen last are kept, so an order and its payments may come too far apart to be related.
    """

    def __init__(self, max_orders: int = _MAX_ORDERS) -> None:
        #: by order without a payment so far: its total
        self._totals = BoundedDict[Any](max_orders)
        #: by order with a payment: what the run showed of it
        self._orders = BoundedDict[_Order](max_orders)
        self._mixed = _Finding()
        self._exceeded = _Finding()

    def add(self, row: Row) -> None:
        """Look at a row of any endpoint."""
        if row.endpoint == ORDERS.name:
            self.add_order(row.key, orjson.loads(row.body)["OrderTotal"])
        elif row.endpoint == ORDER_PAYMENTS.name:
            self.add_payment(orjson.loads(row.body), row.key)

    def add_order(self, key: str, total: Any) -> None:
        """Look at an order's checked total; `key` is the key of its row."""
        order = self._orders.get(key)
        if order is None:
            self._totals.set(key, total)
        else:
            order.total = total
            self._check_total(key, order)

    def add_payment(self, fields: dict[str, Any], row_key: str) -> None:
        """Look at the checked fields of a payment; a payment that comes again has the same `row_key`."""
        key = fields["SourceSystem"] + SEPARATOR + fields["OrderID"]
        order, name = self._orders.get(key), hash(row_key)
        if order is None:
            order = _Order(self._totals.get(key))
            self._orders.set(key, order)
        if name in order.payments or len(order.payments) >= _MAX_PAYMENTS:
            return
        order.payments += (name,)
        status = _STATUSES.get(fields["Status"].upper(), 0)
        if status == _PAID:
            order.approved += _decimal(fields["Amount"])
            if order.total is not None:
                self._check_total(key, order)
        order.seen |= status
        if order.seen & (_PAID | _NOT_PAID | _MIXED) == _PAID | _NOT_PAID:
            order.seen |= _MIXED
            self._mixed.add(key)

    def _check_total(self, key: str, order: _Order) -> None:
        if not order.seen & _EXCEEDED and order.approved > _decimal(order.total):
            order.seen |= _EXCEEDED
            self._exceeded.add(key)

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each finding."""
        if self._mixed.count:
            yield (
                f"{self._mixed} with both APPROVED and DECLINED or FAILED payments: Wicked Reports may leave them out "
                "of net revenue. Send failed attempts only for orders that were never paid."
            )
        if self._exceeded.count:
            yield (
                f"{self._exceeded} with APPROVED payments beyond OrderTotal: Wicked Reports may ignore the excess. "
                "Send it as an order of its own."
            )


class _Finding:
    """A number of orders, and the first few ids."""

    def __init__(self) -> None:
        self.count = 0
        self._samples: list[str] = []

    def add(self, key: str) -> None:
        self.count += 1
        # An id that is an email address is personal data.
        if "@" not in key and len(self._samples) < _MAX_SAMPLES:
            self._samples.append(key.replace(SEPARATOR, "/"))

    def __str__(self) -> str:
        samples = f" ({', '.join(self._samples)}{', ...' * (self.count > len(self._samples))})" if self._samples else ""
        return f"{self.count:,} order{'s' * (self.count != 1)}{samples}"


def _decimal(value: Any) -> Decimal:
    """Return a checked amount, a number or an `orjson.Fragment`, as a decimal."""
    return Decimal(orjson.dumps(value).decode())
