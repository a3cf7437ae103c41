"""Generates contacts, orders and clicks in bulk and adds them to the inbound store as if they had been posted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ...clock import parse_instant, stamp
from ..store import Row, WickedStore

_DAY = 86_400
_SOURCES = (("google", "cpc"), ("facebook", "paid"), ("newsletter", "email"), ("partner", "affiliate"))


@dataclass(frozen=True)
class SeedSettings:
    """Numbers of rows over the `days` from `start` (a day or an instant, UTC); equal settings give equal rows.

    `refunded` and `unpaid` are shares of the orders; `twins` is the number of pairs of clicks equal in every field;
    `first_contact` is the share of clicks of the first contact; `seconds` is the resolution of all dates: with 60 many
    rows share a second, with 86400 all are at midnight.
    """

    start: str | int
    days: int = 30
    contacts: int = 0
    orders: int = 0
    clicks: int = 0
    seed: int = 7
    refunded: float = 0.1
    unpaid: float = 0.05
    twins: int = 0
    first_contact: float = 0.0
    seconds: int = 1
    system: str = "seeded"

    def __post_init__(self) -> None:
        if self.days < 1 or self.seconds < 1 or min(self.contacts, self.orders, self.clicks, self.twins) < 0:
            raise ValueError("days and seconds start at 1, numbers of rows at 0")
        if (self.orders or self.clicks) and not self.contacts:
            raise ValueError("orders and clicks need contacts")
        if self.twins > self.clicks // 2:
            raise ValueError("twins are pairs of clicks")


def seed(store: WickedStore, settings: SeedSettings, switches: Any) -> dict[str, int]:
    """Store the rows; return their numbers by endpoint. ValueError if one is refused."""
    rng = random.Random(settings.seed)
    makers = {"contacts": _contacts, "orders": _orders, "clicks": _clicks}
    made = dict.fromkeys(makers, 0)
    for endpoint, make in makers.items():
        for row in make(settings, rng):
            refusal = store.add(endpoint, row, switches)
            if refusal is not None:
                raise ValueError(f"a seeded row of {endpoint} was refused: {refusal}")
            made[endpoint] += 1
    return made


def _at(settings: SeedSettings, rng: random.Random) -> int:
    return parse_instant(settings.start) + rng.randrange(settings.days * _DAY // settings.seconds) * settings.seconds


def _email(number: int) -> str:
    return f"buyer{number:06d}@example.com"


def _contacts(settings: SeedSettings, rng: random.Random) -> Iterator[Row]:
    for number in range(settings.contacts):
        yield {
            "SourceSystem": settings.system,
            "SourceID": f"c{number:06d}",
            "CreateDate": stamp(_at(settings, rng)),
            "Email": _email(number),
            "FirstName": f"First{number % 97}" if number % 5 else "",
            "LastName": f"Last{number % 89}" if number % 7 else "",
        }


def _orders(settings: SeedSettings, rng: random.Random) -> Iterator[Row]:
    for number in range(settings.orders):
        at, total = _at(settings, rng), Decimal(rng.randrange(500, 50_000)) / 100
        draw = rng.random()
        payments = []
        if draw >= settings.unpaid:
            payments.append({"PaymentDate": stamp(at + 5), "Amount": total, "Status": "APPROVED"})
        if settings.unpaid <= draw < settings.unpaid + settings.refunded:
            whole = rng.random() < 0.5
            back = total if whole else (total / 3).quantize(Decimal("0.01"))
            status = "REFUNDED" if whole else "PARTIALLY REFUNDED"
            later = stamp(at + rng.randrange(1, 5) * _DAY)
            payments.append({"PaymentDate": later, "Amount": back, "Status": status})
        contact = rng.randrange(settings.contacts)
        yield {
            "SourceSystem": settings.system,
            "SourceID": f"o{number:06d}",
            "CreateDate": stamp(at),
            "ContactID": f"c{contact:06d}",
            "ContactEmail": _email(contact),
            "OrderTotal": total,
            "OrderCurrency": "USD",
            "OrderItems": [{"OrderItemID": f"o{number:06d}-1", "ProductID": "p1", "Qty": 1, "PPU": total}],
            "OrderPayments": payments,
            "SubscriptionID": f"s{number:06d}" if number % 10 == 0 else "",
        }


def _clicks(settings: SeedSettings, rng: random.Random) -> Iterator[Row]:
    of_first = int(settings.clicks * settings.first_contact)
    for number in range(settings.clicks - settings.twins):
        source, medium = _SOURCES[rng.randrange(len(_SOURCES))]
        contact = 0 if number < of_first else rng.randrange(settings.contacts)
        row = {
            "Email": _email(contact),
            "Date_Time": stamp(_at(settings, rng)),
            "Timezone": "UTC",
            "ConversionType": "NEW_LEAD" if rng.random() < 0.1 else "CLICK",
            "Source": source,
            "Medium": medium,
            "Campaign": f"campaign-{rng.randrange(20)}",
            "Content": f"content-{number}",
            "Term": "",
        }
        yield row
        if number < settings.twins:
            yield dict(row)
