"""Whole connectors as processes, against a local simulator of the vendors."""
