"""Wicked Reports' outbound API."""
