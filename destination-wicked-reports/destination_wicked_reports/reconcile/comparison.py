"""Both sides, order by order and day by day: what is equal, what differs, and what Wicked has yet to process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timezone, tzinfo
from decimal import Decimal

from destination_wicked_reports.reconcile.expected import NOT_SENT, PAYMENTS_NOT_SENT, Expected
from destination_wicked_reports.reconcile.ledger_reader import HELD_NOTE
from destination_wicked_reports.reconcile.orders import NIL, Name, Paid, SentOrder, ShownOrder, shown_name
from destination_wicked_reports.reconcile.reported import Shown, named

#: The day of an order that Wicked does not show and whose records were not given.
UNDATED = "undated"
NOTHING = "-"
WAITING = "not yet processed"


@dataclass(slots=True, frozen=True)
class Difference:
    """One field of one order that is not the same on both sides; `waits` if the next processing should mend it."""

    day: str
    order: str
    field: str
    ours: str
    theirs: str
    note: str = ""
    waits: bool = False


@dataclass(slots=True)
class Sums:
    """What the orders of a day come to on one side; `known` says that all amounts of these orders are known."""

    orders: int = 0
    gross: Decimal = NIL
    approved: Decimal = NIL
    refunded: Decimal = NIL
    known: bool = True

    @property
    def net(self) -> Decimal:
        """What was approved less what was refunded."""
        return self.approved - self.refunded

    def add(self, total: Decimal | None, paid: Paid) -> None:
        """Count one more order."""
        self.orders += 1
        self.gross += total or NIL
        self.approved += paid.approved
        self.refunded += paid.refunded
        self.known = self.known and total is not None


@dataclass(slots=True)
class Day:
    """The orders of one day in one currency, on both sides. Refunds count on the day of their order."""

    day: str
    currency: str
    ours: Sums = field(default_factory=Sums)
    theirs: Sums = field(default_factory=Sums)
    differing: int = 0
    waiting: int = 0

    @property
    def verdict(self) -> str:
        """Tell in one word how the day stands."""
        if self.differing:
            return "differs"
        if self.waiting:
            return "waits"
        if not self.ours.known:
            return "unknown"
        return "equal" if self.ours == self.theirs else "differs"


@dataclass(slots=True)
class Comparison:
    """The whole result; `strangers` counts Wicked's orders of source systems that the destination never sent."""

    days: list[Day]
    differences: list[Difference]
    systems: list[str]
    strangers: dict[str, int]
    unmeasured: int
    zone: str
    first: str
    last: str
    at: str
    notes: list[str]

    @property
    def differing(self) -> list[Difference]:
        """The differences that stay."""
        return [difference for difference in self.differences if not difference.waits]

    @property
    def waiting(self) -> list[Difference]:
        """The differences that Wicked's next processing should mend."""
        return [difference for difference in self.differences if difference.waits]

    @property
    def untold(self) -> bool:
        """Tell whether Wicked shows nothing at all of what was sent lately: that proves neither this nor that."""
        return bool(self.waiting) and not self.differing and not any(day.theirs.orders for day in self.days)

    @property
    def verdict(self) -> str:
        """Answer the question in a sentence."""
        if self.untold:
            orders = len({difference.order for difference in self.waiting})
            return (
                f"Cannot tell yet: Wicked Reports shows none of {_counted(orders, 'order')}, sent too lately to be "
                "processed. Run this again tomorrow; if they are still missing, compare the two configs' accounts."
            )
        if self.differing:
            orders = len({difference.order for difference in self.differing})
            return f"Differs: {_counted(orders, 'order')} not as sent, row by row below."
        if self.unmeasured:
            return (
                f"Cannot tell: the amounts of {_counted(self.unmeasured, 'order')} are not in the ledger. Give the "
                "RECORD lines that were piped into the destination with --sent."
            )
        if self.waiting:
            orders = len({difference.order for difference in self.waiting})
            held = len({difference.order for difference in self.waiting if HELD_NOTE in difference.note})
            unsure = f" {held:,} of them held: run this again tomorrow, before any is replayed." if held else ""
            return f"Equal, but for {_counted(orders, 'order')} that Wicked Reports has not processed yet.{unsure}"
        return "Equal to the cent." if self.days else "Nothing to compare: no order on either side."

    @property
    def code(self) -> int:
        """The exit code: 0 equal, 1 differs, 2 cannot tell."""
        return 1 if self.differing else 2 if self.unmeasured or self.untold else 0


def compare(
    expected: Expected,
    shown: Shown,
    *,
    grace_seconds: float,
    zone: tzinfo,
    first: date | None = None,
    last: date | None = None,
) -> Comparison:
    """Compare what was sent with what is shown, for the orders of the days from `first` to `last` in `zone`.

    What was sent less than `grace_seconds` before the read may be missing yet. Wicked's orders of other source systems
    are counted and left out.
    """
    return _Comparer(expected, shown, shown.at - grace_seconds, zone, (first, last)).result()


