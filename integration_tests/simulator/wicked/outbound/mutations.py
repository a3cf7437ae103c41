"""Scripted changes between two outbound pages: rows added, changed or removed, and pages served out of order."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Protocol

from ...clock import Clock, stamp
from ...switches import Switches
from ..store import WickedStore
from .params import ListQuery
from .snapshot import RESOURCES, Click, Contact, Order, Record

_PLACES = ("served", "unserved", "window")
_PAGES = ("", "again", "skip", "first")
_NUMBERS = ("own", "expected")


@dataclass
class OutboundMutation:
    """One scripted change: when it happens (exactly one of the first three), and what changes.

    `kind` limits it to lists of contacts, orders or clicks. `remove` and `change` apply to that many rows of the part
    of the list that `place` names; `add` inserts that many rows there, each with the second of an existing one. `serve`
    replaces the page before which it runs by the previous page (`again`), the following one (`skip`) or the `first`;
    its page number is then its `own`, or with `number` `expected` that of the page it replaces.
    """

    after_request: int | None = None
    after_page: int | None = None
    before_page: int | None = None
    kind: str = ""
    remove: int = 0
    change: int = 0
    add: int = 0
    place: str = "served"
    serve: str = ""
    number: str = "own"
    repeat: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.place not in _PLACES or self.serve not in _PAGES or self.number not in _NUMBERS:
            raise ValueError(f"place is one of {_PLACES}, serve one of {_PAGES}, number one of {_NUMBERS}")
        if self.kind not in ("", *RESOURCES):
            raise ValueError(f"kind is one of {', '.join(RESOURCES)}, or empty for all")
        if (self.after_request, self.after_page, self.before_page).count(None) != 2:
            raise ValueError("exactly one of after_request, after_page and before_page is needed")
        if self.serve and self.before_page is None:
            raise ValueError("serve needs before_page, the page to replace")


class Target(Protocol):
    """What a change applies to: the inbound store, and how the outbound side reads it."""

    store: WickedStore
    clock: Clock
    switches: Switches
    flipped: frozenset[int]

    def select(self, query: ListQuery) -> list[Record]:
        """Return all rows of a list as visible now, in page order."""
        ...

    def process(self) -> None:
        """Make every row visible that the store has now."""
        ...


class OutboundMutations:
    """The schedule, and a journal of the changes made."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.reset()

    def reset(self) -> None:
        """Clear the schedule and the journal."""
        self.requests = 0
        self.scheduled: list[OutboundMutation] = []
        self.journal: list[dict[str, Any]] = []

    def as_json(self) -> dict[str, Any]:
        """Return schedule and journal for the admin API."""
        return {"scheduled": [dict(vars(mutation)) for mutation in self.scheduled], "journal": self.journal}

    def schedule(self, mutation: OutboundMutation) -> None:
        """Add one; `after_request` counts from now."""
        self.requests = 0 if not self.scheduled else self.requests
        self.scheduled.append(mutation)

    def before_page(self, query: ListQuery, page: int) -> None:
        """Apply what is due before this page is read."""
        due = [m for m in self._of(query) if m.before_page == page and not m.serve]
        self._run(due, query, (page - 1) * query.limit)

    def page_instead(self, query: ListQuery, page: int) -> tuple[int, int] | None:
        """Return the page to serve in place of this one, and the page number it carries; None for this one."""
        for mutation in self._of(query):
            if mutation.serve and mutation.before_page == page:
                if not mutation.repeat:
                    self.scheduled.remove(mutation)
                content = {"again": max(1, page - 1), "skip": page + 1, "first": 1}[mutation.serve]
                self.journal.append({"kind": query.kind, "page": page, "served": content})
                return content, page if mutation.number == "expected" else content
        return None

    def after_page(self, query: ListQuery, page: int) -> None:
        """Apply what is due after this page was read."""
        self.requests += 1
        due = [m for m in self._of(query) if m.after_page == page or self._due_by_count(m)]
        self._run(due, query, page * query.limit)

    def _of(self, query: ListQuery) -> list[OutboundMutation]:
        return [mutation for mutation in self.scheduled if mutation.kind in ("", query.kind)]

    def _due_by_count(self, mutation: OutboundMutation) -> bool:
        every = mutation.after_request
        return every is not None and (self.requests % every == 0 if mutation.repeat else self.requests == every)

    def _run(self, due: list[OutboundMutation], query: ListQuery, served: int) -> None:
        for mutation in due:
            self._apply(mutation, query, served)
            if not mutation.repeat:
                self.scheduled.remove(mutation)

    def _apply(self, mutation: OutboundMutation, query: ListQuery, served: int) -> None:
        rows = self._target.select(query)
        part = {"served": rows[:served], "unserved": rows[served:], "window": rows}[mutation.place]
        rng = random.Random(f"{mutation.seed}-{len(self.journal)}")
        picked = rng.sample(part, min(mutation.remove + mutation.change, len(part)))
        removed, changed = picked[: mutation.remove], picked[mutation.remove :]
        originals = [rng.choice(part) for _ in range(mutation.add)] if part else []
        for record in removed:
            for number in record.numbers if isinstance(record, Contact) else [record.number]:
                self._target.store.remove(query.kind, number)
        for record in changed:
            self._change(record)
        for original in originals:
            self._add(query.kind, original, f"late-{rng.getrandbits(48):012x}")
        self._target.process()
        self.journal.append({
            "kind": query.kind,
            "removed": [_name(record) for record in removed],
            "changed": [_name(record) for record in changed],
            "added": len(originals),
            "request": self.requests,
        })  # fmt: skip

    def _change(self, record: Record) -> None:
        """Refund a cent of an order, rename a contact, or flip a click's `isReOptin`."""
        target = self._target
        if isinstance(record, Contact):
            target.store.amend("contacts", record.numbers[-1], FirstName=f"{record.names['FirstName'] or ''}*")
        elif isinstance(record, Click):
            target.flipped ^= {record.number}
        else:
            payment = {"SourceSystem": record.row["SourceSystem"], "OrderID": record.row["SourceID"]}
            paid = {"PaymentDate": stamp(target.clock.second()), "Amount": "0.01", "Status": "PARTIALLY REFUNDED"}
            target.store.add("orderpayments", payment | paid, target.switches)

    def _add(self, kind: str, original: Record, name: str) -> None:
        row = {field: value for field, value in original.row.items() if field not in ("OrderItems", "OrderPayments")}
        if isinstance(original, Contact):
            row |= {"SourceID": name, "Email": f"{name}@example.com"}
        elif isinstance(original, Order):
            row |= {"SourceID": name}
        else:
            row |= {"Content": name}
        self._target.store.add(kind, row, self._target.switches)


def _name(record: Record) -> str:
    return str(record.number) if isinstance(record, Click) else record.id
