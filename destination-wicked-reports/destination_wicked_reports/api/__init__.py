"""Wicked Reports' inbound API: endpoints, fields, rows, requests and responses."""
