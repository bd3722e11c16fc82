"""What a load test should do, checked before it starts."""
