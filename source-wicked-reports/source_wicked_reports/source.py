"""The source: `manifest.yaml`, the rate limiter that its streams share, and progress in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.models import AirbyteConnectionStatus, AirbyteMessage
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from . import config as configuration
from .base import rate_limit
from .base.rate_limit import LOGGER, format_duration
from .base.sliding_window import SlidingWindowLimiter
from .base.source import ManifestSource
from .components import shared_limiter


class SourceWickedReports(ManifestSource):
    """Wicked Reports' contacts, orders and clicks, and those of selected contacts."""

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for values that the JSON schema of the spec accepts but the vendor rejects."""
        super().validate_config(config)
        configuration.validate(config)

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Request the first order of the date range; if the range is in the future, one of the last day up to now.

        Without a request, a wrong key would go unnoticed until the start date.
        """
        source = self._bound(config)
        in_future = str(source._config["read_from"]) > source._config["read_until"]
        source._config = {**source._config, **({"read_from": source._config["read_until"]} if in_future else {})}
        return super(SourceWickedReports, source).check(logger, config)  # type: ignore[misc]

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the declared streams, all on one limiter."""
        self._limiter = SlidingWindowLimiter(int(self._config["requests_per_minute"]))
        with shared_limiter(self._limiter):
            return super().streams(config)

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Report progress, and set what the next wait logs."""
        if not window:
            self._requests_before = self._limiter.requests
            if not windows:
                LOGGER.info("%s: start_date, end_date and the state leave no day to read.", stream)
        yield from super().progress(stream, window, windows, rows, total)
        if not window:
            self._limiter.set_progress(f"{stream}: window 1 of {windows:,}" if windows else stream)
        elif window < windows:
            elapsed = rate_limit.CLOCK.now() - self._started
            left = format_duration(self.seconds_left(window, windows, elapsed))
            self._limiter.set_progress(f"{stream}: window {window:,} of {windows:,}, about {left} left")

    def seconds_left(self, window: int, windows: int, elapsed: float) -> float:
        """Return how long the rest takes: at the speed so far, or at the rate limit if that is slower."""
        requests = (self._limiter.requests - self._requests_before) / window * (windows - window)
        return max(requests / self._limiter.limit * 60, super().seconds_left(window, windows, elapsed))
