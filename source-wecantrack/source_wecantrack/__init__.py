"""Airbyte source for wecantrack: affiliate transactions with later changes, accounts, networks, websites and clicks."""

from typing import Any

__all__ = ["SourceWecantrack"]


def __getattr__(name: str) -> Any:
    """Import the connector on first access: the console script must prepare the import of the CDK first."""
    if name == "SourceWecantrack":
        from .source import SourceWecantrack

        return SourceWecantrack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
