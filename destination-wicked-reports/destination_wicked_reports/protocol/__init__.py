"""The Airbyte protocol and Singer's: messages, catalogs, discover, the entrypoint."""
