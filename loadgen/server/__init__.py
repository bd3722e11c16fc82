"""What the server under test says of itself."""
