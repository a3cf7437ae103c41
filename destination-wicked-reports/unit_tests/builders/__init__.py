"""Records, rows and doubles that several test modules share."""
