"""Records of source-bigcommerce, a ledger and readers of rows for the tests of the shop's mapping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
from destination_wicked_reports.config.mappings import BigcommerceMapping
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_book import OrderBook
from destination_wicked_reports.ledger.outbox import Batch
from destination_wicked_reports.mappings.bigcommerce.normalizer import BigcommerceNormalizer
from destination_wicked_reports.model import ZERO, Record, Reject, Row, SaleState, Skip
from hypothesis import strategies as st

Made = list[Row | Reject | Skip]
StreamRecord = tuple[str, dict[str, Any]]


def customer(number: int = 7, **changes: Any) -> StreamRecord:
    """A customer of the v3 API: numbers, ISO dates."""
    data = {
        "id": number,
        "email": f"customer{number}@example.com",
        "first_name": "Ada",
        "last_name": "Byron",
        "date_created": "2024-01-02T03:04:05Z",
        "date_modified": "2024-01-02T03:04:05Z",
        "registration_ip_address": "192.0.2.7",
        "addresses": [{"city": "Bath", "state_or_province": "Somerset", "country": "United Kingdom"}],
    }
    return "customers", {**data, **changes}


def product(number: int = 55, **changes: Any) -> StreamRecord:
    """A product of the v3 API."""
    return "products", {"id": number, "name": "Kettle", "price": 25.5, **changes}


def order(number: int = 100, total: str = "100.0000", **changes: Any) -> StreamRecord:
    """An order of the v2 API as the source hands it on: money as text, one date in ISO, the other in RFC 2822."""
    data = {
        "id": number,
        "customer_id": 7,
        "date_created": "Tue, 14 May 2024 10:00:00 +0000",
        "date_modified": "2024-05-14T10:05:00+00:00",
        "status_id": 11,
        "status": "Awaiting Fulfillment",
        "payment_status": "captured",
        "total_inc_tax": total,
        "total_ex_tax": "80.0000",
        "refunded_amount": "0.0000",
        "currency_code": "USD",
        "default_currency_code": "USD",
        "currency_exchange_rate": "1.0000000000",
        "is_deleted": False,
        "ip_address": "192.0.2.9",
        "external_id": None,
        "billing_address": {
            "first_name": "Ada",
            "last_name": "Byron",
            "city": "Bath",
            "state": "Somerset",
            "country": "United Kingdom",
            "email": "Ada@example.com",
        },
    }
    return "orders", {**data, **changes}


def guest_order(number: int = 100, total: str = "100.0000", **changes: Any) -> StreamRecord:
    return order(number, total, **{"customer_id": 0, **changes})


def line(number: int = 1, order_id: int = 100, **changes: Any) -> StreamRecord:
    """A line of an order, of the v2 API."""
    data = {
        "id": number,
        "order_id": order_id,
        "product_id": 55,
        "name": "Kettle",
        "quantity": 2,
        "base_price": "40.0000",
        "price_inc_tax": "50.0000",
        "price_ex_tax": "40.0000",
        "parent_order_product_id": None,
    }
    return "order_products", {**data, **changes}


def transaction(number: int, event: str = "purchase", amount: float = 100.0, **changes: Any) -> StreamRecord:
    """A transaction of the v3 API: a number as amount, the order's id as text."""
    data = {
        "id": number,
        "order_id": "100",
        "event": event,
        "amount": amount,
        "currency": "USD",
        "date_created": f"2024-05-14T10:{number % 60:02d}:00+00:00",
        "test": False,
        "status": "ok",
        "reference_transaction_id": None,
    }
    return "transactions", {**data, **changes}


EDITED = {"date_modified": "2024-06-01T09:00:00+00:00"}
EDIT_TIME = "2024-06-01 09:00:00"
UNPAID: dict[str, Any] = {"payment_status": "", "status_id": 7}


TODAY = date(2024, 5, 20)


