"""What Wicked has processed of its inbound rows: contacts, orders and clicks as the outbound API tells them.

A book is a snapshot. It is made anew from the whole inbound store at a processing tick, so that what follows from other
rows (LTV, the four flags of a click, attributions, payments) is always what those rows say, and so that rows
posted since the tick are not in it (wicked-facts 5.4, 8.1).
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
from ...wecantrack.oracle import cents
from ..store import Row, WickedStore

RESOURCES = ("contacts", "orders", "clicks")
#: the account's zone: in the reference's sample, payments are 4 hours before the order's UTC date (5.3) [guess].
EASTERN = ZoneInfo("America/New_York")
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d\d))?")
#: a custom click of this type is an opt-in (2.8) [guess].
_OPT_IN = "NEW_LEAD"


class Journey:
    """The clicks that count: first, last, the first opt-in, and the newest opt-in after that one."""

    def __init__(self, clicks: Sequence[Click], opt_ins: Sequence[Click]) -> None:
        self.first = clicks[0] if clicks else None
        self.last = clicks[-1] if clicks else None
        self.opt_in = opt_ins[0] if opt_ins else None
        self.again = opt_ins[-1] if len(opt_ins) > 1 else None


@dataclass(eq=False)
class Contact:
    """One person; with `wicked.known_email` on `update_names` all contact rows of an e-mail are one."""

    place: int
    id: str
    row: Row
    at: int
    names: dict[str, str | None]
    places: list[int] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    @cached_property
    def journey(self) -> Journey:
        """Return what counts of all clicks; only once all of them are known."""
        return Journey(self.clicks, self._opt_ins)

    @cached_property
    def _opt_ins(self) -> list[Click]:
        return [click for click in self.clicks if click.opts_in]

    def journey_until(self, at: int) -> Journey | None:
        """Return what counted at an instant, or None before the first click."""
        known = self.clicks[: bisect_right(self.clicks, at, key=_instant)]
        return Journey(known, self._opt_ins[: bisect_right(self._opt_ins, at, key=_instant)]) if known else None

    @property
    def lifetime_value(self) -> Decimal:
        """Return LTV: what is left of all orders, net [guess]."""
        return sum((order.net for order in self.orders), Decimal(0))


@dataclass(eq=False)
class Click:
    """One click of a known contact."""

    place: int
    contact: Contact
    row: Row
    at: int

    @property
    def opts_in(self) -> bool:
        """Tell whether the contact left an address with this click."""
        return bool(self.row["ConversionType"] == _OPT_IN)


@dataclass(eq=False)
class Order:
    """One order with its items and payments, nested or posted; `contact` is None when nobody knows it."""

    place: int
    id: str
    contact: Contact | None
    row: Row
    at: int
    items: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)

    @property
    def net(self) -> Decimal:
        """Return approved payments less refunds (wicked-facts 3.3)."""
        signs = {"APPROVED": 1, "REFUNDED": -1, "PARTIALLY REFUNDED": -1}
        return sum((cents(row["Amount"]) * signs.get(status_of(row), 0) for row in self.payments), Decimal(0))


Record = Contact | Order | Click


def status_of(payment: Row) -> str:
    """Return a payment's status; an empty one counts as APPROVED (2.5)."""
    return str(payment["Status"] or "APPROVED").upper()


@lru_cache(maxsize=256)
def _zone(name: str) -> timezone | ZoneInfo:
    """Read the zone of a custom click: `UTC-5`, a zone's name; what is neither counts as UTC [guess]."""
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
    """Wicked's own ids; a row keeps its id from one processing to the next."""

    def __init__(self) -> None:
        self._given: dict[tuple[object, ...], int] = {}

    def of(self, prefix: str, place: int, taken: set[str], *key: object) -> str:
        """Return the id of what `key` names; a second row of the same key (`both_kept`) has its own."""
        number = self._given.setdefault((prefix, *key), place)
        name = f"{prefix}-{1_000_000 + number}"
        if name in taken:
            name = f"{prefix}-{1_000_000 + place}"
        taken.add(name)
        return name


