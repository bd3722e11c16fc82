"""The gate against real servers: a tape of A/A blocks, replayed, and live runs."""
