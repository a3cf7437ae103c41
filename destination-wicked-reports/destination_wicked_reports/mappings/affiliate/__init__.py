"""The mappings `wecantrack` and `sovrn`: commissions of affiliate networks as orders and payments."""
