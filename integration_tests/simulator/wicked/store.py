"""What Wicked holds: every accepted row, and counters for everything that should not have been sent.

There are two: the live store and the one behind the `test: 1` header, which never shows in reports (wicked-facts 1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .validation import KNOWN_FIELDS, NESTED, RULES

ENDPOINTS = tuple(RULES)
#: what makes a row the same row again: the vendor's ids, or, where there is none, every field (2.5, 2.7, 2.8).
KEYED = ("contacts", "orders", "orderitems", "products")

Row = dict[str, Any]


def identity(endpoint: str, row: Row) -> tuple[Any, ...]:
    """Return what a repeat of this row would share with it."""
    if endpoint == "orderitems":
        return (row["SourceSystem"], row["OrderID"], row["SourceID"])
    if endpoint in KEYED:
        return (row["SourceSystem"], str(row["SourceID"]))
    if endpoint == "orderpayments":
        return tuple(str(row.get(name)) for name in ("SourceSystem", "OrderID", "PaymentDate", "Amount", "Status"))
    return tuple(sorted((name, str(value)) for name, value in row.items() if name in KNOWN_FIELDS[endpoint]))


class WickedStore:
    """Rows by endpoint, in the order of their arrival; nested rows are also kept as what they stand for."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Row]] = {endpoint: {} for endpoint in ENDPOINTS}
        self.counters: Counter[str] = Counter()
        #: how often each key came, for those that came more than once
        self.repeated: dict[str, Counter[tuple[Any, ...]]] = {endpoint: Counter() for endpoint in ENDPOINTS}
        self._places: dict[str, dict[tuple[Any, ...], int]] = {endpoint: {} for endpoint in ENDPOINTS}
        self._emails: dict[str, int] = {}
        self._contact_ids: set[str] = set()
        self._children: dict[int, list[tuple[str, int]]] = {}
        self._next = 0
        #: moves with every change, so that the outbound side knows when its book is out of date
        self.revision = 0

    def add(self, endpoint: str, row: Row, switches: Mapping[str, str]) -> str | None:
        """Store one good row, or say why it is refused after all."""
        refusal = self._refusal(endpoint, row, switches)
        if refusal is not None:
            return refusal
        self.revision += 1
        self.counters[f"{endpoint}.received"] += 1
        self.counters[f"{endpoint}.unknown_fields"] += len(row.keys() - KNOWN_FIELDS[endpoint])
        key = identity(endpoint, row)
        place = self._places[endpoint].get(key)
        if place is not None:
            self.counters[f"{endpoint}.duplicates"] += 1
            self.repeated[endpoint][key] += 1
            policy = switches["wicked.duplicates" if endpoint in KEYED else "wicked.payments_repeated"]
            if policy in ("first_kept", "collapse"):
                return None
            if policy == "last_wins":
                self._drop(endpoint, place)
        self._keep(endpoint, key, row)
        if endpoint == "contacts":
            self._note_contact(row, switches)
        elif endpoint == "orders":
            self._note_order(row, switches)
        return None

    def _refusal(self, endpoint: str, row: Row, switches: Mapping[str, str]) -> str | None:
        if endpoint == "orders" and not self._knows_contact(row):
            self.counters["orders.unknown_contact"] += 1
            if switches["wicked.unknown_contact"] == "reject":
                return "ContactID does not exist"
        if endpoint in ("orderitems", "orderpayments") and not self.has_order(row):
            self.counters[f"{endpoint}.orphans"] += 1
            if switches["wicked.unknown_order"] == "row_error":
                return "OrderID does not exist"
        return None

    def has_order(self, row: Row) -> bool:
        """Tell whether the order that an item or a payment names is here; SourceSystem is part of its name."""
        return (row["SourceSystem"], str(row["OrderID"])) in self._places["orders"]

    def _knows_contact(self, row: Row) -> bool:
        email = str(row.get("ContactEmail") or "").lower()
        return (row.get("ContactID") or None) in self._contact_ids or email in self._emails

    def _keep(self, endpoint: str, key: tuple[Any, ...], row: Row) -> None:
        self._next += 1
        self.rows[endpoint][self._next] = row
        self._places[endpoint][key] = self._next
        self.counters[f"{endpoint}.stored"] += 1

    def _drop(self, endpoint: str, place: int) -> None:
        del self.rows[endpoint][place]
        self.counters[f"{endpoint}.stored"] -= 1
        for child_endpoint, child in self._children.pop(place, ()):
            self._drop(child_endpoint, child)

    def remove(self, endpoint: str, place: int) -> None:
        """Delete one row and what was nested in it, as if the vendor had; a later row may have its key again."""
        self.revision += 1
        key = identity(endpoint, self.rows[endpoint][place])
        if self._places[endpoint].get(key) == place:
            del self._places[endpoint][key]
        self._drop(endpoint, place)

    def amend(self, endpoint: str, place: int, **fields: Any) -> None:
        """Change fields of one row in place."""
        self.revision += 1
        self.rows[endpoint][place].update(fields)

    def _note_contact(self, row: Row, switches: Mapping[str, str]) -> None:
        email = str(row["Email"]).lower()
        known = self._emails.get(email)
        if known in self.rows["contacts"] and switches["wicked.known_email"] == "update_names":
            names = {name: row[name] for name in ("FirstName", "LastName") if row.get(name)}
            self.rows["contacts"][known].update(names)
        self._emails[email] = self._next
        self._contact_ids.add(str(row["SourceID"]))

    def _note_order(self, order: Row, switches: Mapping[str, str]) -> None:
        """File nested rows, and create the contact of an order that brings only an e-mail (native rule, [guess])."""
        place = self._next
        children = self._children[place] = []
        for name, (endpoint, _fields) in NESTED.items():
            for inner in order.get(name) or ():
                row = {**inner, "SourceSystem": order["SourceSystem"], "OrderID": order["SourceID"], "nested": True}
                if endpoint == "orderitems":
                    row["SourceID"] = row.pop("OrderItemID")
                self._keep(endpoint, identity(endpoint, row), row)
                children.append((endpoint, self._next))
        email = order.get("ContactEmail")
        if email and not self._knows_contact(order):
            contact = {
                "SourceSystem": order["SourceSystem"],
                "SourceID": order.get("ContactID") or email,
                "CreateDate": order["CreateDate"],
                "Email": email,
                "created_from_order": True,
            }
            self._keep("contacts", identity("contacts", contact), contact)
            self.counters["contacts.created_from_orders"] += 1
            self._note_contact(contact, switches)

    def listed(self, endpoint: str) -> list[Row]:
        """Return the rows of one endpoint in the order of their arrival."""
        return list(self.rows[endpoint].values())

    def repeats(self, most: int = 100) -> dict[str, dict[str, int]]:
        """Return how often the rows that came more than once came again, by endpoint; at most `most` of each."""
        return {
            endpoint: {"/".join(map(str, key)): count for key, count in counter.most_common(most)}
            for endpoint, counter in self.repeated.items()
            if counter
        }
