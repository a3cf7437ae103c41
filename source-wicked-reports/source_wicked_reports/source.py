"""The source: the manifest beside this file, the budget that its streams share, and what a run tells meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airbyte_cdk.models import AirbyteConnectionStatus, AirbyteMessage, AirbyteStateMessage, ConfiguredAirbyteCatalog
from airbyte_cdk.sources.streams.concurrent.abstract_stream import AbstractStream

from .base import rate_limit
from .base.rate_limit import LOGGER
from .base.source import ManifestSource
from .components import shared_budget
from .config import REQUESTS_PER_MINUTE, refuse_bad_settings
from .rate_limit import SlidingWindowLimiter

#: a sign of life for who watches, without a line for each window of ten years
SECONDS_BETWEEN_LINES = 10.0
_MANIFEST = str(Path(__file__).with_name("manifest.yaml"))


class SourceWickedReports(ManifestSource):
    """Wicked Reports' contacts, orders and clicks, and those of chosen contacts."""

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

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Ask for the first order of the range; where that lies wholly ahead, for one of the last day there is.

        Otherwise a wrong key would go unnoticed until the start date.
        """
        source = self._bound(config)
        ahead = str(source._config["read_from"]) > source._config["read_until"]
        source._config = {**source._config, **({"read_from": source._config["read_until"]} if ahead else {})}
        return super(SourceWickedReports, source).check(logger, config)  # type: ignore[misc]

    def streams(self, config: Mapping[str, Any]) -> list[AbstractStream]:
        """Build the declared streams, all on one budget."""
        self._budget = SlidingWindowLimiter(int(self._config.get("requests_per_minute", REQUESTS_PER_MINUTE)))
        with shared_budget(self._budget):
            return super().streams(config)

    def progress(self, stream: str, window: int, windows: int, rows: int, total: int) -> Iterable[AirbyteMessage]:
        """Log how far the windows have come, now and then, and tell the budget what is left for when it waits."""
        now = rate_limit.CLOCK.now()
        if window == 0:
            self._told, self._begun, self._requests = now, now, self._budget.requests
            self._budget.tell(f"{stream}: window 1 of {windows:,}" if windows else stream)
            if not windows:
                LOGGER.info("%s: no day is left to read, by start_date, end_date and the state.", stream)
            return ()
        left = windows - window
        if left:
            needed = (self._budget.requests - self._requests) / window * left
            minutes = max(needed / self._budget.calls, (now - self._begun) / window * left / 60)
            rest = f"about {minutes:,.0f} min left" if minutes >= 1 else "less than a minute left"
            line = f"{stream}: window {window:,} of {windows:,}, {total:,} rows so far, {rest}"
            self._budget.tell(line)
            if now - self._told >= SECONDS_BETWEEN_LINES:
                self._told = now
                LOGGER.info("%s", line)
        return ()
