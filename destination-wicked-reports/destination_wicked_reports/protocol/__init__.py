"""Airbyte's and Singer's lines: messages, catalogs, discover."""
