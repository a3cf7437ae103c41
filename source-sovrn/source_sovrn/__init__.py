"""Airbyte source for Sovrn Commerce: transactions by day, control totals by merchant and day, and campaigns."""

from typing import Any

__all__ = ["SourceSovrn"]


def __getattr__(name: str) -> Any:
    """Import the connector on first access: the console script must prepare the import of the CDK first."""
    if name == "SourceSovrn":
        from .source import SourceSovrn

        return SourceSovrn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
