"""The source: `manifest.yaml`, validation of the configuration, and progress in the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from airbyte_cdk.models import AirbyteMessage
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from . import config as configuration
from .base import rate_limit
from .base.source import ManifestSource
from .rate_limit import StreamLimiter, collected_limiters


class SourceWecantrack(ManifestSource):
    """wecantrack's transactions, network accounts, networks, websites and click totals."""

    end_lag = timedelta(seconds=60)

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for values that the JSON schema of the spec accepts but the vendor rejects."""
        super().validate_config(config)
        configuration.validate(config)

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the declared streams, each with its own limiter."""
        self._limiters: dict[str, StreamLimiter] = {}
        with collected_limiters(self._limiters):
            return super().streams(config)

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Report progress, and set what the next wait logs."""
        yield from super().progress(stream, window, windows, rows, total)
        if "incremental_sync" in self.declared(stream) and windows:
            limiter, left = self._limiters[stream], None
            if window:
                elapsed = rate_limit.CLOCK.now() - self._started
                at_limit = limiter.seconds_for(limiter.requests / window * (windows - window))
                left = max(at_limit, self.seconds_left(window, windows, elapsed))
            limiter.set_progress(self.done(stream, window, windows, rows), left)
