"""Airbyte destination for Wicked Reports' inbound API."""

from destination_wicked_reports.destination import DestinationWickedReports

__all__ = ["DestinationWickedReports"]
