"""What the server counts, in memory that its processes share."""
