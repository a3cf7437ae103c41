"""The source: the manifest beside this file, the pace that its reports share, and what a run tells while it waits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airbyte_cdk.models import (
    AirbyteEstimateTraceMessage,
    AirbyteMessage,
    AirbyteStateMessage,
    AirbyteTraceMessage,
    ConfiguredAirbyteCatalog,
    EstimateType,
    TraceType,
    Type,
)
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from .base.rate_limit import LOGGER
from .base.source import ManifestSource
from .components import shared_pace
from .config import REQUEST_INTERVAL_SECONDS, refuse_bad_settings
from .rate_limit import MinIntervalLimiter

_MANIFEST = str(Path(__file__).with_name("manifest.yaml"))
#: the streams that share the one report request a minute, and what they call a window
_UNITS = {"transactions": "day", "merchants_by_date": "window"}


class SourceSovrn(ManifestSource):
    """Sovrn Commerce's transactions, the totals by merchant and day beside them, and the campaigns."""

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
        refuse_bad_settings(config)

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the declared streams, all reports on one pace, whose first slot lies a whole interval ahead."""
        self._pace = MinIntervalLimiter(float(self._config.get("request_interval_seconds", REQUEST_INTERVAL_SECONDS)))
        with shared_pace(self._pace):
            return super().streams(config)

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Prepare what the next wait announces, and estimate the stream's rows by the mean of its windows so far."""
        unit = _UNITS.get(stream)
        if unit is None or not windows:
            return
        if not window:
            self._pace.tell(f"{stream}: {windows:,} {unit}{'s' * (windows > 1)} to read", windows)
            return
        done = f"{unit} {window} of {windows}, {rows:,} rows"
        self._pace.tell(done, windows - window)
        if window == windows:
            LOGGER.info("%s, %s rows of %s in all", done, f"{total:,}", stream)
        yield _estimate(stream, round(total / window * windows))


def _estimate(stream: str, rows: int) -> AirbyteMessage:
    return AirbyteMessage(
        type=Type.TRACE,
        trace=AirbyteTraceMessage(
            type=TraceType.ESTIMATE,
            emitted_at=time.time() * 1000,
            estimate=AirbyteEstimateTraceMessage(name=stream, type=EstimateType.STREAM, row_estimate=rows),
        ),
    )
