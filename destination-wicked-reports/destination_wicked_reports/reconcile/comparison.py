"""Compares sent and reported orders, by order and by day: equal, different, or not yet processed by Wicked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timezone, tzinfo
from decimal import Decimal

from destination_wicked_reports.reconcile.expected import NOT_SENT, PAYMENTS_NOT_SENT, Expected
from destination_wicked_reports.reconcile.ledger_reader import IN_DOUBT_NOTE
from destination_wicked_reports.reconcile.orders import (
    ZERO,
    OrderId,
    PaymentTotals,
    ReportedOrder,
    SentOrder,
    display_id,
)
from destination_wicked_reports.reconcile.reported import ReportedOrders, match_unknown_systems

#: The day of an order that Wicked does not report and whose record was not given.
UNDATED = "undated"
NOTHING = "-"
WAITING = "not yet processed"


@dataclass(slots=True, frozen=True)
class Difference:
    """A field of an order that differs; `waits` if Wicked has probably not processed the row yet."""

    day: str
    order: str
    field: str
    sent: str
    reported: str
    note: str = ""
    waits: bool = False


@dataclass(slots=True, frozen=True)
class AmbiguousOrder:
    """A reported order whose two nets differ; `payments` says why."""

    day: str
    order: str
    currency: str
    by_orders: Decimal
    by_payments: Decimal
    payments: str

    @property
    def difference(self) -> Decimal:
        """How much more the order counts for by orders than by payments."""
        return self.by_orders - self.by_payments


@dataclass(slots=True)
class Sums:
    """Sums of the orders of a day, sent or reported; `known` is False if the amounts of an order are unknown."""

    orders: int = 0
    gross: Decimal = ZERO
    approved: Decimal = ZERO
    refunded: Decimal = ZERO
    net_by_orders: Decimal = ZERO
    known: bool = True

    @property
    def net_by_payments(self) -> Decimal:
        """Approved less refunded payments."""
        return self.approved - self.refunded

    def add(self, total: Decimal | None, payments: PaymentTotals) -> None:
        """Add one order."""
        self.orders += 1
        self.gross += total or ZERO
        self.net_by_orders += payments.net_of_order(total or ZERO)
        self.approved += payments.approved
        self.refunded += payments.refunded
        self.known = self.known and total is not None


@dataclass(slots=True)
class Day:
    """The orders of one day in one currency. Refunds count on the day of their order."""

    day: str
    currency: str
    sent: Sums = field(default_factory=Sums)
    reported: Sums = field(default_factory=Sums)
    differing: int = 0
    waiting: int = 0

    @property
    def verdict(self) -> str:
        """Result of the day: differs, waits, unknown or equal."""
        if self.differing:
            return "differs"
        if self.waiting:
            return "waits"
        if not self.sent.known:
            return "unknown"
        return "equal" if self.sent == self.reported else "differs"


@dataclass(slots=True)
class Comparison:
    """The result.

    `ambiguous_orders` are reported orders whose two nets differ. `foreign_orders` counts reported orders of source
    systems that were never sent, by system. `unknown_amounts` counts sent orders whose amounts are unknown.
    """

    days: list[Day]
    differences: list[Difference]
    ambiguous_orders: list[AmbiguousOrder]
    systems: list[str]
    foreign_orders: dict[str, int]
    unknown_amounts: int
    zone: str
    first: str
    last: str
    at: str
    notes: list[str]
    #: the share by which the net of the compared days may differ in each currency, such as 0.03
    tolerance: Decimal = ZERO

    @property
    def differing(self) -> list[Difference]:
        """Differences that Wicked's next processing will not resolve."""
        return [difference for difference in self.differences if not difference.waits]

    @property
    def waiting(self) -> list[Difference]:
        """Differences that Wicked's next processing should resolve."""
        return [difference for difference in self.differences if difference.waits]

    @property
    def totals(self) -> list[Day]:
        """The sums over all days, one for each currency."""
        return _totals(self.days)

    @property
    def within_tolerance(self) -> bool:
        """Whether both nets of every currency differ by no more than the tolerance.

        Days with orders that Wicked has not processed yet are left out, unless all compared days are such days.
        """
        totals = _totals([day for day in self.days if not day.waiting] or self.days)
        if not self.tolerance or any(not total.sent.known for total in totals):
            return False
        return all(
            abs(reported - sent) <= self.tolerance * abs(sent)
            for total in totals
            for sent, reported in (
                (total.sent.net_by_orders, total.reported.net_by_orders),
                (total.sent.net_by_payments, total.reported.net_by_payments),
            )
        )

    @property
    def nothing_reported(self) -> bool:
        """Return whether Wicked reports none of the orders, all sent recently: it may be the wrong account."""
        return bool(self.waiting) and not self.differing and not any(day.reported.orders for day in self.days)

    @property
    def verdict(self) -> str:
        """The result as a sentence."""
        if self.nothing_reported:
            orders = len({difference.order for difference in self.waiting})
            return (
                f"Cannot tell yet: Wicked Reports reports none of {_counted(orders, 'order')}, sent too recently to be "
                "processed. Run this again tomorrow; if they are still missing, check that both configurations use the "
                "same account."
            )
        if self.differing and self.within_tolerance:
            orders = len({difference.order for difference in self.differing})
            share = f"{self.tolerance * 100:f}".rstrip("0").rstrip(".")
            return f"Within the tolerance of {share}%: {_counted(orders, 'order')} not as sent; see the differences."
        if self.differing:
            orders = len({difference.order for difference in self.differing})
            return f"Differs: {_counted(orders, 'order')} not as sent; see the list of differences."
        if self.unknown_amounts:
            return (
                f"Cannot tell: the amounts of {_counted(self.unknown_amounts, 'order')} are not in the ledger. Give "
                "the RECORD lines that were piped into the destination with --sent."
            )
        if self.waiting:
            orders = len({difference.order for difference in self.waiting})
            in_doubt = len({difference.order for difference in self.waiting if IN_DOUBT_NOTE in difference.note})
            advice = (
                f" {in_doubt:,} of them in doubt: run this again tomorrow, before any is resent." if in_doubt else ""
            )
            return f"Equal, except {_counted(orders, 'order')} that Wicked Reports has not processed yet.{advice}"
        return "Equal to the cent." if self.days else "Nothing to compare: no order on either side."

    @property
    def code(self) -> int:
        """The exit code: 0 equal, 1 differs, 2 cannot tell."""
        if self.differing and not self.within_tolerance:
            return 1
        return 2 if self.unknown_amounts or self.nothing_reported else 0


