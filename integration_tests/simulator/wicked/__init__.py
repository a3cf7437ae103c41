"""Wicked Reports' inbound API, and in `outbound` its outbound API."""
