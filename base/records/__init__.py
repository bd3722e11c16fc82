"""What is measured, as records."""
