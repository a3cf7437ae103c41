"""Wicked Reports' inbound API."""
