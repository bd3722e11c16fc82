"""The load generator against the truth."""
