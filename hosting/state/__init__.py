"""What is kept: SQLite, one host at a time."""
