"""Airbyte source for Wicked Reports: contacts, orders and clicks out of the Outbound API."""

from .source import SourceWickedReports

__all__ = ["SourceWickedReports"]
