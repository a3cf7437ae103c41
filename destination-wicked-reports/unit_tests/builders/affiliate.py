"""Records, a book of orders and readers of rows for the tests of the affiliate mappings."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson
from destination_wicked_reports.config.mappings import ContactRule, WecantrackMapping
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.mappings.affiliate.wecantrack import WecantrackNormalizer
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.model import Record, Reject, Row, SaleState, Skip, Unchanged

BY_USER = ContactRule(field="sub_ids.*", pattern=r"^(?P<contact_id>U\d+)-")
SALE_KEY = f"{WecantrackMapping().source_system}\x1fwct-7-T1"


class Book(OrderBook):
    """A ledger in memory to which `accept` adds every row at once, as Wicked Reports does that accepts everything."""

    def __init__(self) -> None:
        self.ledger = Ledger.in_memory("live")
        super().__init__(self.ledger)
        self.loads: list[list[str]] = []
        self.unchanged = 0

    def load(self, keys: Iterable[str]) -> None:
        self.loads.append(list(keys))
        super().load(self.loads[-1])

    def accept(self, made: Iterable[Row | Reject | Skip]) -> list[Row | Reject | Skip]:
        """Commit the rows; return everything except unchanged records."""
        listed = list(made)
        for row in listed:
            if isinstance(row, Row):
                known = self.ledger.known(row.endpoint, [row.key])
                assert row.endpoint != "order_payments" or not known, "a payment was sent twice"
                batch = Batch(row.endpoint, [row])
                self.ledger.begin(batch)
                self.ledger.commit(batch, [row])
        changes = [one for one in listed if not isinstance(one, Unchanged)]
        self.unchanged += len(listed) - len(changes)
        return changes

    def state(self, key: str = SALE_KEY) -> SaleState | None:
        """Return a sale as the ledger has it."""
        return self.ledger.sales([key]).get(key)

    def net(self, key: str = SALE_KEY) -> Decimal:
        state = self.state(key)
        return state.net if state else Decimal(0)


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


def feed(normalizer: Normalizer, book: Book, *transactions: dict[str, Any]) -> list[Row | Reject | Skip]:
    """Normalize the records in one call, accept their rows, and return everything except unchanged records."""
    records = [Record("transactions", data, place) for place, data in enumerate(transactions)]
    return book.accept(normalizer.normalize(records, book))


def finish(normalizer: Normalizer, book: Book) -> list[Row | Reject | Skip]:
    """End the run: accept the rows that are made after the last record."""
    return book.accept(normalizer.finish(book))


def bodies(made: Iterable[Row | Reject | Skip], endpoint: str) -> list[dict[str, Any]]:
    return [orjson.loads(row.body) for row in made if isinstance(row, Row) and row.endpoint == endpoint]


def payments(made: Iterable[Row | Reject | Skip]) -> list[tuple[str, float, str]]:
    """Every payment in the rows, nested or not: status, amount, date."""
    nested = [payment for order in bodies(made, "orders") for payment in order.get("OrderPayments", ())]
    return [
        (payment["Status"], payment["Amount"], payment["PaymentDate"])
        for payment in nested + bodies(made, "order_payments")
    ]
