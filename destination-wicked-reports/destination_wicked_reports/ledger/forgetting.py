"""Makes a ledger forget what was sent, so that the source's next delivery is sent again.

A sale is forgotten as a whole: its orders, lines, payments and clicks, the amounts it was computed from, records that
wait for it, and its contact, unless another sale has the same one. What Wicked Reports stored stays there: its support
must delete the orders first, or they count twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Table, delete, select

from destination_wicked_reports.api.endpoints import CONTACTS, ORDERS
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.errors import ConfigurationError, LedgerError
from destination_wicked_reports.ledger.contact_answers import contact_answers
from destination_wicked_reports.ledger.history import display_key
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_documents import documents
from destination_wicked_reports.ledger.sale_json import decode_sale
from destination_wicked_reports.ledger.sale_totals import contributions, sale_totals
from destination_wicked_reports.ledger.schema import (
    outbox,
    sale_aliases,
    sale_events,
    sales,
    sent,
    sent_before,
    settings,
)
from destination_wicked_reports.ledger.sql import has_table, starts_with

#: What may follow the key of a sale in the key of one of its rows: a further order, then a payment, click or line.
_PART = re.compile(rf"(~[0-9]+)?([#{SEPARATOR}].*)?", re.DOTALL).fullmatch
_BY_SALE = ((sales, "key"), (sale_aliases, "sale_key"), (sale_events, "sale_key"), (contributions, "sale_key"))
_WAITING = ((sale_totals, "key"), (documents, "key"))


@dataclass
class Selection:
    """What is to be forgotten: whole sales, and rows of no sale, by endpoint and key."""

    sale_keys: set[str] = field(default_factory=set)
    rows: set[tuple[str, str]] = field(default_factory=set)
    contact_ids: set[str] = field(default_factory=set)

    @property
    def orders(self) -> list[str]:
        """The orders to delete at Wicked Reports first, as SOURCE SYSTEM/ID."""
        return sorted(display_key(key) for endpoint, key in self.rows if endpoint == ORDERS.name)

    @property
    def keys(self) -> set[str]:
        """The keys of all selected sales and rows."""
        return self.sale_keys | {key for _, key in self.rows}

    def counts(self) -> dict[str, int]:
        """Return how many sales, and rows by endpoint, are selected."""
        found = {"sales": len(self.sale_keys)}
        for endpoint, _ in sorted(self.rows):
            found[endpoint] = found.get(endpoint, 0) + 1
        return found


def select_sale(ledger: Ledger, name: str) -> Selection:
    """Return the sale or order with this id, given alone or as SOURCE SYSTEM/ID, also that of a further order."""
    wanted = name.replace("/", SEPARATOR, 1) if "/" in name else name
    keys = {key for key in _keys(ledger) if key in (name, wanted) or key.partition(SEPARATOR)[2] == name}
    first = re.sub(r"~[0-9]+\Z", "", name)
    if not keys and first != name:
        return select_sale(ledger, first)
    if len(keys) > 1:
        names = ", ".join(sorted(map(display_key, keys)))
        raise ConfigurationError(f"{name} is the id of several orders ({names}): give SOURCE SYSTEM/ID.")
    return _whole(ledger, keys)


def select_source_system(ledger: Ledger, name: str) -> Selection:
    """Return everything of a source system."""
    prefix = name + SEPARATOR
    selection = _whole(ledger, {key for key in _keys(ledger) if key.startswith(prefix)})
    selection.rows |= {(row.endpoint, row.key) for row in _rows(ledger, starts_with(sent.c.key, prefix))}
    return selection


def select_days(ledger: Ledger, first: int, end: int) -> Selection:
    """Return the rows that were last sent from `first` until before `end`, in UNIX seconds, and their whole sales."""
    found = {(row.endpoint, row.key) for row in _rows(ledger, sent.c.sent_at >= first, sent.c.sent_at < end)}
    during = select(sale_events.c.sale_key).where(
        sale_events.c.store == ledger.store, sale_events.c.sent_at >= first, sale_events.c.sent_at < end
    )
    with ledger.connection.begin():
        sale_keys = set(ledger.connection.scalars(during))
    selection = _whole(ledger, sale_keys)
    selection.rows |= found
    return selection


def forget(ledger: Ledger, selection: Selection) -> None:
    """Delete what is selected, in one transaction. Raises LedgerError if requests for it are in flight."""
    keys = selection.keys
    ledger.acquire(keys)
    connection, store = ledger.connection, ledger.store
    with connection.begin():
        ledger.verify_lease()
        for encoded in connection.scalars(select(outbox.c.rows).where(outbox.c.store == store)):
            if any(row[0] in keys or row[3] in selection.sale_keys for row in orjson.loads(encoded)):
                raise LedgerError(
                    "A run that was killed left requests with these rows in flight. Nothing was forgotten. Run a sync, "
                    "which records their outcome, then forget them."
                )
        for endpoint, key in selection.rows:
            for table in (sent, sent_before):
                named = (table.c.store == store, table.c.endpoint == endpoint, table.c.key == key)
                connection.execute(delete(table).where(*named))
        for table, column in (*_BY_SALE, *_WAITING):
            if has_table(connection, table):
                for key in selection.sale_keys:
                    connection.execute(delete(table).where(table.c.store == store, table.c[column] == key))
        if has_table(connection, contact_answers):
            for contact_id in selection.contact_ids:
                answer = (contact_answers.c.store == store, contact_answers.c.contact_id == contact_id)
                connection.execute(delete(contact_answers).where(*answer))


def forget_settings(ledger: Ledger, source_system: str) -> None:
    """Forget under which settings a source system was sent, so that it can start over with others."""
    prefix = SEPARATOR.join((source_system, ledger.store, ""))
    with ledger.connection.begin():
        ledger.verify_lease()
        ledger.connection.execute(delete(settings).where(starts_with(settings.c.name, prefix)))


def _whole(ledger: Ledger, sale_keys: set[str]) -> Selection:
    """Return these sales or orders with all their rows and their contacts."""
    selection = Selection(set(sale_keys))
    systems = {key.partition(SEPARATOR)[0] + SEPARATOR for key in sale_keys}
    for system in systems:
        for row in _rows(ledger, starts_with(sent.c.key, system)):
            if any(row.key[: len(key)] == key and _PART(row.key[len(key) :]) for key in _prefixes(row.key, sale_keys)):
                selection.rows.add((row.endpoint, row.key))
    _add_contacts(ledger, selection)
    return selection


def _prefixes(key: str, sale_keys: set[str]) -> Iterator[str]:
    """Yield the sales whose key a row's key may begin with."""
    ends = [match.start() for match in re.finditer(rf"[~#{SEPARATOR}]", key)]
    return (key[:end] for end in (*ends, len(key)) if key[:end] in sale_keys)


