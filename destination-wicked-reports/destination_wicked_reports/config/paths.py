"""Where the ledger and the dead-letter file lie when nobody says."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from destination_wicked_reports.config.spec import Config, SqliteLedger

#: Airbyte on one machine mounts this folder from the host; in Kubernetes only where an administrator set it up.
AIRBYTE_VOLUME = Path("/local")
CONTAINER_SIGNS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def data_folder() -> Path:
    """Return the folder for this connector's files: on Airbyte's volume if there is one, else the user's own."""
    if AIRBYTE_VOLUME.is_dir() and os.access(AIRBYTE_VOLUME, os.W_OK):
        return AIRBYTE_VOLUME / "wicked-reports"
    return user_data_path("destination-wicked-reports", appauthor=False)


def ledger_path(config: Config) -> Path | None:
    """Return where the ledger file lies, or None if the ledger is no file."""
    if not isinstance(config.ledger, SqliteLedger):
        return None
    return Path(config.ledger.path).expanduser() if config.ledger.path else data_folder() / "ledger.sqlite"


def rejects_path(config: Config) -> Path:
    """Return where the dead-letter file lies: as configured, else beside the ledger."""
    if config.rejected_records_path:
        return Path(config.rejected_records_path).expanduser()
    ledger = ledger_path(config)
    return (ledger.parent if ledger else data_folder()) / "rejected_records.jsonl"


def dies_with_container(path: Path) -> bool:
    """Tell whether this file is inside a container and on no volume, so that it ends when the container does."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ and not any(sign.exists() for sign in CONTAINER_SIGNS):
        return False
    return not any(os.path.ismount(folder) for folder in path.absolute().parents if folder != Path("/"))
