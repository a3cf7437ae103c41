"""Scripted changes between two pages: rows enter or leave the window during a page-numbered read.

This is how reads by `last_wct_update` lose rows (docs/vendors/wecantrack.md 0.2): when a row that was already served
leaves the window, all later rows move up one position, and the first row of the next page shifts onto a page that
was already read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from ..clock import Clock
from .store import Query, TransactionStore
from .transactions import Transaction

_PLACES = ("served", "unserved", "window")


@dataclass
class Mutation:
    """One scripted change: when it happens (exactly one of the first three), and what changes.

    `touch` updates that many rows now, so that they leave a window that ends in the past; `place` names the part of
    the window they are taken from, or `rows` names them as (account id, transaction id). `add` inserts that many rows
    with an old `last_wct_update` into the window, like writes that were committed late.
    """

    after_request: int | None = None
    after_page: int | None = None
    before_page: int | None = None
    touch: int = 0
    place: str = "served"
    rows: tuple[tuple[int, str], ...] = ()
    add: int = 0
    repeat: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.place not in _PLACES:
            raise ValueError(f"place is one of {', '.join(_PLACES)}, not {self.place!r}")
        if (self.after_request, self.after_page, self.before_page).count(None) != 2:
            raise ValueError("exactly one of after_request, after_page and before_page is needed")


class Mutations:
    """The schedule, and a journal of the changes made."""

    def __init__(self, store: TransactionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Clear the schedule and the journal."""
        self.requests = 0
        self.scheduled: list[Mutation] = []
        self.journal: list[dict[str, Any]] = []

    def as_json(self) -> dict[str, Any]:
        """Return schedule and journal for the admin API."""
        return {"scheduled": [dict(vars(mutation)) for mutation in self.scheduled], "journal": self.journal}

    def schedule(self, mutation: Mutation) -> None:
        """Add one; `after_request` counts from now."""
        self.requests = 0 if not self.scheduled else self.requests
        self.scheduled.append(mutation)

    def before_page(self, query: Query, page: int, limit: int) -> None:
        """Apply what is due before this page is read."""
        self._run([m for m in self.scheduled if m.before_page == page], query, (page - 1) * limit)

    def after_page(self, query: Query, page: int, limit: int) -> None:
        """Apply what is due after this page was read."""
        self.requests += 1
        due = [m for m in self.scheduled if m.after_page == page or self._due_by_count(m)]
        self._run(due, query, page * limit)

    def _due_by_count(self, mutation: Mutation) -> bool:
        every = mutation.after_request
        return every is not None and (self.requests % every == 0 if mutation.repeat else self.requests == every)

    def _run(self, due: list[Mutation], query: Query, served: int) -> None:
        for mutation in due:
            self._apply(mutation, query, served)
            if not mutation.repeat:
                self.scheduled.remove(mutation)

    def _apply(self, mutation: Mutation, query: Query, served: int) -> None:
        store, now = self._store, self._clock.second()
        rows = store.select(query)
        part = {"served": rows[:served], "unserved": rows[served:], "window": rows}[mutation.place]
        rng = random.Random(f"{mutation.seed}-{len(self.journal)}")
        touched = rng.sample(part, min(mutation.touch, len(part)))
        touched += [row for key in mutation.rows if (row := store.find(*key)) is not None]
        added = [rng.choice(rows) for _ in range(mutation.add)] if rows else []
        for row in touched:
            state = store.transactions[row].current
            assert state is not None
            store.write(row, state.touched(now))
        for original in added:
            self._add_late(store.transactions[original], now, rng)
        keys = [(row.account_id, row.transaction_id) for row in (store.transactions[number] for number in touched)]
        self.journal.append({
            "touched": keys,
            "added": len(added),
            "request": self.requests,
        })  # fmt: skip

    def _add_late(self, original: Transaction, now: int, rng: random.Random) -> None:
        """Insert a copy as another transaction of the same second, written before the read began."""
        assert original.current is not None
        transaction_id = f"late-{rng.getrandbits(48):012x}"
        copy = replace(original, transaction_id=transaction_id, states=[], current=None, _encoded=None)
        copy.replace_fixed({**original.fields(), "transaction_id": transaction_id})
        copy.add(replace(original.current, visible_at=now))
        self._store.append(copy)
