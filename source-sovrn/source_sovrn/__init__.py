"""Airbyte source for Sovrn Commerce: transactions day by day, the control totals beside them, and the campaigns."""

from .source import SourceSovrn

__all__ = ["SourceSovrn"]
