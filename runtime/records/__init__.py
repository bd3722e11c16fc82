"""What is written in an artifact's folder, as records."""
