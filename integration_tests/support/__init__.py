"""What the whole-connector tests share: processes, databases, containers."""
