"""Airbyte source for Wicked Reports: contacts, orders and clicks out of the Outbound API."""

from typing import Any

__all__ = ["SourceWickedReports"]


def __getattr__(name: str) -> Any:
    """Import the connector when somebody asks for it: the console script prepares the CDK's import first."""
    if name == "SourceWickedReports":
        from .source import SourceWickedReports

        return SourceWickedReports
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
