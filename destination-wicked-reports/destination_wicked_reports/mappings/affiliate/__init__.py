"""Commissions of affiliate networks as orders and payments."""
