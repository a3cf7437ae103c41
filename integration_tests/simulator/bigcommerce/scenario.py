"""Generates a shop: customers and guests; orders paid, edited, refunded, voided, deleted or never completed.

Every step states the net value of its order from then on, which is what the oracle reads.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .store import Row

Step = tuple[int, str, Row, str | None]
DAY = 86400
_FIRST_ORDER = 100


@dataclass(frozen=True)
class ShopSettings:
    """Size of the shop. Orders are placed in the `days` from `start` (epoch seconds) and change in `later_days`."""

    start: int
    orders: int = 200
    days: int = 8
    later_days: int = 8
    customers: int = 40
    products: int = 12
    seed: int = 7


def build_shop(settings: ShopSettings) -> list[Step]:
    """Return the shop's script sorted by time."""
    rng = random.Random(settings.seed)
    steps = [*_catalog(settings, rng), *_people(settings, rng)]
    for number in range(settings.orders):
        steps += _OrderScript(settings, rng, _FIRST_ORDER + number).steps()
    return sorted(steps, key=lambda step: step[0])


def _catalog(settings: ShopSettings, rng: random.Random) -> Iterator[Step]:
    for number in range(1, settings.products + 1):
        # Every third is older than any start date, and is never read.
        at = settings.start - (400 * DAY if number % 3 == 0 else DAY)
        yield at, "products", {"id": number, "name": f"Product {number}", "price": rng.randint(100, 9900) / 100}, None


def _people(settings: ShopSettings, rng: random.Random) -> Iterator[Step]:
    for number in range(1, settings.customers + 1):
        at = settings.start - (400 * DAY if number % 4 == 0 else rng.randint(1, DAY))
        person = {"id": number, "email": f"c{number}@shop.example", "first_name": f"N{number}", "last_name": "Sim"}
        yield at, "customers", person, None


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


