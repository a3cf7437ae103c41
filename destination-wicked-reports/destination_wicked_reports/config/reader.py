"""Reads configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from destination_wicked_reports.base import json_files
from destination_wicked_reports.errors import ConfigurationError


def read_config_file(path: Path | str) -> dict[str, Any]:
    """Return the content of a configuration file; raises ConfigurationError unless it is a readable JSON object."""
    try:
        return json_files.read_object(path, "configuration")
    except json_files.UnusableFileError as error:
        raise ConfigurationError(str(error)) from None
