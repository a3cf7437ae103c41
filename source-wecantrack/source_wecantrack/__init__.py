"""Airbyte source for wecantrack: affiliate transactions with their late changes, and the small lists around them."""

from typing import Any

__all__ = ["SourceWecantrack"]


def __getattr__(name: str) -> Any:
    """Import the connector when somebody asks for it: the console script prepares the CDK's import first."""
    if name == "SourceWecantrack":
        from .source import SourceWecantrack

        return SourceWecantrack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
