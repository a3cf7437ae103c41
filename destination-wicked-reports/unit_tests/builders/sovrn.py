"""Records, a ledger and readers of rows for the tests of Sovrn's mapping."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from destination_wicked_reports.config.mappings import ContactRule, SovrnMapping
from destination_wicked_reports.mappings.affiliate.sovrn import SovrnNormalizer
from destination_wicked_reports.model import Record, Reject, Row, SaleState, Skip

from builders.affiliate import Book

BY_CUID = ContactRule(field="cuid", pattern=r"^(?P<contact_id>U\d+)")
SALE_KEY = f"{SovrnMapping().source_system}\x1fsovrn-1234-R1-C1"
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
    """Runs of the mapping against a ledger to which every row is added at once."""

    def __init__(self, **rules: Any) -> None:
        self.book = Book()
        self.ledger = self.book.ledger
        self.rules = rules

    @property
    def unchanged(self) -> int:
        return self.book.unchanged

    def run(self, *calls: list[dict[str, Any]], today: date = TODAY, **rules: Any) -> Made:
        """Read these records, a list per call, with a new normalizer."""
        normalizer = make_normalizer(today, **{**self.rules, **rules})
        made: Made = []
        for call in calls:
            records = [Record("transactions", data, len(made) + place) for place, data in enumerate(call)]
            made += self.book.accept(normalizer.normalize(records, self.book))
        return made + self.book.accept(normalizer.finish(self.book))

    def __call__(self, *data: dict[str, Any], **settings: Any) -> Made:
        return self.run(list(data), **settings)

    def state(self, key: str = SALE_KEY) -> SaleState | None:
        return self.book.state(key)

    def net(self, key: str = SALE_KEY) -> Decimal:
        return self.book.net(key)


def reasons(made: Made) -> list[str]:
    """Return the reasons of records that made no row."""
    return [one.reason for one in made if not isinstance(one, Row)]
