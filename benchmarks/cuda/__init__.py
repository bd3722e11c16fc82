"""GPU artifacts against torch."""