class Book:
    """All processed records, each kind by date, and what a contact may be asked for by."""

    def __init__(self, store: WickedStore, switches: Mapping[str, str], ids: Ids, flipped: frozenset[int]) -> None:
        self.products = {str(row["SourceID"]): str(row["ProductName"]) for row in store.listed("products")}
        self.flipped = flipped
        self._by_email: dict[str, Contact] = {}
        self._by_source: dict[tuple[str, str], Contact] = {}
        self._by_source_id: dict[str, Contact] = {}
        self._taken: set[str] = set()
        self._kinds: dict[str, list[Record]] = {
            "contacts": list(self._contacts(store, ids, merged=switches["wicked.known_email"] == "update_names")),
            "orders": list(self._orders(store, ids)),
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
        """Return everything of one kind, oldest first."""
        return self._kinds[kind]

    def within(self, kind: str, start: int, end: int) -> list[Record]:
        """Return the records with `start <= date < end`, oldest first."""
        dates = self._dates[kind]
        return self._kinds[kind][bisect_left(dates, start) : bisect_left(dates, end)]

    def find(self, name: str) -> Contact | None:
        """Return a contact by Wicked's id, by its id in the source system, or by its e-mail (S1)."""
        return self._by_id.get(name) or self._by_source_id.get(name) or self._by_email.get(name.lower())

    def _contacts(self, store: WickedStore, ids: Ids, *, merged: bool) -> Iterator[Contact]:
        for place, row in store.rows["contacts"].items():
            system, source_id, email = str(row["SourceSystem"]), str(row["SourceID"]), str(row["Email"]).lower()
            known = self._by_email.get(email) if merged else None
            names = {name: row.get(name) or None for name in ("FirstName", "LastName")}
            if known is None:
                key = (email,) if merged else (system, source_id)
                id_ = ids.of("SM", place, self._taken, *key)
                known = Contact(place, id_, row, parse_instant(row["CreateDate"]), names)
                yield known
            else:
                known.names.update({name: value for name, value in names.items() if value})
            known.places.append(place)
            self._by_email.setdefault(email, known)
            self._by_source.setdefault((system, source_id), known)
            self._by_source_id.setdefault(source_id, known)

    def _orders(self, store: WickedStore, ids: Ids) -> Iterator[Order]:
        by_key: dict[tuple[str, str], Order] = {}
        for place, row in store.rows["orders"].items():
            system, source_id = str(row["SourceSystem"]), str(row["SourceID"])
            contact = self._contact_of(row)
            id_ = ids.of("SMO", place, self._taken, system, source_id)
            order = Order(place, id_, contact, row, parse_instant(row["CreateDate"]))
            by_key.setdefault((system, source_id), order)
            if contact is not None:
                contact.orders.append(order)
            yield order
        for endpoint in ("orderitems", "orderpayments"):
            for row in store.rows[endpoint].values():
                owner = by_key.get((str(row["SourceSystem"]), str(row["OrderID"])))
                if owner is not None:
                    (owner.items if endpoint == "orderitems" else owner.payments).append(row)

    def _contact_of(self, order: Row) -> Contact | None:
        contact_id, email = order.get("ContactID"), str(order.get("ContactEmail") or "").lower()
        if contact_id:
            known = self._by_source.get((str(order["SourceSystem"]), str(contact_id)))
            if known or (known := self._by_source_id.get(str(contact_id))):
                return known
        return self._by_email.get(email)

    def _clicks(self, store: WickedStore) -> Iterator[Click]:
        for place, row in store.rows["clicks"].items():
            contact = self._by_email.get(str(row["Email"]).lower())
            if contact is not None:  # a reply must have a contactId, so nobody's click is not shown [guess]
                click = Click(place, contact, row, _clicked_at(row))
                contact.clicks.append(click)
                yield click


def _instant(click: Click) -> int:
    return click.at


def _by_date(record: Record) -> tuple[int, int]:
    return record.at, record.place
