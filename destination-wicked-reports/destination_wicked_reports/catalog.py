"""The configured catalog, and what of it Wicked Reports cannot do."""

from __future__ import annotations

from pathlib import Path

import orjson
from airbyte_cdk.models import (
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    DestinationSyncMode,
)

from destination_wicked_reports.normalizers.base import Normalizer
from destination_wicked_reports.spec import Config, ConfigurationError

SUPPORTED = frozenset({DestinationSyncMode.append, DestinationSyncMode.append_dedup})


def read_catalog(path: Path) -> ConfiguredAirbyteCatalog:
    """Read the catalog file; raises ConfigurationError if it is missing or not a configured catalog."""
    try:
        return ConfiguredAirbyteCatalogSerializer.load(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"The catalog {path} cannot be read ({error.strerror}).") from None
    except Exception as error:
        raise ConfigurationError(f"The catalog {path} is not a configured catalog ({type(error).__name__}).") from None


def refuse_impossible(catalog: ConfiguredAirbyteCatalog, normalizer: Normalizer, config: Config) -> None:
    """Raise ConfigurationError for what Wicked cannot do: replacing, deleting, and streams it has no place for."""
    for configured in catalog.streams:
        name = configured.stream.name
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
        if name not in normalizer.streams:
            known = ", ".join(sorted(normalizer.streams))
            raise ConfigurationError(
                f"Stream {name} has no place in Wicked Reports with the mapping {config.mapping.type}: deselect it. "
                f"That mapping takes {known}."
            )


def _truncates(generation: int | None, minimum: int | None, sync: int | None) -> bool:
    """Tell whether older data is to go. PyAirbyte says 1, 1, 1 for every stream (clients.md 1.3): nothing is older."""
    return bool(generation) and minimum == generation and (generation, sync) != (1, 1)
