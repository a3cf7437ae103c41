"""Everything that is known of one BigCommerce order, and how a record changes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from destination_wicked_reports.mappings.bigcommerce.records import FOREIGN, PERSONAL, TEST, TEST_TRANSACTION
from destination_wicked_reports.model import Document

OUTDATED = "older than what is known of the order already"

#: Where lines or payments stand among what is due while their order was not read: behind every date.
_LAST = "~"


@dataclass(slots=True)
class OrderDraft:
    """One order: its own facts (None before it was read), its transactions and its untold lines, by id.

    `told` names transactions (`t…`) and lines (`l…`) that Wicked has by way of the order's own row, or that were
    found in the ledger. `sent` says that Wicked was seen to have the order itself; a person's data is then forgotten.
    """

    key: str
    order: dict[str, Any] | None = None
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    sent: bool = False
    due: str = ""

    @classmethod
    def of(cls, document: Document) -> OrderDraft:
        """Return what a document holds."""
        kept = orjson.loads(document.facts)
        return cls(document.key, kept["o"], kept["t"], kept["l"], set(kept["told"]), kept["sent"], document.pending)

    def document(self) -> Document:
        """Return the document that keeps this."""
        order = self.order
        if self.sent and order is not None:
            order = {name: value for name, value in order.items() if name not in PERSONAL}
        kept = {"o": order, "t": self.events, "l": self.lines, "told": sorted(self.told), "sent": self.sent}
        return Document(self.key, orjson.dumps(kept, option=orjson.OPT_SORT_KEYS), self.due)

    # -- reading ----------------------------------------------------------------------------------------------------

    def read_order(self, facts: dict[str, Any]) -> str | None:
        """Take the order itself; return why not, if a later state of it is known already."""
        former = self.order
        if former is not None and facts["modified"] < former["modified"]:
            return OUTDATED
        if self.sent:
            facts = {name: value for name, value in facts.items() if name not in PERSONAL}
        # That it was once unpaid says that it was not paid when it was made.
        facts["open"] = bool(former and (former.get("open") or former["paid"] == "")) or facts["paid"] == ""
        if facts != former:
            self.order = facts
            self._touch()
        return None

    def read_transaction(self, name: str, facts: dict[str, Any]) -> str | None:
        """Take a transaction; one that was told stays as it was told. Return why it makes no payment, if so."""
        former = self.events.get(name)
        if f"t{name}" not in self.told and former != facts and (former is None or former["kind"] != FOREIGN):
            self.events[name] = facts
            self._touch()
        return TEST_TRANSACTION if facts["kind"] == TEST else None

    def read_line(self, name: str, facts: dict[str, Any]) -> None:
        """Take a line; one that was told stays as it was told: Wicked knows no update of it."""
        if f"l{name}" not in self.told and self.lines.get(name) != facts:
            self.lines[name] = facts
            self._touch()

    def _touch(self) -> None:
        self.due = self.order["created"] if self.order is not None else _LAST
