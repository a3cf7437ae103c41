"""Paths of the ledger and the dead-letter file: what a configuration may say, and the defaults."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from destination_wicked_reports.config.spec import Config, SqliteLedger
from destination_wicked_reports.errors import ConfigurationError

#: Airbyte on Docker Compose mounts this folder from the machine. On Kubernetes it exists only if an admin set it up.
AIRBYTE_VOLUME = Path("/local")
#: The dead-letter file, if the configuration names none.
REJECTS_NAME = "rejected_records.jsonl"
CONTAINER_MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def data_folder() -> Path:
    """Return the folder for this connector's files: on Airbyte's volume if it is writable, else the user's own."""
    if AIRBYTE_VOLUME.is_dir() and os.access(AIRBYTE_VOLUME, os.W_OK):
        return AIRBYTE_VOLUME / "wicked-reports"
    folder = user_data_path("destination-wicked-reports", appauthor=False)
    if not folder.is_absolute():
        raise ConfigurationError(
            "This user has no home folder for the ledger and the dead-letter file: set ledger.path and "
            "rejected_records_path to absolute paths."
        )
    return folder


def ledger_path(config: Config) -> Path | None:
    """Return the absolute path of the ledger file, or None if the ledger is not a file."""
    if not isinstance(config.ledger, SqliteLedger):
        return None
    return Path(config.ledger.path).expanduser() if config.ledger.path else data_folder() / "ledger.sqlite"


def rejects_path(config: Config) -> Path:
    """Return the absolute path of the dead-letter file: as configured, else next to the ledger."""
    if config.rejected_records_path:
        return Path(config.rejected_records_path).expanduser()
    ledger = ledger_path(config)
    return (ledger.parent if ledger else data_folder()) / REJECTS_NAME


def is_ephemeral(path: Path) -> bool:
    """Return whether the file is inside a container and not on a volume, so that it is lost with the container."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ and not any(marker.exists() for marker in CONTAINER_MARKERS):
        return False
    return not any(os.path.ismount(folder) for folder in path.absolute().parents if folder != Path("/"))
