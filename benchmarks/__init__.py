"""Compares the connectors with bare loops that do the same work; `make bench` runs it, the tests do not."""
