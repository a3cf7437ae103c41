"""Commands beyond the Airbyte protocol: ledger, replay and the Singer target."""
