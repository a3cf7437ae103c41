"""Which contact an order belongs to (docs/vendors/wicked-reports.md 10.2).

The vendor's help pages say that the email address joins clicks, contacts and orders. Whether an order with an id alone
finds its contact is not documented: the switch `wicked.join` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from .store import Row

T = TypeVar("T")


class Directory(Generic[T]):
    """Contacts by address and by id; the first of equal ones counts."""

    def __init__(self) -> None:
        self.by_email: dict[str, T] = {}
        self.by_source: dict[tuple[str, str], T] = {}
        self.by_source_id: dict[str, T] = {}

    def add(self, row: Row, contact: T) -> None:
        """Add a contact under everything that an order may name it by."""
        system, source_id = str(row["SourceSystem"]), str(row["SourceID"])
        self.by_email.setdefault(str(row["Email"]).lower(), contact)
        self.by_source.setdefault((system, source_id), contact)
        self.by_source_id.setdefault(source_id, contact)

    def person(self, order: Row, switches: Mapping[str, str]) -> T | None:
        """Return the contact of an order: by address, else by id in its own source system, then in any [guess]."""
        email, contact_id = str(order.get("ContactEmail") or "").lower(), str(order.get("ContactID") or "")
        if email in self.by_email:
            return self.by_email[email]
        if switches["wicked.join"] == "email" or not contact_id:
            return None
        return self.by_source.get((str(order["SourceSystem"]), contact_id)) or self.by_source_id.get(contact_id)


def directory(contacts: Iterable[Row]) -> Directory[str]:
    """Return the addresses of these contacts."""
    found: Directory[str] = Directory()
    for row in contacts:
        found.add(row, str(row["Email"]))
    return found
