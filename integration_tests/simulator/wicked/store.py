"""The rows that Wicked Reports accepted, and counters of rows that should not have been sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .validation import KNOWN_FIELDS, NESTED, RULES

ENDPOINTS = tuple(RULES)
#: endpoints whose rows have the vendor's ids; rows of others repeat if all fields are equal (2.5, 2.7, 2.8)
KEYED = ("contacts", "orders", "orderitems", "products")

Row = dict[str, Any]


def identity(endpoint: str, row: Row) -> tuple[Any, ...]:
    """Return the key that two rows share if one repeats the other."""
    if endpoint == "orderitems":
        return (row["SourceSystem"], row["OrderID"], row["SourceID"])
    if endpoint in KEYED:
        return (row["SourceSystem"], str(row["SourceID"]))
    if endpoint == "orderpayments":
        return tuple(str(row.get(name)) for name in ("SourceSystem", "OrderID", "PaymentDate", "Amount", "Status"))
    return tuple(sorted((name, str(value)) for name, value in row.items() if name in KNOWN_FIELDS[endpoint]))


class WickedStore:
    """Rows by endpoint and row number, in order of arrival; nested rows are stored under their own endpoint, too."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Remove every row and counter."""
        self.rows: dict[str, dict[int, Row]] = {endpoint: {} for endpoint in ENDPOINTS}
        self.counters: Counter[str] = Counter()
        #: number of repetitions by key
        self.repeated: dict[str, Counter[tuple[Any, ...]]] = {endpoint: Counter() for endpoint in ENDPOINTS}
        self._numbers: dict[str, dict[tuple[Any, ...], int]] = {endpoint: {} for endpoint in ENDPOINTS}
        self._emails: dict[str, int] = {}
        self._contact_ids: set[str] = set()
        self._children: dict[int, list[tuple[str, int]]] = {}
        self._last = 0
        #: increases with every change; tells the outbound side whether its snapshot is current
        self.revision = 0

    def add(self, endpoint: str, row: Row, switches: Mapping[str, str]) -> str | None:
        """Store one valid row, or return why it is refused."""
        refusal = self._refusal(endpoint, row, switches)
        if refusal is not None:
            return refusal
        self.revision += 1
        self.counters[f"{endpoint}.received"] += 1
        self.counters[f"{endpoint}.unknown_fields"] += len(row.keys() - KNOWN_FIELDS[endpoint])
        key = identity(endpoint, row)
        number = self._numbers[endpoint].get(key)
        if number is not None:
            self.counters[f"{endpoint}.duplicates"] += 1
            self.repeated[endpoint][key] += 1
            policy = switches["wicked.duplicates" if endpoint in KEYED else "wicked.payments_repeated"]
            if policy in ("first_kept", "collapse"):
                return None
            if policy == "last_wins":
                self._drop(endpoint, number)
        self._insert(endpoint, key, row)
        if endpoint == "contacts":
            self._index_contact(row, switches)
        elif endpoint == "orders":
            self._index_order(row, switches)
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
        """Return whether the order of an item or a payment is stored; SourceSystem is part of its key."""
        return (row["SourceSystem"], str(row["OrderID"])) in self._numbers["orders"]

    def _knows_contact(self, row: Row) -> bool:
        email = str(row.get("ContactEmail") or "").lower()
        return (row.get("ContactID") or None) in self._contact_ids or email in self._emails

    def _insert(self, endpoint: str, key: tuple[Any, ...], row: Row) -> None:
        self._last += 1
        self.rows[endpoint][self._last] = row
        self._numbers[endpoint][key] = self._last
        self.counters[f"{endpoint}.stored"] += 1

    def _drop(self, endpoint: str, number: int) -> None:
        del self.rows[endpoint][number]
        self.counters[f"{endpoint}.stored"] -= 1
        for child_endpoint, child in self._children.pop(number, ()):
            self._drop(child_endpoint, child)

    def remove(self, endpoint: str, number: int) -> None:
        """Delete one row and its nested rows; a later row may use its key again."""
        self.revision += 1
        key = identity(endpoint, self.rows[endpoint][number])
        if self._numbers[endpoint].get(key) == number:
            del self._numbers[endpoint][key]
        self._drop(endpoint, number)

    def amend(self, endpoint: str, number: int, **fields: Any) -> None:
        """Change fields of one row in place."""
        self.revision += 1
        self.rows[endpoint][number].update(fields)

    def _index_contact(self, row: Row, switches: Mapping[str, str]) -> None:
        email = str(row["Email"]).lower()
        known = self._emails.get(email)
        if known in self.rows["contacts"] and switches["wicked.known_email"] == "update_names":
            names = {name: row[name] for name in ("FirstName", "LastName") if row.get(name)}
            self.rows["contacts"][known].update(names)
        self._emails[email] = self._last
        self._contact_ids.add(str(row["SourceID"]))

    def _index_order(self, order: Row, switches: Mapping[str, str]) -> None:
        """Store nested rows, and create the contact of an order with an unknown e-mail address [guess]."""
        children = self._children[self._last] = []
        for name, (endpoint, _fields) in NESTED.items():
            for inner in order.get(name) or ():
                row = {**inner, "SourceSystem": order["SourceSystem"], "OrderID": order["SourceID"], "nested": True}
                if endpoint == "orderitems":
                    row["SourceID"] = row.pop("OrderItemID")
                self._insert(endpoint, identity(endpoint, row), row)
                children.append((endpoint, self._last))
        email = order.get("ContactEmail")
        if email and not self._knows_contact(order):
            contact = {
                "SourceSystem": order["SourceSystem"],
                "SourceID": order.get("ContactID") or email,
                "CreateDate": order["CreateDate"],
                "Email": email,
                "created_from_order": True,
            }
            self._insert("contacts", identity("contacts", contact), contact)
            self.counters["contacts.created_from_orders"] += 1
            self._index_contact(contact, switches)

    def listed(self, endpoint: str) -> list[Row]:
        """Return the rows of one endpoint in order of arrival."""
        return list(self.rows[endpoint].values())

    def repeats(self, most: int = 100) -> dict[str, dict[str, int]]:
        """Return the number of repetitions by endpoint and key, at most `most` keys of each endpoint."""
        return {
            endpoint: {"/".join(map(str, key)): count for key, count in counter.most_common(most)}
            for endpoint, counter in self.repeated.items()
            if counter
        }
