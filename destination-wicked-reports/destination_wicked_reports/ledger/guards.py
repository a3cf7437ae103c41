"""Refuses a changed setting once rows were sent under the former value.

A mapping lists in `guarded` the settings that decide what a sale that was sent is worth. If one of them changed by
mistake, every sale would seem to have changed and would be refunded and sent again, and Wicked Reports cannot delete.
The ledger therefore stores the values under which a source system's rows were sent, and `accept_change` names the one
change that is wanted. The sales are then brought to what the new value makes of them when they are read again.

A new source system is guarded by `delivery/source_systems.py`, which compares orders.
"""

from __future__ import annotations

import orjson
from sqlalchemy import Table, select, update

from destination_wicked_reports.api.rows import SEPARATOR
from destination_wicked_reports.config.changes import SOURCE_SYSTEM, SettingChange
from destination_wicked_reports.config.mappings import (
    ROLLUP_PREFIX,
    BigcommerceMapping,
    Mapping,
    SovrnMapping,
    WecantrackMapping,
)
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.ledger import order_documents
from destination_wicked_reports.ledger import sale_totals as totals
from destination_wicked_reports.ledger.ledger import Ledger
from destination_wicked_reports.ledger.order_documents import documents
from destination_wicked_reports.ledger.renaming import must_rename
from destination_wicked_reports.ledger.sale_totals import contributions, sale_totals
from destination_wicked_reports.ledger.schema import outbox, sales, settings
from destination_wicked_reports.ledger.sql import starts_with, upsert

#: The mappings that have a source system of their own and settings to guard.
GuardedMapping = WecantrackMapping | SovrnMapping | BigcommerceMapping
CONTACT_SETTINGS = "contact_settings"


def stored_setting_name(store: str, mapping_type: str, setting: str, source_system: str) -> str:
    """Return the name under which the ledger stores a setting of a source system. It starts with that system."""
    return SEPARATOR.join((source_system, store, mapping_type, setting))


def refuse_changes(config: Config, ledger: Ledger) -> None:
    """Raise ConfigurationError for a changed setting, unless `accept_change` names this change and no other."""
    accepted, mapping = config.accepted_change, config.mapping
    if accepted is not None and accepted.setting == SOURCE_SYSTEM:
        _check_source_system(accepted, mapping)
        if isinstance(mapping, GuardedMapping) and must_rename(ledger, accepted):
            mapping = mapping.model_copy(update={SOURCE_SYSTEM: accepted.old})
    changes = find_changes(mapping, ledger)
    refused = [change for change in changes if change != accepted]
    if refused:
        raise ConfigurationError(_refusal(refused, ledger))
    if accepted is not None and accepted.setting != SOURCE_SYSTEM and accepted not in changes:
        _check_done(accepted, config.mapping)


def find_changes(mapping: Mapping, ledger: Ledger) -> list[SettingChange]:
    """Return the guarded settings that changed since rows of the mapping's source system were sent."""
    if not isinstance(mapping, GuardedMapping) or not _holds_amounts(ledger, mapping.source_system):
        return []
    values = _values(mapping)
    stored = _stored_values(mapping, ledger)
    changed = [name for name, value in values.items() if stored.get(name, value) != value]
    return [SettingChange(name, stored[name], values[name]) for name in changed]


def record_settings(config: Config, ledger: Ledger) -> None:
    """Store the values under which rows are sent from now on. Call it after `refuse_changes`.

    The ledger has all that a shop's orders and CPC orders are worth, so after an accepted change they are due in this
    run. Commissions follow when the source reads them again.
    """
    mapping = config.mapping
    if not isinstance(mapping, GuardedMapping):
        return
    values = _values(mapping)
    if not isinstance(mapping, BigcommerceMapping):
        values[CONTACT_SETTINGS] = mapping.contact_settings
    rows = [(_name(ledger, mapping, setting), value) for setting, value in values.items()]
    changes = find_changes(mapping, ledger)
    with ledger.connection.begin():
        ledger.verify_lease()
        upsert(ledger.connection, settings, rows)
        if changes and isinstance(mapping, BigcommerceMapping):
            _make_due(ledger, documents, order_documents.DUE_AGAIN, mapping.source_system + SEPARATOR)
        if any(change.setting == "cpc" for change in changes):
            _make_due(ledger, sale_totals, totals.DUE_AGAIN, mapping.source_system + SEPARATOR + ROLLUP_PREFIX)


