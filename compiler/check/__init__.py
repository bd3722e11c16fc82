"""Whether the compiled code does what the source model does."""
