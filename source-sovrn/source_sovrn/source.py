"""The source: `manifest.yaml`, the rate limiter that its report streams share, and progress in the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.models import AirbyteMessage
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from . import config as configuration
from .base.rate_limit import LOGGER
from .base.source import ManifestSource, estimate
from .components import shared_limiter
from .rate_limit import MinIntervalLimiter


class SourceSovrn(ManifestSource):
    """Sovrn Commerce's transactions, totals by merchant and day, and campaigns."""

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for values that the JSON schema of the spec accepts but the vendor rejects."""
        super().validate_config(config)
        configuration.validate(config)

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the declared streams, all reports on one limiter; its first interval begins here."""
        self._limiter = MinIntervalLimiter(float(self._config["request_interval_seconds"]))
        with shared_limiter(self._limiter):
            return super().streams(config)

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Set what the next wait logs, and estimate the stream's rows from the mean of its windows so far."""
        if not self._has_windows(stream) or not windows:
            return
        done = self.done(stream, window, windows, rows)
        self._limiter.set_progress(done, windows - window)
        if not window:
            return
        if window == windows:
            LOGGER.info("%s, %s rows of %s in total", done, f"{total:,}", stream)
        yield estimate(stream, round(total / window * windows))

    def _has_windows(self, stream: str) -> bool:
        """Tell whether a stream is a report; another stream has no windows."""
        return "incremental_sync" in self.declared(stream)