def announcements(config: Config, ledger: Ledger) -> list[str]:
    """Return what a change of settings that are not guarded means, one text each. Call it before `record_settings`."""
    mapping = config.mapping
    if not isinstance(mapping, WecantrackMapping | SovrnMapping):
        return []
    stored = _stored_values(mapping, ledger).get(CONTACT_SETTINGS)
    if stored in (None, mapping.contact_settings):
        return []
    return [
        "The contact settings have changed since the last run: orders that were sent keep their contact, and sales "
        "that were skipped are sent only when the source is read again from its start date. Nothing is sent twice."
    ]


def _refusal(changes: list[SettingChange], ledger: Ledger) -> str:
    change = changes[0]
    others = ", ".join(other.setting for other in changes[1:])
    return (
        f"{ledger.description} holds rows sent with {change.setting} `{change.old}`, but the mapping has "
        f"`{change.new}`: sales that were sent would be refunded and sent again. Set it back to `{change.old}`. To "
        f'change it on purpose, set "accept_change" to "{change}": each sale then gets the difference, as a refund or '
        "a further order, when the source reads it again."
        + (f" Also changed: {others}. Change one setting at a time, each with a run of its own." if others else "")
    )


def _check_source_system(accepted: SettingChange, mapping: Mapping) -> None:
    if not isinstance(mapping, GuardedMapping):
        raise ConfigurationError(
            f"accept_change cannot rename a source system with the mapping {mapping.type}, whose records name it: "
            "Wicked Reports would not find the orders of payments that follow. Set the name in the records back, and "
            "remove accept_change."
        )
    if mapping.source_system != accepted.new:
        raise ConfigurationError(
            f'accept_change is "{accepted}", but the mapping has source_system `{mapping.source_system}`: correct or '
            "remove it."
        )


def _check_done(accepted: SettingChange, mapping: Mapping) -> None:
    """Raise ConfigurationError unless the configuration already has the value that `accept_change` leads to."""
    if accepted.setting not in mapping.guarded:
        known = ", ".join((SOURCE_SYSTEM, *mapping.guarded)) if mapping.guarded else "nothing"
        raise ConfigurationError(
            f"accept_change names {accepted.setting}, but with the mapping {mapping.type} it can name {known}: "
            "correct or remove it."
        )
    value = getattr(mapping, accepted.setting)
    if value != accepted.new:
        raise ConfigurationError(
            f'accept_change is "{accepted}", but the mapping has {accepted.setting} `{value}` and nothing changed: '
            "correct or remove it."
        )


def _make_due(ledger: Ledger, table: Table, mark: str, prefix: str) -> None:
    """Let this run visit what was sent and has a key with this prefix, in the open transaction."""
    was_sent = table.c.key.in_(select(sales.c.key).where(sales.c.store == ledger.store))
    chosen = (table.c.store == ledger.store, starts_with(table.c.key, prefix), was_sent, table.c.pending == "")
    ledger.connection.execute(update(table).where(*chosen).values(pending=mark))


def _values(mapping: GuardedMapping) -> dict[str, str]:
    return {name: str(getattr(mapping, name)) for name in mapping.guarded}


def _name(ledger: Ledger, mapping: GuardedMapping, setting: str) -> str:
    return stored_setting_name(ledger.store, mapping.type, setting, mapping.source_system)


def _stored_values(mapping: GuardedMapping, ledger: Ledger) -> dict[str, str]:
    prefix = _name(ledger, mapping, "")
    query = select(settings.c.name, settings.c.value).where(starts_with(settings.c.name, prefix))
    with ledger.connection.begin():
        return {row.name.removeprefix(prefix): row.value for row in ledger.connection.execute(query)}


def _holds_amounts(ledger: Ledger, source_system: str) -> bool:
    """Tell whether the ledger has amounts of a source system: a sale that was sent, or what may become one."""
    prefix = source_system + SEPARATOR
    return any(ledger.has_keys(table, prefix) for table in (sales, contributions)) or in_flight(ledger, prefix)


def in_flight(ledger: Ledger, prefix: str) -> bool:
    """Tell whether the outbox has a row whose key has this prefix."""
    query = select(outbox.c.rows).where(outbox.c.store == ledger.store)
    with ledger.connection.begin():
        return any(
            key.startswith(prefix) for rows in ledger.connection.scalars(query) for key, *_ in orjson.loads(rows)
        )
