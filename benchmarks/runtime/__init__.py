"""The light runtime against the peers."""
