"""What a source and the mapping must agree on, and the configured catalog that both get."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from destination_wicked_reports.config.mappings import (
    AffiliateMapping,
    BigcommerceMapping,
    WecantrackMapping,
)
from destination_wicked_reports.config.spec import NoLedger
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.mappings.factory import make_normalizer
from destination_wicked_reports.sync.settings import Sync

#: The mapping that a source's records need.
MAPPINGS = {"source-wecantrack": "wecantrack", "source-sovrn": "sovrn", "source-bigcommerce": "bigcommerce"}
#: The date by which a source finds every later change; it is also the default.
CHANGE_DATES = {"source-wecantrack": "last_wct_update", "source-sovrn": "update_date"}


def refuse_disagreement(sync: Sync) -> None:
    """Raise ConfigurationError for settings of the two sides that cannot work together."""
    connector, mapping = sync.source.connector, sync.config.mapping
    wanted = MAPPINGS.get(connector)
    if wanted and mapping.type not in (wanted, "custom"):
        raise ConfigurationError(
            f"the records of {connector} need the mapping {wanted}, but the mapping is {mapping.type}: set "
            f"`mapping` to {{type: {wanted}}}."
        )
    if not wanted and mapping.type in MAPPINGS.values() and connector.startswith("source-wicked-reports"):
        raise ConfigurationError(f"{connector} reads from Wicked Reports; it is no source of revenue for it.")
    date_type, change_date = sync.source.config.get("date_type"), CHANGE_DATES.get(connector)
    approved = isinstance(mapping, WecantrackMapping) and mapping.recognize == "approved"
    if approved and change_date and date_type not in (None, change_date):
        raise ConfigurationError(
            f"with `recognize: approved` an order is sent when it is approved, and a source that reads by "
            f"`date_type: {date_type}` does not see later approvals: set date_type to {change_date}."
        )


def warnings(sync: Sync) -> Iterator[str]:
    """Yield what works, but rarely as meant."""
    config, mapping = sync.source.config, sync.config.mapping
    date_type, change_date = config.get("date_type"), CHANGE_DATES.get(sync.source.connector)
    if change_date and date_type not in (None, change_date):
        yield (
            f"The source reads by {date_type}: changes that come later than its lookback are missed. "
            f"date_type {change_date} finds every change."
        )
    statuses = config.get("statuses")
    if isinstance(mapping, WecantrackMapping) and statuses and "declined" not in statuses:
        yield "The source reads only some statuses, without declined: a declined commission is never refunded."
    if isinstance(mapping, AffiliateMapping) and not mapping.contact_rules and mapping.without_contact == "skip":
        yield (
            "The mapping has no contact_rules and skips commissions without a contact, so nothing can be sent: add a "
            "rule, or set without_contact to synthetic."
        )
    if isinstance(mapping, BigcommerceMapping) and sync.source.streams and "orders" not in sync.source.streams:
        yield "Without the stream orders, items and payments wait in the ledger until another sync reads their orders."
    if isinstance(sync.config.ledger, NoLedger):
        yield "Without a ledger, rows that are read again are sent again."


def configured_catalog(sync: Sync, discovered: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the catalog of the streams to read. Raises ConfigurationError for a stream that one side does not have."""
    normalizer = make_normalizer(sync.config)
    available = {str(stream["name"]): stream for stream in discovered}
    mapped = [name for name, stream in available.items() if normalizer.route(name, stream.get("namespace") or "")]
    chosen = sync.source.streams or mapped
    for name in chosen:
        if name not in available:
            raise ConfigurationError(
                f"the source has no stream {name}. It has {', '.join(sorted(available))}: correct `streams`."
            )
        if name not in mapped:
            raise ConfigurationError(
                f"the mapping {sync.config.mapping.type} does not take the stream {name}. It takes "
                f"{', '.join(sorted(normalizer.streams))}: correct `streams` or `mapping`."
            )
    if not chosen:
        raise ConfigurationError(
            f"the source has none of the streams that the mapping {sync.config.mapping.type} needs: "
            f"{', '.join(sorted(normalizer.streams))}."
        )
    return {"streams": [_configured(available[name]) for name in chosen]}


def _configured(stream: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stream as the catalog of a sync has it: incremental if the source can."""
    modes = stream.get("supported_sync_modes") or ["full_refresh"]
    cursor = stream.get("default_cursor_field") or []
    incremental = "incremental" in modes and bool(stream.get("source_defined_cursor") or cursor)
    key = stream.get("source_defined_primary_key") or []
    configured: dict[str, Any] = {
        "stream": dict(stream),
        "sync_mode": "incremental" if incremental else "full_refresh",
        "destination_sync_mode": "append_dedup" if key and incremental else "append",
    }
    if cursor:
        configured["cursor_field"] = cursor
    if key:
        configured["primary_key"] = key
    return configured
