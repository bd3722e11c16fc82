"""Resources as validated desired state."""
