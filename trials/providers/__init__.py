"""Where a candidate runs."""
