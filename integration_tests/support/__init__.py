"""Helpers of the whole-connector tests: processes, databases, containers."""
