"""A run folder as it is read: its records, their series, how they compare."""