def compare(
    expected: Expected,
    reported: ReportedOrders,
    *,
    grace_seconds: float,
    zone: tzinfo,
    first: date | None = None,
    last: date | None = None,
    tolerance: Decimal = ZERO,
) -> Comparison:
    """Compare sent and reported orders of the days from `first` to `last` in `zone`, both inclusive.

    Rows sent less than `grace_seconds` before the read may not be processed yet. Reported orders of other source
    systems are counted and left out. `tolerance` is the share by which net may differ.
    """
    comparison = _Comparer(expected, reported, reported.at - grace_seconds, zone, (first, last)).result()
    comparison.tolerance = tolerance
    return comparison


class _Comparer:
    def __init__(
        self,
        expected: Expected,
        reported: ReportedOrders,
        processed_until: float,
        zone: tzinfo,
        span: tuple[date | None, date | None],
    ) -> None:
        self._expected, self._zone, self._at = expected, zone, reported.at
        #: UNIX seconds; Wicked should have processed every row that was sent before
        self._processed_until = processed_until
        self._first, self._last = (day.isoformat() if day else "" for day in span)
        self._reported = match_unknown_systems(reported, expected.orders)
        self._days: dict[tuple[str, str], Day] = {}
        self._differences: list[Difference] = []
        self._ambiguous_orders: list[AmbiguousOrder] = []
        self._foreign_orders: dict[str, int] = {}
        self._unknown_amounts = 0

    def result(self) -> Comparison:
        for order_id, order in self._expected.orders.items():
            self._compare_order(order_id, order, self._reported.get(order_id, []))
        for order_id in self._reported.keys() - self._expected.orders.keys():
            self._add_unsent(order_id, self._reported[order_id])
        return Comparison(
            days=[self._days[key] for key in sorted(self._days)],
            differences=sorted(self._differences, key=lambda d: (d.waits, d.day, d.order, d.field)),
            ambiguous_orders=sorted(self._ambiguous_orders, key=lambda order: (order.day, order.order)),
            systems=sorted(self._expected.systems),
            foreign_orders=dict(sorted(self._foreign_orders.items())),
            unknown_amounts=self._unknown_amounts,
            zone=str(self._zone),
            first=self._first,
            last=self._last,
            at=f"{datetime.fromtimestamp(self._at, timezone.utc):%Y-%m-%d %H:%M} UTC",
            notes=self._expected.notes,
        )

    # -- one order --------------------------------------------------------------------------------------------------

    def _compare_order(self, order_id: OrderId, order: SentOrder, reported: list[ReportedOrder]) -> None:
        """Compare a sent order with the reported orders that have its id."""
        date_ = self._day(order.date or (reported[0].date if reported else ""))
        if not self._is_inside(date_):
            return
        day = self._day_of(date_, order.currency or (reported[0].currency if reported else ""))
        if order.at is not None:
            day.sent.add(order.total, order.payments)
        for one in reported:
            self._add_reported(order_id, one, self._day_of(date_, one.currency or day.currency))
        self._unknown_amounts += order.total is None
        note = "; ".join(order.notes)
        before = len(self._differences)
        for name, sent_value, reported_value, waits in self._differing_fields(order, reported):
            notes = "; ".join(filter(None, (note, WAITING if waits else "")))
            self._differences.append(
                Difference(date_, display_id(order_id), name, sent_value, reported_value, notes, waits)
            )
        found = self._differences[before:]
        day.differing += any(not difference.waits for difference in found)
        day.waiting += bool(found) and all(difference.waits for difference in found)

    def _differing_fields(
        self, order: SentOrder, reported: list[ReportedOrder]
    ) -> Iterator[tuple[str, str, str, bool]]:
        """Yield each field that differs: its name, the sent value, the reported value, and whether it waits."""
        if not reported:
            waits = order.at is not None and order.at > self._processed_until
            yield "order", NOTHING if NOT_SENT in order.notes else _amount(order.total, order.currency), NOTHING, waits
            return
        if len(reported) > 1:
            yield "order", "once", f"{len(reported)} times", False
        if order.total is None:
            return
        first = reported[0]
        if order.at is None:
            yield "order", NOTHING, _amount(first.total, first.currency), False
        if PAYMENTS_NOT_SENT in order.notes:
            yield "payments", "not all sent", NOTHING, False
        if order.total != first.total:
            yield "OrderTotal", str(order.total), str(first.total), False
        if order.currency and first.currency and order.currency.upper() != first.currency.upper():
            yield "OrderCurrency", order.currency, first.currency, False
        if order.date and order.date != first.date:
            yield "CreateDate", order.date, first.date or NOTHING, False
        sent_totals, reported_totals = order.payments, first.payments
        if sent_totals.money(order.total) == reported_totals.money(order.total):
            return
        waits = self._is_earlier_state(order, reported_totals)
        sums = (
            ("approved", sent_totals.approved, reported_totals.approved),
            ("refunded", sent_totals.refunded, reported_totals.refunded),
        )
        if all(sent_sum == reported_sum for _, sent_sum, reported_sum in sums):
            if sent_totals.number != reported_totals.number:
                yield "payments", f"{sent_totals.number} payments", f"{reported_totals.number} payments", waits
            else:
                yield "payments", str(sent_totals), str(reported_totals), waits
        for name, sent_sum, reported_sum in sums:
            if sent_sum != reported_sum:
                yield name, str(sent_sum), str(reported_sum), waits

    def _is_earlier_state(self, order: SentOrder, reported: PaymentTotals) -> bool:
        """Return whether Wicked reports the order as it was before rows that it may not have processed yet."""
        processed = [index for index, step in enumerate(order.steps) if step.at <= self._processed_until]
        candidates = order.steps[processed[-1] if processed else 0 : -1]
        total = order.total or ZERO
        return any(step.payments.money(total) == reported.money(total) for step in candidates)

    def _add_unsent(self, order_id: OrderId, reported: list[ReportedOrder]) -> None:
        """Count an order that was never sent: a difference if its source system was sent, else a foreign order."""
        date_ = self._day(reported[0].date)
        if not self._is_inside(date_):
            return
        if order_id[0] not in self._expected.systems:
            system = order_id[0] or "no source system"
            self._foreign_orders[system] = self._foreign_orders.get(system, 0) + len(reported)
            return
        for one in reported:
            day = self._day_of(date_, one.currency)
            self._add_reported(order_id, one, day)
            day.differing += 1
            total = _amount(one.total, one.currency)
            self._differences.append(
                Difference(date_, display_id(order_id), "order", NOTHING, total, "never sent from here")
            )

    def _add_reported(self, order_id: OrderId, order: ReportedOrder, day: Day) -> None:
        day.reported.add(order.total, order.payments)
        if order.nets_differ:
            nets = order.payments.net_of_order(order.total), order.payments.net
            self._ambiguous_orders.append(
                AmbiguousOrder(day.day, display_id(order_id), day.currency, *nets, str(order.payments))
            )

    # -- days -------------------------------------------------------------------------------------------------------

    def _day_of(self, day: str, currency: str) -> Day:
        return self._days.setdefault((day, currency), Day(day, currency))

    def _is_inside(self, day: str) -> bool:
        """Return whether a day is compared; an undated order always is."""
        return day == UNDATED or (day >= self._first and (not self._last or day <= self._last))

    def _day(self, moment: str) -> str:
        if not moment:
            return UNDATED
        try:
            return datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).astimezone(self._zone).date().isoformat()
        except OverflowError:  # a day before the year 1 or after 9999
            return moment[:10]


def _totals(days: Iterable[Day]) -> list[Day]:
    found: dict[str, Day] = {}
    for day in days:
        total = found.setdefault(day.currency, Day("total", day.currency))
        for sums, one in ((total.sent, day.sent), (total.reported, day.reported)):
            sums.orders += one.orders
            sums.gross += one.gross
            sums.approved += one.approved
            sums.refunded += one.refunded
            sums.net_by_orders += one.net_by_orders
            sums.known = sums.known and one.known
        total.differing += day.differing or day.verdict == "differs"
        total.waiting += day.waiting
    return [found[currency] for currency in sorted(found)]


def _amount(total: Decimal | None, currency: str) -> str:
    return "sent" if total is None else f"{total} {currency}".rstrip()


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
