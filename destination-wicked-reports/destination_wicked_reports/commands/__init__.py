"""Commands of our own: ledger, replay and the Singer target."""
