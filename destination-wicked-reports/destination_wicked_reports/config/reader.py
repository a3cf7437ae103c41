"""Reads configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from destination_wicked_reports.errors import ConfigurationError


def read_config_file(path: Path | str) -> dict[str, Any]:
    """Return the content of a configuration file; raises ConfigurationError unless it is a readable JSON object."""
    try:
        config = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"The configuration {path} cannot be read ({error.strerror}).") from None
    except orjson.JSONDecodeError:
        config = None
    if not isinstance(config, dict):
        raise ConfigurationError(f"The configuration {path} is not a JSON object.")
    return config