class _Comparer:
    def __init__(
        self, expected: Expected, shown: Shown, settled: float, zone: tzinfo, span: tuple[date | None, date | None]
    ) -> None:
        self._expected, self._settled, self._zone, self._at = expected, settled, zone, shown.at
        self._first, self._last = (day.isoformat() if day else "" for day in span)
        self._theirs = named(shown, expected.orders)
        self._days: dict[tuple[str, str], Day] = {}
        self._differences: list[Difference] = []
        self._strangers: dict[str, int] = {}
        self._unmeasured = 0

    def result(self) -> Comparison:
        for name, order in self._expected.orders.items():
            self._sent(name, order, self._theirs.get(name, []))
        for name in self._theirs.keys() - self._expected.orders.keys():
            self._unexpected(name, self._theirs[name])
        return Comparison(
            days=[self._days[key] for key in sorted(self._days)],
            differences=sorted(self._differences, key=lambda d: (d.waits, d.day, d.order, d.field)),
            systems=sorted(self._expected.systems),
            strangers=dict(sorted(self._strangers.items())),
            unmeasured=self._unmeasured,
            zone=str(self._zone),
            first=self._first,
            last=self._last,
            at=f"{datetime.fromtimestamp(self._at, timezone.utc):%Y-%m-%d %H:%M} UTC",
            notes=self._expected.notes,
        )

    # -- one order --------------------------------------------------------------------------------------------------

    def _sent(self, name: Name, order: SentOrder, theirs: list[ShownOrder]) -> None:
        """Compare an order that was sent with what Wicked has under its name."""
        date_ = order.date or (theirs[0].date if theirs else "")
        place = self._day(date_)
        if not self._inside(place):
            return
        day = self._of(place, order.currency or (theirs[0].currency if theirs else ""))
        if order.at is not None:
            day.ours.add(order.total, order.paid)
        for shown in theirs:
            self._of(place, shown.currency or day.currency).theirs.add(shown.total, shown.paid)
        self._unmeasured += order.total is None
        note = "; ".join(order.notes)
        before = len(self._differences)
        for field_, ours, shown_, waits in self._fields(order, theirs):
            words = "; ".join(filter(None, (note, WAITING if waits else "")))
            self._differences.append(Difference(place, shown_name(name), field_, ours, shown_, words, waits))
        found = self._differences[before:]
        day.differing += any(not difference.waits for difference in found)
        day.waiting += bool(found) and all(difference.waits for difference in found)

    def _fields(self, order: SentOrder, theirs: list[ShownOrder]) -> Iterator[tuple[str, str, str, bool]]:
        """Yield each field that differs: its name, ours, theirs, and whether it waits for Wicked."""
        if not theirs:
            fresh = order.at is not None and order.at > self._settled
            yield "order", NOTHING if NOT_SENT in order.notes else _amount(order.total, order.currency), NOTHING, fresh
            return
        if len(theirs) > 1:
            yield "order", "once", f"{len(theirs)} times", False
        if order.total is None:
            return
        shown = theirs[0]
        if order.at is None:
            yield "order", NOTHING, _amount(shown.total, shown.currency), False
        if PAYMENTS_NOT_SENT in order.notes:
            yield "payments", "not all sent", NOTHING, False
        if order.total != shown.total:
            yield "OrderTotal", str(order.total), str(shown.total), False
        if order.currency and shown.currency and order.currency.upper() != shown.currency.upper():
            yield "OrderCurrency", order.currency, shown.currency, False
        if order.date and order.date != shown.date:
            yield "CreateDate", order.date, shown.date or NOTHING, False
        if not order.paid.agrees(shown.paid):
            waits = self._on_its_way(order, shown.paid)
            if order.paid[:2] == shown.paid[:2]:
                yield "payments", f"{order.paid.number} payments", f"{shown.paid.number} payments", waits
            for number, field_ in enumerate(("approved", "refunded")):
                if order.paid[number] != shown.paid[number]:
                    yield field_, str(order.paid[number]), str(shown.paid[number]), waits

    def _on_its_way(self, order: SentOrder, shown: Paid) -> bool:
        """Tell whether Wicked shows the order as it stood before rows that were sent too lately to be processed."""
        old = [number for number, step in enumerate(order.steps) if step.at <= self._settled]
        return any(step.paid.agrees(shown) for step in order.steps[old[-1] if old else 0 : -1])

    def _unexpected(self, name: Name, theirs: list[ShownOrder]) -> None:
        """Count an order that was never sent: a difference if its source system is one of ours."""
        place = self._day(theirs[0].date)
        if not self._inside(place):
            return
        if name[0] not in self._expected.systems:
            system = name[0] or "no source system"
            self._strangers[system] = self._strangers.get(system, 0) + len(theirs)
            return
        for shown in theirs:
            day = self._of(place, shown.currency)
            day.theirs.add(shown.total, shown.paid)
            day.differing += 1
            total = _amount(shown.total, shown.currency)
            self._differences.append(
                Difference(place, shown_name(name), "order", NOTHING, total, "never sent from here")
            )

    # -- days -------------------------------------------------------------------------------------------------------

    def _of(self, day: str, currency: str) -> Day:
        return self._days.setdefault((day, currency), Day(day, currency))

    def _inside(self, day: str) -> bool:
        """An order without a day cannot be said to lie outside."""
        return day == UNDATED or (day >= self._first and (not self._last or day <= self._last))

    def _day(self, moment: str) -> str:
        if not moment:
            return UNDATED
        return datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).astimezone(self._zone).date().isoformat()


def _amount(total: Decimal | None, currency: str) -> str:
    return "sent" if total is None else f"{total} {currency}".rstrip()


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
