"""What was sent: orders, rows and the outbox, in SQLite or PostgreSQL."""
