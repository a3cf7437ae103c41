"""Records, a ledger and readers of rows for the tests of Sovrn's mapping."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from destination_wicked_reports.config.mappings import ContactRule, SovrnMapping
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.mappings.affiliate.sovrn import SovrnNormalizer
from destination_wicked_reports.model import OrderState, Record, Reject, Row, Skip, Unchanged

BY_CUID = ContactRule(field="cuid", pattern=r"^(?P<contact_id>U\d+)")
ORDER_KEY = f"{SovrnMapping().source_system}\x1fsovrn-1234-R1-C1"
SOLD, CHANGED = "2024-05-14", "2024-06-20"
NOON_SOLD, NOON_CHANGED = f"{SOLD} 12:00:00", f"{CHANGED} 12:00:00"
TODAY = date(2024, 7, 1)

Made = list[Row | Reject | Skip]


def transaction(amount: str = "10.00", **changes: Any) -> dict[str, Any]:
    """Return a flat record of source-sovrn, with a user's id as CUID (docs/vendors/sovrn.md B5)."""
    return {
        "transaction_key": "R1:C1",
        "account_id": "1234",
        "campaign_id": "77",
        "campaign_name": "Site 1",
        "revenue_id": "R1",
        "commission_id": "C1",
        "commission_date": SOLD,
        "update_date": CHANGED,
        "order_value": "100.00",
        "publisher_net_revenue": amount,
        "program_type": "cpa",
        "click_id": "k1",
        "click_date": "2024-05-12",
        "cuid": "U42",
        "page_utm_source": "fb",
        "page_utm_campaign": "may",
        "link_utm_source": "newsletter",
        "merchant_group_id": "567",
        "merchant_group_name": "Shoe Shop",
        "network": "Sovrn",
        "products": [],
        **changes,
    }


def taken_back(amount: str, **changes: Any) -> dict[str, Any]:
    """Return a separate return for the same click and merchant, with its own ids (docs/vendors/sovrn.md B6)."""
    return transaction(amount, **{"revenue_id": "R9", "commission_id": "C9", **changes})


def click(number: int, amount: str = "0.0075", **changes: Any) -> dict[str, Any]:
    """Return a CPC row, whose ids are those of its click (docs/vendors/sovrn.md B6)."""
    ids = {"revenue_id": f"K{number}", "commission_id": f"K{number}", "click_id": f"k{number}"}
    return transaction(amount, **{**ids, "order_value": "0", "program_type": "cpc", "cuid": "", **changes})


def make_normalizer(today: date = TODAY, **rules: Any) -> SovrnNormalizer:
    return SovrnNormalizer(SovrnMapping(**{"contact_rules": [BY_CUID], **rules}), lambda: today)


class Desk:
    """A ledger, and a Wicked Reports that accepts every row at once; `run` is one whole run."""

    def __init__(self, **rules: Any) -> None:
        self.ledger = Ledger.in_memory("live")
        self.rules = rules
        self.unchanged = 0

    def run(self, *calls: list[dict[str, Any]], today: date = TODAY, **rules: Any) -> Made:
        """Read these records, a list a call, with a new normalizer."""
        normalizer, book = make_normalizer(today, **{**self.rules, **rules}), OrderBook(self.ledger)
        made: Made = []
        for call in calls:
            records = [Record("transactions", data, len(made) + place) for place, data in enumerate(call)]
            made += self._accept(normalizer.normalize(records, book), book)
        return made + self._accept(normalizer.finish(book), book)

    def __call__(self, *data: dict[str, Any], **settings: Any) -> Made:
        return self.run(list(data), **settings)

    def _accept(self, normalized: Iterable[Row | Reject | Skip], book: OrderBook) -> Made:
        made = list(normalized)
        for row in made:
            if isinstance(row, Row):
                known = self.ledger.known(row.endpoint, [row.key])
                assert row.endpoint != "order_payments" or not known, "a payment was sent twice"
                book.queue(row)
                batch = Batch(row.endpoint, [row])
                self.ledger.begin(batch)
                self.ledger.commit(batch, [row])
                book.release([row])
        changes = [one for one in made if not isinstance(one, Unchanged)]
        self.unchanged += len(made) - len(changes)
        return changes

    def state(self, key: str = ORDER_KEY) -> OrderState | None:
        return self.ledger.orders([key]).get(key)

    def net(self, key: str = ORDER_KEY) -> Decimal:
        state = self.state(key)
        return state.net if state else Decimal(0)


def reasons(made: Made) -> list[str]:
    """Return the reasons of records that made no row."""
    return [one.reason for one in made if not isinstance(one, Row)]
