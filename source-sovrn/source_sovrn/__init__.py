"""Airbyte source for Sovrn Commerce: transactions day by day, the control totals beside them, and the campaigns."""

from typing import Any

__all__ = ["SourceSovrn"]


def __getattr__(name: str) -> Any:
    """Import the connector when somebody asks for it: the console script prepares the CDK's import first."""
    if name == "SourceSovrn":
        from .source import SourceSovrn

        return SourceSovrn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
