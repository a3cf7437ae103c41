"""Renames a source system in the ledger: what was sent under the old name then counts as sent under the new one.

Wicked Reports keeps its rows under the old name. `SaleState.renamed` therefore keeps the name under which each order of
a sale was sent, for refunds and items that follow.
"""

from __future__ import annotations

import time

import orjson
from sqlalchemy import Column, ColumnElement, Connection, Table, delete, func, literal, select, update

from destination_wicked_reports.api.endpoints import ORDERS
from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.changes import SettingChange
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger import schema
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.sale_json import decode_sale, encode_sale
from destination_wicked_reports.ledger.schema import outbox, sales, sent, settings
from destination_wicked_reports.ledger.sql import before, has_table, starts_with, upsert
from destination_wicked_reports.ledger.tables import TABLES

_PAGE = 500


def must_rename(ledger: Ledger, change: SettingChange) -> bool:
    """Tell whether the ledger still has the old name. Raises ConfigurationError if it can't be renamed."""
    if ledger.is_new:
        return False
    if holds_orders(ledger, change.new):
        if _holds_rows(ledger, change.old) and not _was_made(ledger, change):
            raise ConfigurationError(
                f'accept_change is "{change}", but {_lower(ledger)} has orders of both source systems, and their ids '
                f"may be the same. Set source_system back to `{change.old}`, or choose a name without orders."
            )
        return False
    if not _holds_rows(ledger, change.old):
        known = ", ".join(source_systems(ledger)) or "none"
        raise ConfigurationError(
            f'accept_change is "{change}", but {_lower(ledger)} has no rows of source system `{change.old}`: correct '
            f"or remove it. The ledger has: {known}."
        )
    with ledger.connection.begin():
        open_requests = ledger.connection.scalar(select(outbox.c.id).where(outbox.c.store == ledger.store).limit(1))
    if open_requests is not None:
        raise ConfigurationError(
            f"Source system `{change.old}` cannot be renamed yet: an interrupted run left requests in {_lower(ledger)}."
            f" Remove accept_change, set source_system back to `{change.old}` and run the sync once, then rename it."
        )
    return True


def _was_made(ledger: Ledger, change: SettingChange) -> bool:
    """Tell whether this is the last of the renames between the two names."""
    with ledger.connection.begin():
        renames = schema.stored_renames(ledger.connection, ledger.store)
    last = next(((old, new) for old, new, _ in reversed(renames) if {old, new} == {change.old, change.new}), None)
    return last == (change.old, change.new)


def rename_source_system(ledger: Ledger, old: str, new: str) -> None:
    """Rename a source system in all tables, in one transaction. Call it after `must_rename`, with both names leased."""
    connection, store = ledger.connection, ledger.store
    with connection.begin():
        ledger.verify_lease()
        for table in TABLES:
            columns = [column for column in table.columns if column.info.get("scoped")]
            if columns and has_table(connection, table):
                _rename_in(connection, table, columns, store, old + SEPARATOR, new + SEPARATOR)
        _rename_settings(connection, old + SEPARATOR + store, new + SEPARATOR + store)
        _rename_sales(connection, store, old, new)
        _log_rename(connection, store, old, new)


def former_names(ledger: Ledger, source_system: str) -> list[str]:
    """Return the names that were renamed to this source system, directly or by way of others."""
    names = [source_system]
    for old, new, _ in reversed(ledger.renames):
        if new in names and old not in names:
            names.append(old)
    return names[1:]


def holds_orders(ledger: Ledger, source_system: str) -> bool:
    """Tell whether an order was sent under this source system."""
    return _holds_rows(ledger, source_system, sent.c.endpoint == ORDERS.name)


def source_systems(ledger: Ledger) -> list[str]:
    """Return the source systems of the orders that were sent, sorted."""
    query = select(before(ledger.connection, sent.c.key, SEPARATOR)).distinct()
    with ledger.connection.begin():
        found = ledger.connection.scalars(query.where(sent.c.store == ledger.store, sent.c.endpoint == ORDERS.name))
        return sorted(found)


def _holds_rows(ledger: Ledger, source_system: str, *conditions: ColumnElement[bool]) -> bool:
    return ledger.has_keys(sent, source_system + SEPARATOR, *conditions)


def _rename_in(
    connection: Connection, table: Table, columns: list[Column[str]], store: str, old: str, new: str
) -> None:
    """Replace the prefix. A refused run may have left keys of the new name, which the old ones replace."""
    of_store = table.c.store == store
    for column in columns:
        renamed = literal(new) + func.substr(column, len(old) + 1)
        if column.primary_key:
            replaced = column.in_(select(renamed).where(of_store, starts_with(column, old)))
            connection.execute(delete(table).where(of_store, replaced))
        connection.execute(update(table).where(of_store, starts_with(column, old)).values({column.name: renamed}))


def _rename_settings(connection: Connection, old: str, new: str) -> None:
    found = connection.execute(select(settings).where(starts_with(settings.c.name, old + SEPARATOR))).all()
    if found:
        connection.execute(delete(settings).where(settings.c.name.in_([row.name for row in found])))
        upsert(connection, settings, [(new + row.name.removeprefix(old), row.value) for row in found])


def _rename_sales(connection: Connection, store: str, old: str, new: str) -> None:
    """Store in each sale the name under which its orders were sent so far, and rename its aliases."""
    last = ""
    own = (sales.c.store == store, starts_with(sales.c.key, new + SEPARATOR))
    while True:
        query = select(sales.c.key, sales.c.version, sales.c.state).where(*own, sales.c.key > last)
        page = connection.execute(query.order_by(sales.c.key).limit(_PAGE)).all()
        if not page:
            return
        last = page[-1].key
        changed = []
        for row in page:
            sale = decode_sale(row.state)
            aliases = [
                new + alias.removeprefix(old) if alias.startswith(old + SEPARATOR) else alias for alias in sale.aliases
            ]
            sale = sale._replace(aliases=tuple(aliases), renamed=(*sale.renamed, (old, sale.order_count)))
            changed.append((store, row.key, row.version, encode_sale(sale)))
        upsert(connection, sales, changed)


def _log_rename(connection: Connection, store: str, old: str, new: str) -> None:
    name = schema.renames_name(store)
    logged = schema.stored_renames(connection, store)
    upsert(connection, settings, [(name, orjson.dumps([*logged, [old, new, int(time.time())]]).decode())])


def _lower(ledger: Ledger) -> str:
    return ledger.description[0].lower() + ledger.description[1:]
