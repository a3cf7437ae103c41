"""The source: `manifest.yaml` and validation of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from . import config as configuration
from .base.source import ManifestSource


class SourceWecantrack(ManifestSource):
    """wecantrack's transactions, network accounts, networks, websites and click totals."""

    end_lag = timedelta(seconds=60)

    def validate_config(self, config: Mapping[str, Any]) -> None:
        """Raise `config_error` for values that the JSON schema of the spec accepts but the vendor rejects."""
        super().validate_config(config)
        configuration.validate(config)
