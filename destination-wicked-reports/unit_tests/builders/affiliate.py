"""Records, a book of orders and readers of rows for the tests of the affiliate mappings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from destination_wicked_reports.config.mappings import ContactRule, WecantrackMapping
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from destination_wicked_reports.model import OrderState, Record, Reject, Row, Skip, Unchanged

BY_USER = ContactRule(field="sub_ids.*", pattern=r"^(?P<contact_id>U\d+)-")
ORDER_KEY = f"{WecantrackMapping().source_system}\x1fwct-7-T1"


class Book:
    """The ledger's orders, of a ledger to which everything is accepted at once."""

    def __init__(self) -> None:
        self.states: dict[str, OrderState] = {}
        self.loads: list[list[str]] = []
        self.unchanged = 0

    def load(self, keys: Iterable[str]) -> None:
        self.loads.append(list(keys))

    def get(self, key: str) -> OrderState | None:
        return self.states.get(key)


def transaction(**changes: Any) -> dict[str, Any]:
    """Return a transaction as documented, with a user's id before the click id (docs/vendors/wecantrack.md A9)."""
    return {
        "transaction_id": "T1",
        "user_network_account_id": 7,
        "last_wct_update": "2024-05-14 21:26:05",
        "modified_date": "2024-05-14 14:06:15",
        "reference": "WCT240514135314e7x4d",
        "sub_ids": {"clickRef": "U42-WCT240514135314e7x4d"},
        "sale_amount": "100.00",
        "commission_amount": "10.00",
        "sale_amount_euro": "92.00",
        "commission_amount_euro": "9.20",
        "currency_id": "USD",
        "status": "pending",
        "order_date": "2024-05-14 14:06:15",
        "click_date": None,
        "validation_date": None,
        "advertiser_id": "A1",
        "advertiser_name": "Shoe Shop",
        "decline_reason": None,
        "order_ref": None,
        "clickout_url": None,
        "click_metadata": None,
        **changes,
    }


def make_normalizer(**settings: Any) -> WecantrackNormalizer:
    """Return a normalizer with default settings, a contact rule and `settings`."""
    return WecantrackNormalizer(WecantrackMapping(**{"contact_rules": [BY_USER], **settings}))


def feed(normalizer: WecantrackNormalizer, book: Book, *transactions: dict[str, Any]) -> list[Row | Reject | Skip]:
    """Normalize the records in one call, update the book's states, and return everything except unchanged records."""
    records = [Record("transactions", data, place) for place, data in enumerate(transactions)]
    made = list(normalizer.normalize(records, book))
    for row in made:
        if isinstance(row, Row) and row.order_key and row.order:
            book.states[row.order_key] = row.order
    changes = [one for one in made if not isinstance(one, Unchanged)]
    book.unchanged += len(made) - len(changes)
    return changes


def bodies(made: Iterable[Row | Reject | Skip], endpoint: str) -> list[dict[str, Any]]:
    return [orjson.loads(row.body) for row in made if isinstance(row, Row) and row.endpoint == endpoint]


def payments(made: Iterable[Row | Reject | Skip]) -> list[tuple[str, float, str]]:
    """Every payment in the rows, nested or not: status, amount, date."""
    nested = [payment for order in bodies(made, "orders") for payment in order.get("OrderPayments", ())]
    return [
        (payment["Status"], payment["Amount"], payment["PaymentDate"])
        for payment in nested + bodies(made, "order_payments")
    ]
