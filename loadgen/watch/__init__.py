"""What is looked at while a load test runs."""
