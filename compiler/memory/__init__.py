"""Where tensors lie: planned, reused, packed."""
