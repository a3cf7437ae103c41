"""The configured catalog: reads it, refuses what Wicked Reports cannot do, and routes its streams to the mapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from airbyte_cdk.models import ConfiguredAirbyteCatalog, DestinationSyncMode

from destination_wicked_reports.api.rows import fold
from destination_wicked_reports.base import json_files
from destination_wicked_reports.config.mappings import NativeMapping
from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError

#: By namespace (empty if none) and name of a stream: the stream name that the mapping uses.
Routes = dict[tuple[str, str], str]

SUPPORTED = frozenset({DestinationSyncMode.append, DestinationSyncMode.append_dedup})


class StreamRouter(Protocol):
    """The part of a mapping that routes streams."""

    @property
    def streams(self) -> frozenset[str]:
        """Stream names that the mapping uses."""

    def route(self, stream: str, namespace: str = "", object_name: str = "") -> str | None:
        """Return the mapping's name for a configured stream, or None if the mapping does not support it.

        `object_name` is the catalog's `destination_object_name`, empty if it has none.
        """


def read_catalog(path: Path) -> ConfiguredAirbyteCatalog:
    """Read the catalog file; raises ConfigurationError if it is missing or not a configured catalog."""
    try:
        return json_files.read_catalog(path)
    except json_files.UnusableFileError as error:
        raise ConfigurationError(str(error)) from None


def find_routes(catalog: ConfiguredAirbyteCatalog, router: StreamRouter, config: Config) -> Routes:
    """Return the mapping's name for each configured stream.

    Raises ConfigurationError for sync modes and refreshes that replace or delete, for streams that the mapping does not
    support, and for a stream that is configured for two endpoints.
    """
    routes: Routes = {}
    for configured in catalog.streams:
        name, namespace = configured.stream.name, configured.stream.namespace or ""
        mode = configured.destination_sync_mode
        if mode not in SUPPORTED:
            raise ConfigurationError(
                f"Stream {name} asks for sync mode {mode.value if mode else None}. Wicked Reports can neither replace "
                "nor delete: choose append or append_dedup."
            )
        if _truncates(configured.generation_id, configured.minimum_generation_id, configured.sync_id):
            raise ConfigurationError(
                f"Stream {name} asks for a refresh that removes its old data. Wicked Reports cannot delete: choose a "
                "refresh that keeps the records."
            )
        object_name = configured.destination_object_name or ""
        route = router.route(name, namespace, object_name)
        if route is None:
            raise ConfigurationError(_unsupported(name, object_name, router, config))
        if routes.setdefault((namespace, name), route) != route:
            raise ConfigurationError(
                f"Stream {name} is configured twice, for {routes[namespace, name]} and for {route}. Configure it once; "
                "a mapping of type custom can feed several endpoints from it."
            )
    names = Counter(name for _, name in routes)
    # PyAirbyte's cache drops the namespace of records but not of the catalog (seen with airbyte 0.71.3).
    return {("", name): route for (_, name), route in routes.items() if names[name] == 1} | routes


def find_schemas(catalog: ConfiguredAirbyteCatalog, routes: Routes) -> dict[str, list[dict[str, Any]]]:
    """Return the JSON schemas of the source by the mapping's name; several streams may have one name."""
    schemas: dict[str, list[dict[str, Any]]] = {}
    for configured in catalog.streams:
        stream = configured.stream
        schemas.setdefault(routes[stream.namespace or "", stream.name], []).append(stream.json_schema or {})
    return schemas


def _unsupported(name: str, object_name: str, router: StreamRouter, config: Config) -> str:
    if object_name:
        return (
            f"Stream {name} asks for the object {object_name}, which the mapping {config.mapping.type} does not offer "
            "for it: choose another object, or leave destination_object_name out of the catalog."
        )
    return (
        f"Stream {name} is not supported by the mapping {config.mapping.type}: deselect it. "
        f"This mapping supports {', '.join(sorted(router.streams))}."
        + prefix_hint(name, router.streams, native=isinstance(config.mapping, NativeMapping))
    )


def prefix_hint(stream: str, known: Collection[str], *, native: bool = False) -> str:
    """Return a sentence if the name is a known one with a prefix, as connections and taps add them; else ""."""
    folded = fold(stream)
    name = max((each for each in known if folded != fold(each) and folded.endswith(fold(each))), key=len, default="")
    if not name:
        return ""
    fix = "remove the prefix from the connection" + (f", or set destination_object_name to {name}" if native else "")
    return f" If it is the stream {name} with a prefix, {fix}."


def _truncates(generation: int | None, minimum: int | None, sync: int | None) -> bool:
    """Return whether the refresh removes older data; PyAirbyte's 1, 1, 1 for every stream removes nothing."""
    return bool(generation) and minimum == generation and (generation, sync) != (1, 1)