def _add_contacts(ledger: Ledger, selection: Selection) -> None:
    """Add the contacts that only the selected sales have."""
    own: set[tuple[str, str]] = set()
    others: set[tuple[str, str]] = set()
    with ledger.connection.begin():
        query = select(sales.c.key, sales.c.state).where(sales.c.store == ledger.store)
        for row in ledger.connection.execute(query.execution_options(yield_per=5000)):
            sale = decode_sale(row.state)
            system = row.key.partition(SEPARATOR)[0]
            named = {(system, each) for each in (sale.contact_id, sale.contact_email) if each}
            (own if row.key in selection.sale_keys else others).update(named)
    alone = own - others
    selection.contact_ids = {contact for _, contact in alone}
    wanted = {system + SEPARATOR + contact for system, contact in alone}
    known = ledger.known(CONTACTS.name, sorted(wanted)) if wanted else {}
    selection.rows |= {(CONTACTS.name, key) for key in known}


def _keys(ledger: Ledger) -> Iterator[str]:
    """Yield the key of every sale and order, sent or waiting."""
    yield from _column(ledger, sales, "key")
    yield from _column(ledger, contributions, "sale_key")
    for table, column in _WAITING:
        yield from _column(ledger, table, column)
    of_sales = set(_column(ledger, sales, "key"))
    for row in _rows(ledger, sent.c.endpoint == ORDERS.name):
        if not any(_PART(row.key[len(key) :]) for key in _prefixes(row.key, of_sales)):
            yield row.key


def _column(ledger: Ledger, table: Table, column: str) -> list[str]:
    with ledger.connection.begin():
        if not has_table(ledger.connection, table):
            return []
        query = select(table.c[column]).where(table.c.store == ledger.store)
        return list(ledger.connection.scalars(query))


def _rows(ledger: Ledger, *conditions: ColumnElement[bool]) -> Sequence[Any]:
    query = select(sent.c.endpoint, sent.c.key).where(sent.c.store == ledger.store, *conditions)
    with ledger.connection.begin():
        return ledger.connection.execute(query).all()
