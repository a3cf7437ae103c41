"""The processed inbound rows: contacts, orders and clicks as the outbound API serves them.

Each processing builds a new snapshot from the whole inbound store. Values derived from other rows (LTV, a click's
flags, attributions, payments) therefore always match those rows, and rows posted later are not in it
(docs/vendors/wicked-reports.md 5.4, 8.1).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ...clock import parse_instant
from ...oracle import cents
from ..net import order_net
from ..persons import Directory
from ..store import Row, WickedStore

RESOURCES = ("contacts", "orders", "clicks")
#: the account's zone [guess]: in the reference's sample, payments are 4 hours before the order's UTC date (5.3)
EASTERN = ZoneInfo("America/New_York")
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d\d))?")
#: a custom click of this type is an opt-in (2.8) [guess]
_OPT_IN = "NEW_LEAD"


class Journey:
    """The clicks that count: first, last, first opt-in, and the newest later opt-in."""

    def __init__(self, clicks: Sequence[Click], opt_ins: Sequence[Click]) -> None:
        self.first = clicks[0] if clicks else None
        self.last = clicks[-1] if clicks else None
        self.opt_in = opt_ins[0] if opt_ins else None
        self.reopt_in = opt_ins[-1] if len(opt_ins) > 1 else None


@dataclass(eq=False)
class Contact:
    """One contact; with `wicked.known_email` on `update_names`, all contact rows of an e-mail address are one."""

    number: int
    id: str
    row: Row
    at: int
    names: dict[str, str | None]
    numbers: list[int] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    @cached_property
    def journey(self) -> Journey:
        """The journey over all clicks; cached, so read it only when the snapshot is complete."""
        return Journey(self.clicks, self._opt_ins)

    @cached_property
    def _opt_ins(self) -> list[Click]:
        return [click for click in self.clicks if click.opts_in]

    def journey_until(self, at: int) -> Journey | None:
        """Return the journey up to an instant, or None before the first click."""
        known = self.clicks[: bisect_right(self.clicks, at, key=_instant)]
        return Journey(known, self._opt_ins[: bisect_right(self._opt_ins, at, key=_instant)]) if known else None

    @property
    def lifetime_value(self) -> Decimal:
        """LTV: the net of all orders, counted as the switch `wicked.net` says [guess]."""
        return sum((order.net for order in self.orders), Decimal(0))


@dataclass(eq=False)
class Click:
    """One click of a known contact."""

    number: int
    contact: Contact
    row: Row
    at: int

    @property
    def opts_in(self) -> bool:
        """Whether this click is an opt-in."""
        return bool(self.row["ConversionType"] == _OPT_IN)


@dataclass(eq=False)
class Order:
    """One order with its items and payments, nested or posted; `contact` is None if it is unknown."""

    number: int
    id: str
    contact: Contact | None
    row: Row
    at: int
    items: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    net: Decimal = Decimal(0)


Record = Contact | Order | Click


@lru_cache(maxsize=256)
def _zone(name: str) -> timezone | ZoneInfo:
    """Parse the zone of a custom click: an offset such as `UTC-5`, or a zone's name; anything else is UTC [guess]."""
    if match := _OFFSET.fullmatch(name.strip()):
        sign, hours, minutes = match.groups()
        shift = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-shift if sign == "-" else shift)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return timezone.utc


def _clicked_at(row: Row) -> int:
    """Return the instant of a custom click: local to its zone, less TimeOffset minutes (2.8)."""
    text, zone = row["Date_Time"], _zone(str(row["Timezone"]))
    at = parse_instant(text)
    if zone is not timezone.utc:
        at = int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())
    return at - 60 * int(row.get("TimeOffset") or 0)


