"""From requests to runs: the pool, and batches."""
