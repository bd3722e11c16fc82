"""Server processes: how one is started, what watches it."""
