"""The ledger: what was sent, in SQLite or PostgreSQL."""
