"""The source: `manifest.yaml`, the rate limiter that its report streams share, and progress in the log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from airbyte_cdk.models import (
    AirbyteEstimateTraceMessage,
    AirbyteMessage,
    AirbyteTraceMessage,
    EstimateType,
    TraceType,
    Type,
)
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from . import config as configuration
from .base.rate_limit import LOGGER
from .base.source import ManifestSource
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
        unit = self._window_unit(stream)
        if unit is None or not windows:
            return
        if not window:
            self._limiter.set_progress(f"{stream}: {windows:,} {unit}{'s' * (windows > 1)} to read", windows)
            return
        done = f"{unit} {window} of {windows}, {rows:,} rows"
        self._limiter.set_progress(done, windows - window)
        if window == windows:
            LOGGER.info("%s, %s rows of %s in total", done, f"{total:,}", stream)
        yield _estimate(stream, round(total / window * windows))

    def _window_unit(self, stream: str) -> str | None:
        """Return what a window of a report is called; None for a stream without windows, which is not a report."""
        declared = next(each for each in self.resolved_manifest["streams"] if each["name"] == stream)
        sync = declared.get("incremental_sync")
        return None if sync is None else "day" if sync["step"] == "P1D" else "window"


def _estimate(stream: str, rows: int) -> AirbyteMessage:
    return AirbyteMessage(
        type=Type.TRACE,
        trace=AirbyteTraceMessage(
            type=TraceType.ESTIMATE,
            emitted_at=time.time() * 1000,
            estimate=AirbyteEstimateTraceMessage(name=stream, type=EstimateType.STREAM, row_estimate=rows),
        ),
    )