class _OrderScript:
    """Everything that happens to one order; each outcome is a method of that name."""

    _OUTCOMES = ("kept", "kept", "kept", "part", "whole", "parts", "raised", "lowered", "void", "offline", "incomplete")
    _MORE_OUTCOMES = (
        "declined_first",
        "test_only",
        "bundle",
        "late_line",
        "back_dated",
        "deleted",
        "captured",
        "settled_later",
    )

    def __init__(self, settings: ShopSettings, rng: random.Random, order_id: int) -> None:
        self._rng = rng
        self._id = order_id
        self._settings = settings
        self._placed = settings.start + rng.randrange(settings.days * DAY)
        self._later = self._placed + 3600 + rng.randrange(settings.later_days * DAY)
        self._transactions = order_id * 10
        self._lines = order_id * 10
        self._total = rng.randint(500, 40_000)

    def steps(self) -> Iterator[Step]:
        """Yield the order's steps."""
        outcome = self._rng.choice(self._OUTCOMES + self._MORE_OUTCOMES)
        line = self._line(self._rng.randint(1, self._settings.products))
        yield from getattr(self, f"_{outcome}")(self._base(), line)

    def _base(self, **changes: object) -> Row:
        guest = self._rng.random() < 0.4
        person = self._rng.randint(1, self._settings.customers)
        mail = f"Guest{person}@Shop.example" if guest else f"c{person}@shop.example"
        address = {"first_name": "N", "last_name": "Sim", "city": "Bath", "country": "United Kingdom", "email": mail}
        chained = self._id % 5 == 0
        return {
            "id": self._id,
            "customer_id": 0 if guest else person,
            "total_inc_tax": _money(self._total),
            "payment_status": "captured",
            "billing_address": address,
            "ip_address": f"192.0.2.{person}",
            "external_id": f"SUB-{self._id % 3}-{self._id}" if chained else None,
            **changes,
        }

    def _line(self, product: int, **changes: object) -> Row:
        self._lines += 1
        names = {"product_id": product, "name": f"Product {product}", "price_inc_tax": _money(self._total)}
        return {"id": self._lines, "order_id": self._id, **names, **changes}

    def _transaction(self, cents: int, **changes: object) -> Row:
        self._transactions += 1
        return {"id": self._transactions, "order_id": self._id, "amount": _money(cents), **changes}

    def _paid(self, order: Row, *lines: Row, at: int | None = None) -> Iterator[Step]:
        at = at or self._placed
        yield at, "orders", order, "0"
        for line in lines:
            yield at, "order_products", line, None
        yield at, "transactions", self._transaction(self._total), _money(self._total)

    def _back(self, at: int, cents: int, left: int, status: str) -> Iterator[Step]:
        yield at, "transactions", self._transaction(cents, event="refund"), _money(left)
        refunded = _money(self._total - left)
        yield at, "orders", {"id": self._id, "refunded_amount": refunded, "payment_status": status}, None

    def _kept(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid(order, line)

    def _part(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid(order, line)
        part = self._total // 3
        yield from self._back(self._later, part, self._total - part, "partially refunded")

    def _whole(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid(order, line)
        yield from self._back(self._later, self._total, 0, "refunded")

    def _parts(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._part(order, line)
        yield from self._back(self._later + DAY, self._total - self._total // 3, 0, "refunded")

    def _raised(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid(order, line)
        new = _money(self._total + 1500)
        yield self._later, "orders", {"id": self._id, "total_inc_tax": new}, new
        if self._id % 2:  # the rest is paid by card a day later, else by hand, without a transaction
            yield self._later + DAY, "transactions", self._transaction(1500), None

    def _lowered(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid(order, line)
        left = _money(self._total - 200)
        yield self._later, "orders", {"id": self._id, "total_inc_tax": left}, left
        yield self._later + DAY, "transactions", self._transaction(200, event="refund"), None
        yield self._later + DAY, "orders", {"id": self._id, "refunded_amount": "2.00"}, None

    def _void(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid(order, line)
        void = self._transaction(self._total, event="void", reference_transaction_id=self._transactions)
        yield self._later, "transactions", void, "0"
        yield self._later, "orders", {"id": self._id, "payment_status": "void", "status_id": 5}, None

    def _offline(self, order: Row, line: Row) -> Iterator[Step]:
        yield self._placed, "orders", {**order, "payment_status": "", "status_id": 7}, "0"
        yield self._placed, "order_products", line, None
        yield self._later, "orders", {"id": self._id, "status_id": 10, "status": "Completed"}, _money(self._total)

    def _incomplete(self, order: Row, line: Row) -> Iterator[Step]:
        yield self._placed, "orders", {**order, "payment_status": "", "status_id": 0, "status": "Incomplete"}, None
        yield self._placed, "order_products", line, None
        if self._id % 2:
            done = {**order, "status_id": 11, "status": "Awaiting Fulfillment"}
            yield from self._paid(done, at=self._later)

    def _declined_first(self, order: Row, line: Row) -> Iterator[Step]:
        yield self._placed, "orders", order, "0"
        yield self._placed, "transactions", self._transaction(self._total, status="error"), None
        yield from self._paid(order, line, at=self._placed + 60)

    def _test_only(self, order: Row, line: Row) -> Iterator[Step]:
        yield self._placed, "orders", order, "0"
        yield self._placed, "order_products", line, None
        yield self._placed, "transactions", self._transaction(self._total, test=True), None

    def _bundle(self, order: Row, line: Row) -> Iterator[Step]:
        inside = self._line(1, parent_order_product_id=line["id"], price_inc_tax="0.00")
        yield from self._paid(order, line, inside)

    def _late_line(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid(order, line)
        yield self._later, "order_products", self._line(2, price_inc_tax="0.00"), None

    def _back_dated(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid({**order, "_placed": self._placed - 20 * DAY}, line, at=self._later)

    def _deleted(self, order: Row, line: Row) -> Iterator[Step]:
        yield from self._paid(order, line)
        yield self._later, "orders", {"id": self._id, "is_deleted": True}, "0"

    def _captured(self, order: Row, line: Row) -> Iterator[Step]:
        authorized = {**order, "payment_status": "authorized", "status_id": 7}
        yield self._placed, "orders", authorized, "0"
        yield self._placed, "order_products", line, None
        yield self._placed, "transactions", self._transaction(self._total, event="authorization"), None
        capture = self._transaction(self._total, event="capture", reference_transaction_id=self._transactions)
        yield self._later, "transactions", capture, _money(self._total)
        yield self._later, "orders", {"id": self._id, "payment_status": "captured", "status_id": 11}, None

    def _settled_later(self, order: Row, line: Row) -> Iterator[Step]:
        yield self._placed, "orders", {**order, "payment_status": "pending", "status_id": 7}, "0"
        yield self._placed, "order_products", line, None
        payment = self._transaction(self._total, status="pending")
        yield self._placed, "transactions", payment, None
        yield self._later, "transactions", {**payment, "status": "ok"}, _money(self._total)
        yield self._later, "orders", {"id": self._id, "payment_status": "captured", "status_id": 11}, None
