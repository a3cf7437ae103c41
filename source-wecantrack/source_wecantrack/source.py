"""The source: the manifest beside this file, and the checks of a configuration that need more than a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airbyte_cdk.models import AirbyteStateMessage, ConfiguredAirbyteCatalog

from .dates import refuse_bad_dates
from .strict_source import StrictSource

_MANIFEST = str(Path(__file__).with_name("manifest.yaml"))


class SourceWecantrack(StrictSource):
    """wecantrack's transactions, networks, network accounts, websites and click totals."""

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
        config_path: str | None = None,
    ) -> None:
        super().__init__(_MANIFEST, catalog=catalog, config=config, state=state, config_path=config_path)

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Refuse what the vendor would refuse, before it is asked."""
        super().validate_config(config)
        refuse_bad_dates(config)