class Shop:
    """A ledger, and a Wicked Reports that accepts every row at once; calling it is one whole run on the day `today`.

    `orders` and `payments` are what Wicked holds: total and currency by SourceID, status and amount by OrderID.
    """

    def __init__(self, **rules: Any) -> None:
        self.ledger = rules.pop("ledger", None) or Ledger.in_memory("live")
        self.rules = rules
        self.lost: set[str] = set()
        self.today = TODAY
        self.notes: list[str] = []
        self.orders: dict[str, tuple[Decimal, str]] = {}
        self.payments: dict[str, list[tuple[str, Decimal]]] = {}

    def __call__(self, *records: StreamRecord, calls: int = 1) -> Made:
        """Read these records, in this many calls, with a new normalizer."""
        normalizer = BigcommerceNormalizer(BigcommerceMapping(**self.rules), today=lambda: self.today)
        book = OrderBook(self.ledger)
        messages = [Record(stream, data, place) for place, (stream, data) in enumerate(records)]
        size = max(1, -(-len(messages) // calls))
        made: Made = []
        for start in range(0, len(messages), size):
            made += self._accept(normalizer.normalize(messages[start : start + size], book), book)
        made += self._accept(normalizer.finish(book), book)
        self.notes = list(normalizer.notes())
        return made

    def _accept(self, normalized: Iterable[Row | Reject | Skip], book: OrderBook) -> Made:
        """Take what is new, as the delivery would; rows of the endpoints in `lost` never arrive."""
        taken: Made = []
        for row in normalized:
            if isinstance(row, Row):
                known = self.ledger.known(row.endpoint, [row.key]).get(row.key)
                if row.endpoint in self.lost or known == row.digest:
                    continue
                assert row.endpoint in ("contacts", "products") or known is None, f"{row.key} was sent twice"
                book.queue(row)
                batch = Batch(row.endpoint, [row])
                self.ledger.begin(batch)
                self.ledger.commit(batch, [row])
                book.release([row])
                self._hold(row)
            taken.append(row)
        return taken

    def _hold(self, row: Row) -> None:
        data = orjson.loads(row.body)
        if row.endpoint == "orders":
            total = Decimal(str(data["OrderTotal"]))
            self.orders[data["SourceID"]] = total, data.get("OrderCurrency", "")
            payments = [(payment["Status"], Decimal(str(payment["Amount"]))) for payment in data["OrderPayments"]]
            assert payments[0] == ("APPROVED", total)
            assert "APPROVED" not in [status for status, _ in payments[1:]]
            self.payments[data["SourceID"]] = payments
        elif row.endpoint == "order_payments":
            assert data["Status"] in ("REFUNDED", "PARTIALLY REFUNDED")
            self.payments[data["OrderID"]].append((data["Status"], Decimal(str(data["Amount"]))))

    def state(self, number: int = 100) -> SaleState | None:
        key = f"{BigcommerceMapping(**self.rules).source_system}\x1f{number}"
        return self.ledger.sales([key]).get(key)

    def net(self, number: int = 100, currency: str = "") -> Decimal:
        """Return the net of a sale's orders, which both readings of Wicked's net and the ledger agree on.

        See docs/vendors/wicked-reports.md 10.1.
        """
        by_orders = by_payments = ZERO
        for name, (total, order_currency) in self.orders.items():
            if name.partition("~")[0] != str(number) or currency not in ("", order_currency):
                continue
            refunds = self.payments[name][1:]
            refunded = sum((amount for _, amount in refunds), ZERO)
            by_payments += total - refunded
            by_orders += ZERO if "REFUNDED" in [status for status, _ in refunds] else total - refunded
        assert by_orders == by_payments
        state = self.state(number)
        assert currency or by_orders == (state.net if state else ZERO)
        return by_orders


def bodies(made: Made, endpoint: str) -> list[dict[str, Any]]:
    return [orjson.loads(row.body) for row in made if isinstance(row, Row) and row.endpoint == endpoint]


def reasons(made: Made) -> list[str]:
    return [one.reason for one in made if not isinstance(one, Row)]


def paid(made: Made) -> list[tuple[str, float]]:
    """Return status and amount of every payment, nested or not, in their order."""
    nested = [payment for row in bodies(made, "orders") for payment in row.get("OrderPayments", ())]
    return [(payment["Status"], payment["Amount"]) for payment in nested + bodies(made, "order_payments")]


def sold(made: Made) -> list[tuple[str, float]]:
    """Return SourceID and total of every order."""
    return [(row["SourceID"], row["OrderTotal"]) for row in bodies(made, "orders")]


@dataclass
class Life:
    """An order in a shop, as its latest versions are: what each step does to it is what the shop would show."""

    order_id: int = 100
    total: int = 10_000
    words: dict[str, Any] = field(default_factory=lambda: dict(UNPAID))
    reported: int = 0
    deleted: bool = False
    currency: str = "USD"
    transactions: dict[int, tuple[str, int, str]] = field(default_factory=dict)
    versions: int = 0

    def step(self, kind: str, cents: int) -> StreamRecord:
        """Change the order, and return the record that shows it."""
        if kind in ("purchase", "refund", "test"):
            number = len(self.transactions) + 1
            self.transactions[number] = kind, cents, self.currency
            return self.transaction(number)
        if kind == "total":
            self.total = cents
        elif kind == "reported":
            self.reported = cents
        elif kind == "deleted":
            self.deleted = True
        elif kind == "currency":
            self.currency = "EUR" if self.currency == "USD" else "USD"
        else:
            self.words = WORDS[kind]
        self.versions += 1
        return self.order()

    def order(self) -> StreamRecord:
        modified = datetime(2024, 5, 15, tzinfo=timezone.utc) + timedelta(hours=self.versions)
        return guest_order(
            self.order_id,
            total=f"{self.total / 100:.4f}",
            refunded_amount=f"{self.reported / 100:.4f}",
            is_deleted=self.deleted,
            date_modified=modified.isoformat(),
            currency_code=self.currency,
            default_currency_code=self.currency,
            **self.words,
        )

    def transaction(self, number: int) -> StreamRecord:
        kind, cents, currency = self.transactions[number]
        event = "purchase" if kind == "test" else kind
        changes = {"order_id": str(self.order_id), "currency": currency, "test": kind == "test"}
        return transaction(number, event, cents / 100, **changes)

    def everything(self) -> list[StreamRecord]:
        return [self.order(), *map(self.transaction, self.transactions)]

    def expected(self, sent: int | None) -> int | None:
        """Return what the sale counts in cents of its currency after a run; `sent` is what it counted before.

        None is a sale that was never sent.
        """
        counted = [(k, c) for k, c, currency in self.transactions.values() if currency == self.currency or k == "test"]
        captured = sum(cents for kind, cents in counted if kind == "purchase")
        refunded = sum(cents for kind, cents in counted if kind == "refund")
        has_test = "test" in [kind for kind, _ in counted]
        says_paid = self.words in (WORDS["captured"], WORDS["completed"]) and not has_test
        paid_in_full = not self.deleted and (says_paid or captured >= self.total)
        approved = max(captured, self.total) if says_paid else captured
        value = max(min(approved - max(refunded, self.reported), self.total), 0)
        if self.deleted:
            value = 0
        if sent is None:
            return value if paid_in_full else None
        return value if paid_in_full else min(value, sent)


WORDS: dict[str, dict[str, Any]] = {
    "unpaid": UNPAID,
    "captured": {"payment_status": "captured", "status_id": 11},
    "completed": {"payment_status": "", "status_id": 10},
    "declined": {"payment_status": "declined", "status_id": 6},
    "cancelled": {"payment_status": "", "status_id": 5},
}
CHANGES = st.tuples(
    st.sampled_from(
        [*WORDS, "captured", "total", "total", "reported", "purchase", "refund", "refund", "test", "deleted"]
    ),
    st.integers(1, 15_000),
)