class Ids:
    """Wicked's own ids; a row keeps its id from one snapshot to the next."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], int] = {}

    def of(self, prefix: str, number: int, taken: set[str], *key: object) -> str:
        """Return the id for a key; a second row with the same key (switch `both_kept`) gets its own."""
        name = f"{prefix}-{1_000_000 + self._numbers.setdefault((prefix, *key), number)}"
        if name in taken:
            name = f"{prefix}-{1_000_000 + number}"
        taken.add(name)
        return name


class Snapshot:
    """All processed records, each kind sorted by date, and contacts by everything they can be requested by."""

    def __init__(self, store: WickedStore, switches: Mapping[str, str], ids: Ids, flipped: frozenset[int]) -> None:
        self.products = {str(row["SourceID"]): str(row["ProductName"]) for row in store.listed("products")}
        self.flipped = flipped
        self._directory: Directory[Contact] = Directory()
        self._taken: set[str] = set()
        self._kinds: dict[str, list[Record]] = {
            "contacts": list(self._contacts(store, ids, merged=switches["wicked.known_email"] == "update_names")),
            "orders": list(self._orders(store, switches, ids)),
            "clicks": list(self._clicks(store)),
        }
        self._by_id = {contact.id: contact for contact in self.contacts()}
        for records in self._kinds.values():
            records.sort(key=_by_date)
        for contact in self.contacts():
            contact.clicks.sort(key=_by_date)
            contact.orders.sort(key=_by_date)
        self._dates = {kind: [record.at for record in records] for kind, records in self._kinds.items()}

    def contacts(self) -> list[Contact]:
        """Return every contact."""
        return [record for record in self._kinds["contacts"] if isinstance(record, Contact)]

    def records(self, kind: str) -> list[Record]:
        """Return every record of one kind, oldest first."""
        return self._kinds[kind]

    def within(self, kind: str, start: int, end: int) -> list[Record]:
        """Return the records with `start <= date < end`, oldest first."""
        dates = self._dates[kind]
        return self._kinds[kind][bisect_left(dates, start) : bisect_left(dates, end)]

    def find(self, name: str) -> Contact | None:
        """Return a contact by Wicked's id, its id in the source system, or its e-mail address (S1)."""
        return (
            self._by_id.get(name)
            or self._directory.by_source_id.get(name)
            or self._directory.by_email.get(name.lower())
        )

    def _contacts(self, store: WickedStore, ids: Ids, *, merged: bool) -> Iterator[Contact]:
        for number, row in store.rows["contacts"].items():
            system, source_id, email = str(row["SourceSystem"]), str(row["SourceID"]), str(row["Email"]).lower()
            known = self._directory.by_email.get(email) if merged else None
            names = {name: row.get(name) or None for name in ("FirstName", "LastName")}
            if known is None:
                key = (email,) if merged else (system, source_id)
                id_ = ids.of("SM", number, self._taken, *key)
                known = Contact(number, id_, row, parse_instant(row["CreateDate"]), names)
                yield known
            else:
                known.names.update({name: value for name, value in names.items() if value})
            known.numbers.append(number)
            self._directory.add(row, known)

    def _orders(self, store: WickedStore, switches: Mapping[str, str], ids: Ids) -> Iterator[Order]:
        by_key: dict[tuple[str, str], Order] = {}
        orders: list[Order] = []
        for number, row in store.rows["orders"].items():
            system, source_id = str(row["SourceSystem"]), str(row["SourceID"])
            contact = self._directory.person(row, switches)
            id_ = ids.of("SMO", number, self._taken, system, source_id)
            order = Order(number, id_, contact, row, parse_instant(row["CreateDate"]))
            by_key.setdefault((system, source_id), order)
            if contact is not None:
                contact.orders.append(order)
            orders.append(order)
        for endpoint in ("orderitems", "orderpayments"):
            for row in store.rows[endpoint].values():
                owner = by_key.get((str(row["SourceSystem"]), str(row["OrderID"])))
                if owner is not None:
                    (owner.items if endpoint == "orderitems" else owner.payments).append(row)
        for order in orders:
            order.net = order_net(cents(order.row["OrderTotal"]), order.payments, switches).selected
            yield order

    def _clicks(self, store: WickedStore) -> Iterator[Click]:
        for number, row in store.rows["clicks"].items():
            contact = self._directory.by_email.get(str(row["Email"]).lower())
            if contact is not None:  # a click needs a contactId, so clicks of unknown contacts are left out [guess]
                click = Click(number, contact, row, _clicked_at(row))
                contact.clicks.append(click)
                yield click


def _instant(click: Click) -> int:
    return click.at


def _by_date(record: Record) -> tuple[int, int]:
    return record.at, record.number
