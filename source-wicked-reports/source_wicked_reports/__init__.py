"""Airbyte source for Wicked Reports: contacts, orders and clicks from the Outbound API."""

from typing import Any

__all__ = ["SourceWickedReports"]


def __getattr__(name: str) -> Any:
    """Import the connector on first access: the console script must prepare the import of the CDK first."""
    if name == "SourceWickedReports":
        from .source import SourceWickedReports

        return SourceWickedReports
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
