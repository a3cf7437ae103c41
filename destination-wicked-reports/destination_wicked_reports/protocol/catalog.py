"""The configured catalog, and what of it Wicked Reports cannot do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.models import (
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    DestinationSyncMode,
)

from destination_wicked_reports.config.spec import Config
from destination_wicked_reports.errors import ConfigurationError
from destination_wicked_reports.mappings.base import Normalizer

#: By namespace (empty for none) and name.
Routes = dict[tuple[str, str], str]

SUPPORTED = frozenset({DestinationSyncMode.append, DestinationSyncMode.append_dedup})


def read_catalog(path: Path) -> ConfiguredAirbyteCatalog:
    """Read the catalog file; raises ConfigurationError if it is missing or not a configured catalog."""
    try:
        return ConfiguredAirbyteCatalogSerializer.load(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"The catalog {path} cannot be read ({error.strerror}).") from None
    except Exception as error:
        raise ConfigurationError(f"The catalog {path} is not a configured catalog ({type(error).__name__}).") from None


def find_routes(catalog: ConfiguredAirbyteCatalog, normalizer: Normalizer, config: Config) -> Routes:
    """Return what the normalizer calls each configured stream.

    Raises ConfigurationError for what Wicked cannot do: replacing, deleting, and streams it has no place for.
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
        route = normalizer.route(name, namespace, object_name)
        if route is None:
            raise ConfigurationError(_homeless(name, object_name, normalizer, config))
        if routes.setdefault((namespace, name), route) != route:
            raise ConfigurationError(
                f"Stream {name} is configured twice, for {routes[namespace, name]} and for {route}. Name it once, and "
                "let a mapping of type custom feed several endpoints."
            )
    names = Counter(name for _, name in routes)
    # PyAirbyte's cache drops the namespace of a record, though not that in the catalog (clients.md 1.3).
    return {("", name): route for (_, name), route in routes.items() if names[name] == 1} | routes


def find_schemas(catalog: ConfiguredAirbyteCatalog, routes: Routes) -> dict[str, list[dict[str, Any]]]:
    """Return the source's JSON schemas of what comes under each route."""
    schemas: dict[str, list[dict[str, Any]]] = {}
    for configured in catalog.streams:
        stream = configured.stream
        schemas.setdefault(routes[stream.namespace or "", stream.name], []).append(stream.json_schema or {})
    return schemas


def _homeless(name: str, object_name: str, normalizer: Normalizer, config: Config) -> str:
    if object_name:
        return (
            f"Stream {name} asks for the object {object_name}, which the mapping {config.mapping.type} does not offer "
            "for it: choose another object, or leave destination_object_name out of the catalog."
        )
    return (
        f"Stream {name} has no place in Wicked Reports with the mapping {config.mapping.type}: deselect it. "
        f"That mapping takes {', '.join(sorted(normalizer.streams))}."
    )


def _truncates(generation: int | None, minimum: int | None, sync: int | None) -> bool:
    """Tell whether older data is to go. PyAirbyte says 1, 1, 1 for every stream (clients.md 1.3): nothing is older."""
    return bool(generation) and minimum == generation and (generation, sync) != (1, 1)
