"""Airbyte source for wecantrack: affiliate transactions with their late changes, and the small lists around them."""

from .source import SourceWecantrack

__all__ = ["SourceWecantrack"]
