"""The source: `manifest.yaml`, validation of the configuration, and progress in the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.models import AirbyteMessage

from . import config as configuration
from .base import rate_limit
from .base.rate_limit import LOGGER
from .base.source import ManifestSource

#: Minimum seconds between two lines of progress.
PROGRESS_SECONDS = 10.0


class SourceWecantrack(ManifestSource):
    """wecantrack's transactions, network accounts, networks, websites and click totals."""

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Log progress every `PROGRESS_SECONDS`: a backfill of a year takes hours at the rate limit."""
        if window == 0:
            self._last_line = rate_limit.CLOCK.now()
        elif window < windows and rate_limit.CLOCK.now() - self._last_line >= PROGRESS_SECONDS:
            self._last_line = rate_limit.CLOCK.now()
            LOGGER.info("%s: window %s of %s, %s rows so far", stream, f"{window:,}", f"{windows:,}", f"{total:,}")
        return ()

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for values that the JSON schema of the spec accepts but the vendor rejects."""
        super().validate_config(config)
        configuration.validate(config)
