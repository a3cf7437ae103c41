"""Wicked Reports in memory, and runs of a mapping that send to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any

import orjson
from destination_wicked_reports.api.responses import Outcome, PostResult
from destination_wicked_reports.delivery.dispatcher import Dispatcher
from destination_wicked_reports.delivery.tally import Tally
from destination_wicked_reports.delivery.writer import Writer
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.mappings.base import Normalizer
from destination_wicked_reports.model import ZERO, Reject, Row, Skip

#: By sale and currency: the net by orders and the net by payments.
Nets = dict[tuple[str, str], tuple[Decimal, Decimal]]


class Wicked:
    """Wicked Reports as it receives rows, with net under both readings (docs/vendors/wicked-reports.md 10.1)."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.payments: dict[str, list[dict[str, Any]]] = {}

    def take(self, made: Iterable[Row | Reject | Skip]) -> None:
        """Receive rows in this order; a payment of an unknown order and an order sent twice are errors."""
        for row in made:
            if isinstance(row, Row):
                assert not self.has(row), f"{row.key} was sent twice"
                self.receive(row)

    def has(self, row: Row) -> bool:
        """Tell whether an order or a payment is here already."""
        fields = orjson.loads(row.body)
        if row.endpoint == "orders":
            return self.orders.get(fields["SourceID"]) == fields
        return row.endpoint == "order_payments" and fields in self.payments.get(fields["OrderID"], [])

    def receive(self, row: Row) -> None:
        """Receive a row. The same order again is the same order, with other content an error."""
        fields = orjson.loads(row.body)
        if row.endpoint == "orders":
            name = fields["SourceID"]
            if self.orders.setdefault(name, fields) != fields:
                raise AssertionError("an order was sent again with other content")
            self.payments.setdefault(name, list(fields["OrderPayments"]))
            approved = [p["Amount"] for p in fields["OrderPayments"] if p["Status"] == "APPROVED"]
            assert approved == [fields["OrderTotal"]], "an order has one APPROVED payment, of exactly its total"
            dates = [payment["PaymentDate"] for payment in fields["OrderPayments"]]
            assert dates == sorted(set(dates)), "a refund comes a second after every earlier payment"
        elif row.endpoint == "order_payments":
            former = self.payments[fields["OrderID"]]
            assert fields["Status"] in ("REFUNDED", "PARTIALLY REFUNDED")
            assert fields["PaymentDate"] > max(payment["PaymentDate"] for payment in former)
            former.append(fields)
        assert all(payment["Amount"] > 0 for payments in self.payments.values() for payment in payments)

    def sale_nets(self) -> Nets:
        """Return both nets of every sale that is not zero under both readings."""
        nets: Nets = {}
        for name, order in self.orders.items():
            sale = name.partition("~")[0], order.get("OrderCurrency", "")
            by_orders, by_payments = nets.get(sale, (ZERO, ZERO))
            amounts = [(payment["Status"], Decimal(str(payment["Amount"]))) for payment in self.payments[name]]
            by_payments += sum(amount if status == "APPROVED" else -amount for status, amount in amounts)
            if "REFUNDED" not in [status for status, _ in amounts]:
                partly = sum(amount for status, amount in amounts if status == "PARTIALLY REFUNDED")
                by_orders += Decimal(str(order["OrderTotal"])) - partly
            nets[sale] = by_orders, by_payments
        return {sale: net for sale, net in nets.items() if net != (0, 0)}

    def nets(self, currency: str = "USD") -> tuple[Decimal, Decimal]:
        """Return the net by orders and the net by payments."""
        found = [net for (_, known), net in self.sale_nets().items() if known == currency]
        return sum((net[0] for net in found), ZERO), sum((net[1] for net in found), ZERO)


class LostReplyError(Exception):
    """The run ends before the reply to a request is read."""


class Letters:
    """Replaces the dead-letter file: counts refused rows, and sends what is in doubt, as `replay --in-doubt` does."""

    path = "rejected.jsonl"

    def __init__(self, wicked: Wicked) -> None:
        self.refused = 0
        self._wicked = wicked

    def reject(self, reject: Reject) -> None:
        """Drop a record."""

    def reject_row(self, row: Row, _: str) -> None:
        """Count a row."""
        self.refused += 1

    def mark_in_doubt(self, row: Row, _: str) -> None:
        """Send a row unless it arrived."""
        if not self._wicked.has(row):
            self._wicked.receive(row)

    def sync(self) -> None:
        """Do nothing: there is no file."""


class Connection:
    """Runs of one mapping through writer, dispatcher and ledger.

    Wicked refuses the orders and payments of a run at the positions `refused`, except what it has already: a duplicate
    does not fail (docs/vendors/wicked-reports.md 1). The run ends at request `lost`, which Wicked got if `arrives`; the
    next run finds it in the outbox.
    """

    def __init__(self, make_normalizer: Callable[[], Normalizer]) -> None:
        self.ledger = Ledger.in_memory("live")
        self.wicked = Wicked()
        self._make_normalizer = make_normalizer
        self._refused: Collection[int] = ()
        self._lost, self._arrives = 0, False
        self._rows = self._requests = 0

    def run(
        self,
        records: Iterable[tuple[str, dict[str, Any]]],
        *,
        batch_rows: int = 1000,
        refused: Collection[int] = (),
        lost: int = 0,
        arrives: bool = False,
    ) -> tuple[int, bool]:
        """Run once; return how many rows were refused and whether the run got to its end."""
        self._refused, self._lost, self._arrives = refused, lost, arrives
        self._rows = self._requests = 0
        letters, normalizer = Letters(self.wicked), self._make_normalizer()
        tally = Tally(letters)  # type: ignore[arg-type]
        dispatcher = Dispatcher(self, self.ledger, tally, batch_rows=batch_rows, in_flight=1)  # type: ignore[arg-type]
        routes = {("", stream): stream for stream in normalizer.streams}
        writer = Writer(normalizer, dispatcher, tally, lambda message: None, routes, batch_rows=batch_rows)
        lines = [orjson.dumps({"type": "RECORD", "record": {"stream": s, "data": d}}) for s, d in records]
        ended = True
        try:
            writer.write([lines])
        except LostReplyError:
            ended = False
        finally:
            dispatcher.close()
        return letters.refused, ended

    @property
    def rows(self) -> int:
        """How many orders and payments the last run sent."""
        return self._rows

    def stop(self, _: float | None = None) -> None:
        """Do nothing: no retry is waiting."""

    def post(self, _: str, body: bytes, rows: Sequence[Row], *, repeatable: bool) -> PostResult:
        """Answer a request of the dispatcher."""
        self._requests += 1
        lost = self._requests == self._lost
        refused: dict[int, str] = {}
        for position, row in enumerate(rows):
            if row.endpoint not in ("orders", "order_payments"):
                continue
            self._rows += 1
            if self._rows in self._refused and not lost and not self.wicked.has(row):
                refused[position] = "refused"
            elif not lost or self._arrives:
                self.wicked.receive(row)
        if lost:
            raise LostReplyError
        return PostResult(Outcome.ACCEPTED, refused)
