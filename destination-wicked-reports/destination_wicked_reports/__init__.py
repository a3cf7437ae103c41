"""Airbyte destination for Wicked Reports' inbound API."""

from typing import Any

__all__ = ["DestinationWickedReports"]


def __getattr__(name: str) -> Any:
    """Import the connector on first access, because the console scripts must prepare the CDK's import first."""
    if name == "DestinationWickedReports":
        from destination_wicked_reports.destination import DestinationWickedReports

        return DestinationWickedReports
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
