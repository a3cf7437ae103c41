"""Generates what happens to a wecantrack transaction: its states, and the negative row of a return.

Changes follow docs/vendors/wecantrack.md A7; the shares of the outcomes are a [guess].
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from typing import Any

import orjson

from ..clock import stamp
from .transactions import State, Transaction

DAY = 86400
_CENTS_TO_EURO = {"EUR": 100, "USD": 92, "GBP": 117}  # percent; rates and their date are undocumented (A5)
_REASONS = ("returned", "order cancelled", "duplicate order", "voucher not allowed")
#: share among the pending rows that change, and the steps of the change in order
_OUTCOMES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (60, ("approve",)),
    (14, ("decline",)),
    (5, ("lower", "approve")),
    (5, ("approve", "lower")),
    (3, ("raise", "approve")),
    (3, ("approve", "raise")),
    (6, ("approve", "decline")),
    (2, ("approve", "lower", "decline")),
    (2, ("touch", "approve")),
    (3, ("raise", "slip", "approve")),
    (2, ("approve", "decline", "reinstate")),
    (2, ("decline", "reinstate", "raise")),
    (1, ("approve", "reopen", "lower", "approve")),
    (1, ("approve", "exchange")),
    (2, ("approve", "return")),
    (2, ("raise", "approve", "return_part")),
)
#: what leaves a sale as it is, and adds a negative row instead
_RETURNS = ("return", "return_part")
_OUTCOME_ENDS = list(accumulate(share for share, _steps in _OUTCOMES))


def below(rng: random.Random, limit: int, least: int = 0) -> int:
    """Draw an integer from `least` to below `limit`, four times as fast as `randrange`."""
    return least + int(rng.random() * (limit - least))


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


class Changes:
    """Draws the changes of transactions from a random generator.

    `share` is that of the pending transactions that change; `zeroed` whether a declined one loses its amounts.
    """

    def __init__(self, rng: random.Random, share: float, *, zeroed: bool) -> None:
        self._rng, self._share, self._zeroed = rng, share, zeroed
        self._before_raise = (0, 0)

    def _below(self, limit: int, least: int = 0) -> int:
        return below(self._rng, limit, least)

    def script(self, transaction: Transaction, appears_at: int, currency: str, *, linked: bool) -> Transaction | None:
        """Generate the states of a transaction; return its negative row, if it has one that can be `linked` to it."""
        rng = self._rng
        returned: Transaction | None = None
        sale = 500 + int(rng.expovariate(1 / 8000))
        commission = max(1, sale * self._below(150, 20) // 1000)
        kind = rng.random()
        status = "pending" if kind < 0.9 else "approved" if kind < 0.97 else "declined"
        modified_at = appears_at - self._below(6 * 3600, 60)
        validated_at = None if status == "pending" else modified_at
        reason = _REASONS[self._below(len(_REASONS))] if status == "declined" else None
        state = State(
            appears_at, appears_at, modified_at, validated_at, status, **self._amounts(sale, commission, currency),
            decline_reason=reason,
        )  # fmt: skip
        states = [state]
        if status == "pending" and rng.random() < self._share:
            steps = _OUTCOMES[bisect_right(_OUTCOME_ENDS, self._below(_OUTCOME_ENDS[-1]))][1]
            at = appears_at + self._below(100 * DAY, 10 * DAY)  # validation takes weeks to months (A11)
            for step in steps:
                if step not in _RETURNS:
                    sale, commission, state = self._step(step, at, sale, commission, state)
                    states.append(state)
                elif linked:
                    returned = self._return(transaction, at, sale, commission, state, part=step != "return")
                at += self._below(30 * DAY, 2 * DAY)
        if self._zeroed:
            zero = self._amounts(0, 0, currency)
            states = [replace(state, **zero) if state.status == "declined" else state for state in states]
        transaction.states = states
        return returned

    def _amounts(self, sale: int, commission: int, currency: str) -> dict[str, Any]:
        rate = _CENTS_TO_EURO[currency]
        commission_text = _money(commission)
        if commission % 97 == 5:
            commission_text += "5"  # a third decimal, to test rounding half up
        return {
            "sale_amount": _money(sale),
            "commission_amount": commission_text,
            "sale_amount_euro": _money(sale * rate // 100),
            "commission_amount_euro": _money(commission * rate // 100),
            "currency": currency,
        }

    def _return(
        self, sold: Transaction, at: int, sale: int, commission: int, state: State, *, part: bool
    ) -> Transaction:
        """Return the negative row of a sale: an id of its own, the references of the sale."""
        if part:
            percent = self._below(80, 20)
            sale, commission = max(1, sale * percent // 100), max(1, commission * percent // 100)
        amounts = self._amounts(sale, commission, state.currency)
        amounts = {name: value if name == "currency" else f"-{value}" for name, value in amounts.items()}
        transaction_id = f"R{sold.transaction_id}"
        fixed = {**sold.fields(), "transaction_id": transaction_id, "order_date": stamp(at)}
        returned = replace(sold, transaction_id=transaction_id, ordered_at=at, fixed=orjson.dumps(fixed), states=[])
        returned.add(State(at, at, at, at, "approved", **amounts))
        return returned

    def _step(self, step: str, at: int, sale: int, commission: int, before: State) -> tuple[int, int, State]:
        """Apply one step of a change; every step is a write, so it moves the cursor."""
        rng = self._rng
        modified_at = at - self._below(6 * 3600, 60)
        state = before.touched(at)
        state.modified_at = modified_at
        if step in ("approve", "reinstate"):
            # the webhook's sample row is approved and has no validation date (A5)
            state.status, state.validated_at = "approved", modified_at if rng.random() < 0.95 else None
            state.decline_reason = None
        elif step == "decline":
            state.status, state.validated_at, state.decline_reason = (
                "declined",
                modified_at,
                _REASONS[self._below(len(_REASONS))],
            )
        elif step in ("lower", "raise"):
            percent = self._below(95, 30) if step == "lower" else self._below(150, 105)
            self._before_raise = sale, commission
            sale, commission = max(2, sale * percent // 100), self._moved(commission, percent)
            state = replace(state, **self._amounts(sale, commission, before.currency))
        elif step == "slip":  # falls, by less than it rose in the step before
            lower_sale, lower_commission = self._before_raise
            sale, commission = sale - (sale - lower_sale) // 2, commission - (commission - lower_commission) // 2
            state = replace(state, **self._amounts(sale, commission, before.currency))
        elif step == "reopen":
            state.status, state.validated_at = "pending", None
        elif step == "exchange":
            currency = "USD" if before.currency != "USD" else "EUR"
            state = replace(state, **self._amounts(sale, commission, currency))
        return sale, commission, state

    def _moved(self, commission: int, percent: int) -> int:
        """Change a commission by at least two cents, never to zero, so that the change survives rounding."""
        moved = commission * percent // 100
        return max(moved, commission + 2) if percent > 100 else max(1, min(moved, commission - 2))
