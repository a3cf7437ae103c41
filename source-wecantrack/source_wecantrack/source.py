"""The source: the manifest beside this file, and the checks of a configuration that need more than a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airbyte_cdk.models import AirbyteMessage, AirbyteStateMessage, ConfiguredAirbyteCatalog

from .base import rate_limit
from .base.errors import config_error
from .base.rate_limit import LOGGER
from .base.source import ManifestSource
from .config import refuse_bad_dates

#: a sign of life for who watches, without a line for each of a thousand days
SECONDS_BETWEEN_LINES = 10.0
_KEY = re.compile(r"[\x21-\x7e]+")
_MANIFEST = str(Path(__file__).with_name("manifest.yaml"))


class SourceWecantrack(ManifestSource):
    """wecantrack's transactions, networks, network accounts, websites and click totals."""

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
        config_path: str | None = None,
    ) -> None:
        super().__init__(_MANIFEST, catalog=catalog, config=config, state=state, config_path=config_path)

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Log how far the days have come, now and then: a backfill of a year is hours at the declared budget."""
        if window == 0:
            self._told = rate_limit.CLOCK.now()
        elif window < windows and rate_limit.CLOCK.now() - self._told >= SECONDS_BETWEEN_LINES:
            self._told = rate_limit.CLOCK.now()
            LOGGER.info("%s: window %s of %s, %s rows so far", stream, f"{window:,}", f"{windows:,}", f"{total:,}")
        return ()

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Refuse what the vendor would refuse, before it is asked."""
        super().validate_config(config)
        if not _KEY.fullmatch(str(config.get("api_key") or "")):
            raise config_error(
                "The API key is empty or no key: copy it again from your wecantrack account, under Data Integrations > "
                "API, into API Key."
            )
        refuse_bad_dates(config)
