"""What to compare, as a file."""
