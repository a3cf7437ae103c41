"""The source: `manifest.yaml`, the rate limiter that its streams share, and progress in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.models import AirbyteConnectionStatus, AirbyteMessage
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from . import config as configuration
from .base import rate_limit
from .base.rate_limit import LOGGER
from .base.sliding_window import SlidingWindowLimiter
from .base.source import ManifestSource
from .components import shared_limiter

#: Minimum seconds between two lines of progress.
PROGRESS_SECONDS = 10.0


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
        """Log progress every `PROGRESS_SECONDS`, and set what the next wait logs."""
        now = rate_limit.CLOCK.now()
        if window == 0:
            self._last_line, self._started, self._requests_before = now, now, self._limiter.requests
            self._limiter.set_progress(f"{stream}: window 1 of {windows:,}" if windows else stream)
            if not windows:
                LOGGER.info("%s: start_date, end_date and the state leave no day to read.", stream)
            return ()
        remaining = windows - window
        if remaining:
            requests = (self._limiter.requests - self._requests_before) / window * remaining
            minutes = max(requests / self._limiter.limit, (now - self._started) / window * remaining / 60)
            time_left = f"about {minutes:,.0f} min left" if minutes >= 1 else "less than a minute left"
            line = f"{stream}: window {window:,} of {windows:,}, {total:,} rows so far, {time_left}"
            self._limiter.set_progress(line)
            if now - self._last_line >= PROGRESS_SECONDS:
                self._last_line = now
                LOGGER.info("%s", line)
        return ()
