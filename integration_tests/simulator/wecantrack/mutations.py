"""Scripted changes between two pages: rows leave the window, or come into it, while a reader counts pages.

This is what makes page-numbered reads of `last_wct_update` lose rows (affiliate-facts 0.2): when a row that was
already served moves out of the window, all rows behind it move up one place, and the first row of the next page
slips onto a page that has been read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..world import World
    from .store import Query

_PLACES = ("served", "unserved", "window")


@dataclass
class Mutation:
    """One scripted change: when (`after_request` k, or between `after_page` and the next), and what.

    `touch` rewrites that many rows now, so that they leave a window that ends in the past; they are taken from
    the part of the window that `place` names. `rows` names them instead, as [account id, transaction id].
    `add` lets that many new rows appear inside the window with an old `last_wct_update`: late-committed writes.
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
            raise ValueError("say exactly one of after_request, after_page and before_page")


class Mutations:
    """The schedule, and a journal of what was changed, for tests to compare with."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.reset()

    def reset(self) -> None:
        """Forget the schedule and the journal."""
        self.requests = 0
        self.scheduled: list[Mutation] = []
        self.journal: list[dict[str, Any]] = []

    def schedule(self, mutation: Mutation) -> None:
        """Add one; `after_request` counts from here on."""
        self.requests = 0 if not self.scheduled else self.requests
        self.scheduled.append(mutation)

    def before_page(self, query: Query, page: int, limit: int) -> None:
        """Run what is due before this page is read."""
        self._run([m for m in self.scheduled if m.before_page == page], query, (page - 1) * limit)

    def after_page(self, query: Query, page: int, limit: int) -> None:
        """Run what is due once this page has been read."""
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
        world, store = self._world, self._world.transactions
        now = world.clock.second()
        rows = store.select(query)
        part = {"served": rows[:served], "unserved": rows[served:], "window": rows}[mutation.place]
        chance = random.Random(f"{mutation.seed}-{len(self.journal)}")
        touched = chance.sample(part, min(mutation.touch, len(part)))
        touched += [row for key in mutation.rows if (row := store.find(*key)) is not None]
        added = [chance.choice(rows) for _ in range(mutation.add)] if rows else []
        for row in touched:
            shown = store.transactions[row].shown
            assert shown is not None
            store.write(row, shown.touched(now))
        for model in added:
            self._add_late(model, now, chance)
        self.journal.append({
            "touched": [[(life := store.transactions[row]).account_id, life.transaction_id] for row in touched],
            "added": len(added),
            "request": self.requests,
        })  # fmt: skip

    def _add_late(self, model: int, now: int, chance: random.Random) -> None:
        """Let a copy of a row appear as another transaction of the same second, written before the read began."""
        store = self._world.transactions
        original = store.transactions[model]
        assert original.shown is not None
        transaction_id = f"late-{chance.getrandbits(48):012x}"
        copy = replace(original, transaction_id=transaction_id, states=[], shown=None, _encoded=None)
        copy.change_facts({**original.fact(), "transaction_id": transaction_id})
        copy.add(replace(original.shown, visible_at=now))
        store.append(copy)
