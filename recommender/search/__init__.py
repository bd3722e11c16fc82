"""Which candidates are tried."""
