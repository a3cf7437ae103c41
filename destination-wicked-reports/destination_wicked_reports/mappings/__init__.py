"""The mappings: each turns the records of one source system into rows for Wicked Reports."""
