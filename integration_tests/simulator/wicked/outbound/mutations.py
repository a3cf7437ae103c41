"""Scripted changes between two outbound pages: rows that come, change and go, and pages that come out of turn."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...clock import stamp
from .params import ListQuery
from .snapshot import RESOURCES, Click, Contact, Order, Record

if TYPE_CHECKING:
    from ...world import World

_PLACES = ("served", "unserved", "window")
_PAGES = ("", "again", "skip", "first")
_NUMBERS = ("own", "expected")


@dataclass
class OutboundMutation:
    """One scripted change. When: once `after_page` or `before_page` is read, or after the `after_request`-th page.

    `kind` bounds it to lists of contacts, orders or clicks. `remove` and `change` take that many rows of the part of
    the list that `place` names; `add` lets that many new rows appear in it, each of the second of an old one.
    `serve` brings, instead of the page whose turn it is, the one before (`again`), the one after (`skip`) or the
    `first`; it says of itself its `own` number, or with `number` `expected` the one whose turn it is.
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
            raise ValueError("say exactly one of after_request, after_page and before_page")
        if self.serve and self.before_page is None:
            raise ValueError("serve goes with before_page, the page whose turn it is")


class OutboundMutations:
    """The schedule, and a journal of what was changed, for tests to compare with."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.reset()

    def reset(self) -> None:
        """Forget the schedule and the journal."""
        self.requests = 0
        self.scheduled: list[OutboundMutation] = []
        self.journal: list[dict[str, Any]] = []

    def schedule(self, mutation: OutboundMutation) -> None:
        """Add one; `after_request` counts from here on."""
        self.requests = 0 if not self.scheduled else self.requests
        self.scheduled.append(mutation)

    def before_page(self, query: ListQuery, page: int) -> None:
        """Run what is due before this page is read."""
        due = [m for m in self._of(query) if m.before_page == page and not m.serve]
        self._run(due, query, (page - 1) * query.limit)

    def page_instead(self, query: ListQuery, page: int) -> tuple[int, int] | None:
        """Return which page comes in place of the one whose turn it is, and as which it counts itself."""
        for mutation in self._of(query):
            if mutation.serve and mutation.before_page == page:
                if not mutation.repeat:
                    self.scheduled.remove(mutation)
                content = {"again": max(1, page - 1), "skip": page + 1, "first": 1}[mutation.serve]
                self.journal.append({"kind": query.kind, "page": page, "served": content})
                return content, page if mutation.number == "expected" else content
        return None

    def after_page(self, query: ListQuery, page: int) -> None:
        """Run what is due once this page has been read."""
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
        from .api import select

        rows = select(self._world, query)
        part = {"served": rows[:served], "unserved": rows[served:], "window": rows}[mutation.place]
        chance = random.Random(f"{mutation.seed}-{len(self.journal)}")
        picked = chance.sample(part, min(mutation.remove + mutation.change, len(part)))
        removed, changed = picked[: mutation.remove], picked[mutation.remove :]
        models = [chance.choice(part) for _ in range(mutation.add)] if part else []
        for record in removed:
            for place in record.places if isinstance(record, Contact) else [record.place]:
                self._world.wicked.remove(query.kind, place)
        for record in changed:
            self._change(record)
        for model in models:
            self._add(query.kind, model, f"late-{chance.getrandbits(48):012x}")
        self._world.outbound.process()
        self.journal.append({
            "kind": query.kind,
            "removed": [_name(record) for record in removed],
            "changed": [_name(record) for record in changed],
            "added": len(models),
            "request": self.requests,
        })  # fmt: skip

    def _change(self, record: Record) -> None:
        """Change what may change later: a cent of an order is paid back, a contact renamed, a click's flag turned."""
        store, outbound = self._world.wicked, self._world.outbound
        if isinstance(record, Contact):
            store.amend("contacts", record.places[-1], FirstName=f"{record.names['FirstName'] or ''}*")
        elif isinstance(record, Click):
            outbound.flipped ^= {record.place}
        else:
            payment = {"SourceSystem": record.row["SourceSystem"], "OrderID": record.row["SourceID"]}
            paid = {"PaymentDate": stamp(self._world.clock.second()), "Amount": "0.01", "Status": "PARTIALLY REFUNDED"}
            store.add("orderpayments", payment | paid, self._world.switches)

    def _add(self, kind: str, model: Record, name: str) -> None:
        row = {field: value for field, value in model.row.items() if field not in ("OrderItems", "OrderPayments")}
        if isinstance(model, Contact):
            row |= {"SourceID": name, "Email": f"{name}@example.com"}
        elif isinstance(model, Order):
            row |= {"SourceID": name}
        else:
            row |= {"Content": name}
        self._world.wicked.add(kind, row, self._world.switches)


def _name(record: Record) -> str:
    return str(record.place) if isinstance(record, Click) else record.id
