"""A transaction: fixed fields, and states that take effect at scripted instants.

wecantrack keeps one row per transaction and edits it in place (docs/vendors/wecantrack.md A7), so only the latest state
in force can be read.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..clock import parse_instant, stamp

#: the fields that a state sets; all others are fixed.
CHANGING = frozenset(
    {
        "last_wct_update", "modified_date", "validation_date", "status", "sale_amount", "commission_amount",
        "sale_amount_euro", "commission_amount_euro", "currency_id", "decline_reason",
    }
)  # fmt: skip


@dataclass(slots=True)
class State:
    """The changing fields from `visible_at` on, which is later than `last_wct_update` for a write committed late."""

    visible_at: int
    last_wct_update: int
    modified_at: int
    validated_at: int | None
    status: str
    sale_amount: str
    commission_amount: str
    sale_amount_euro: str
    commission_amount_euro: str
    currency: str
    decline_reason: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return the changing fields as the API serves them (A5: money as text, dates to the second)."""
        return {
            "last_wct_update": stamp(self.last_wct_update),
            "modified_date": stamp(self.modified_at),
            "validation_date": None if self.validated_at is None else stamp(self.validated_at),
            "status": self.status,
            "sale_amount": self.sale_amount,
            "commission_amount": self.commission_amount,
            "sale_amount_euro": self.sale_amount_euro,
            "commission_amount_euro": self.commission_amount_euro,
            "currency_id": self.currency,
            "decline_reason": self.decline_reason,
        }

    def touched(self, at: int) -> State:
        """Return the same state written again at `at`: no amount changes, but the row leaves its old window."""
        return State(
            at, at, at, self.validated_at, self.status, self.sale_amount, self.commission_amount,
            self.sale_amount_euro, self.commission_amount_euro, self.currency, self.decline_reason,
        )  # fmt: skip


@dataclass(slots=True)
class Transaction:
    """One row. `fixed` is encoded JSON, because 200,000 dictionaries would take half a gigabyte."""

    account_id: int
    transaction_id: str
    website_id: int | None
    ordered_at: int
    clicked_at: int | None
    fixed: bytes
    states: list[State] = field(default_factory=list)
    current: State | None = None
    _encoded: bytes | None = None

    def state_at(self, instant: int) -> State | None:
        """Return the state in force at `instant`, or None when the row does not exist yet."""
        if len(self.states) == 1:
            return self.states[0] if self.states[0].visible_at <= instant else None
        position = bisect_right(self.states, instant, key=lambda state: state.visible_at)
        return self.states[position - 1] if position else None

    def add(self, state: State) -> None:
        """Insert a state by time; of two for one instant the later added wins."""
        self.states.insert(bisect_right(self.states, state.visible_at, key=lambda other: other.visible_at), state)

    def set_current(self, state: State | None) -> None:
        """Make `state` the one that the API serves."""
        self.current = state
        self._encoded = None

    def encoded(self) -> bytes:
        """Return the visible row as JSON, encoded once per state."""
        if self._encoded is None:
            assert self.current is not None
            self._encoded = self.fixed[:-1] + b"," + orjson.dumps(self.current.fields())[1:]
        return self._encoded

    def fields(self) -> dict[str, Any]:
        """Decode the fixed fields."""
        decoded: dict[str, Any] = orjson.loads(self.fixed)
        return decoded

    def replace_fixed(self, fields: dict[str, Any]) -> None:
        """Replace the fixed fields, for rows that a test edits."""
        self.fixed = orjson.dumps(fields)
        self.clicked_at = parse_instant(fields["click_date"]) if fields.get("click_date") else None
        self.ordered_at = parse_instant(fields["order_date"])
        self._encoded = None

    def dates(self) -> dict[str, int | None]:
        """Return the visible value of each `date_type` of A3."""
        assert self.current is not None
        return {
            "last_wct_update": self.current.last_wct_update,
            "modified_date": self.current.modified_at,
            "validation_date": self.current.validated_at,
            "order_date": self.ordered_at,
            "click_date": self.clicked_at,
        }
